import { Args, Flags } from "@oclif/core";
import { type LinkView, linksOf, linksOfNode } from "../../beacon/links.js";
import type { NodeView } from "../../beacon/node-view.js";
import { ReadingCommand } from "../reading/reading-command.js";
import { selectNodes } from "../reading/select-nodes.js";
import { type LinksDocument, linksDocument } from "../views/link-document.js";
import { linkList } from "../views/link-list.js";
import { linkMatrix } from "../views/link-matrix.js";

export default class ClusterLinks extends ReadingCommand {
  static override summary = "Show every link between two believed nodes, as both ends signed it and as it was joined here.";
  static override description =
    "Values are the worse of the two ends' words. LOSS is of round trips, → from NODE to PEER, ← from PEER to NODE. " +
    "agreed: the ends saw the same packets. disputed: they contradict each other. unconfirmed: nothing to compare. " +
    "estimated: nobody probes it, Consul's coordinates give a guess. docs/links.md says what cannot be found out.\n\n" +
    "--node and --filter choose the nodes between which links are shown; --sort is the order of the nodes.\n\n" +
    "Exit codes: 0; 1 error; 2 bad usage; 3 a record fails verification under --strict.";
  static override examples = [
    "<%= config.bin %> <%= command.id %>",
    "<%= config.bin %> <%= command.id %> node-1 --watch --interval 2s",
    "<%= config.bin %> <%= command.id %> --matrix --consul",
    "<%= config.bin %> <%= command.id %> --json --strict",
  ];
  static override args = {
    node: Args.string({ name: "NODE", description: "Only the links of this node, by name, node ID or beacon ID (four characters of an ID are enough)." }),
  };
  static override flags = {
    matrix: Flags.boolean({ summary: "Names by names, p50 in milliseconds; see also --json." }),
  };

  async run(): Promise<LinksDocument | undefined> {
    const { args, flags } = await this.parse(ClusterLinks);
    const linksAmong = (nodes: readonly NodeView[]): LinkView[] => {
      const node = args.node === undefined ? undefined : selectNodes(nodes, [args.node])[0];
      return node === undefined ? linksOf(nodes, Date.now()) : linksOfNode(node, nodes, Date.now());
    };
    return this.present(flags, {
      check: (nodes) => void selectNodes(nodes, args.node === undefined ? [] : [args.node]),
      text: (nodes, options) =>
        flags.matrix ? linkMatrix(linksAmong(nodes), { ...options, ofOne: args.node !== undefined }) : linkList(linksAmong(nodes), options),
      document: (nodes) => linksDocument(linksAmong(nodes)),
    });
  }
}
