import { readFileSync } from "node:fs";
import { join } from "node:path";
import { Command, Flags } from "@oclif/core";
import { ACL_ROLES, ACL_TEMPLATES, renderPolicy } from "../../acl/consul-policy.js";
import { projectRoot } from "../../dev/project-root.js";

export default class AclRender extends Command {
  static override summary = "Print the Consul ACL policy of a node's sidecar, of a placer, of a reader, or of an operator.";
  static override description =
    "One policy and one token for each node: a token can then write its own node's state and pin, and no other's. " +
    "SECURITY.md says what a stolen one can do. The templates are in nomad/acl/.\n\nExit codes: 0; 2 bad usage.";
  static override examples = [
    "<%= config.bin %> <%= command.id %> --node node-1 | consul acl policy create -name ibrl-sidecar-node-1 -rules -",
    "<%= config.bin %> <%= command.id %> --role reader | consul acl policy create -name ibrl-reader -rules -",
    "<%= config.bin %> <%= command.id %> --role operator --datacenter dc1 | consul acl policy create -name ibrl-operator -rules -",
  ];
  static override flags = {
    role: Flags.option({
      summary: "sidecar: what every sidecar calls. placer: that, and the lock of who places work. reader: commands with --consul. operator: that, and trust allow, pin and unpin. network: beacon serve.",
      options: ACL_ROLES,
      default: "sidecar" as const,
    })(),
    node: Flags.string({ summary: "Consul node name; needed by the roles sidecar and placer.", helpValue: "NAME" }),
    datacenter: Flags.string({ summary: "Consul datacenter of the node.", default: "dc1", helpValue: "NAME" }),
  };

  async run(): Promise<void> {
    const { flags } = await this.parse(AclRender);
    try {
      const templates = ACL_TEMPLATES[flags.role].map((name) => readFileSync(join(projectRoot(), "nomad/acl", name), "utf8"));
      this.log(templates.map((template) => renderPolicy(template, flags)).join("\n").trimEnd());
    } catch (error) {
      if (error instanceof RangeError) this.error(`--node, --datacenter: ${error.message}`, { exit: 2 });
      throw error;
    }
  }
}
