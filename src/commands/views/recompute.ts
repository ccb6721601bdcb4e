/** What `trust recompute` shows. Its JSON: schemas/trust-recompute.schema.json. Unknown is null, never 0. */
import type { Reputations } from "../../beacon/reputation.js";
import { reputationHash } from "../../beacon/reputation-document.js";
import { layOut } from "./columns.js";
import { printable } from "./printable.js";

export interface RecomputeDocument {
  schemaVersion: 1;
  /** Of what --raw prints. */
  sha256: string;
  servedSha256: string | null;
  sameAsServed: boolean | null;
  /** Nodes that observe others, and the votes that a score takes. */
  observing: number;
  quorum: number;
  nodes: { node: string; publicKey: string; reputation: { score: number; observers: number } | null; votes: number }[];
}

export function recomputeDocument(reputations: Reputations, servedSha256: string | undefined): RecomputeDocument {
  const sha256 = reputationHash(reputations);
  return {
    schemaVersion: 1,
    sha256,
    servedSha256: servedSha256 ?? null,
    sameAsServed: servedSha256 === undefined ? null : servedSha256 === sha256,
    observing: reputations.observing,
    quorum: reputations.quorum,
    nodes: reputations.nodes.map(({ node, key, scorePpm, observers }) => ({
      node,
      publicKey: key,
      reputation: scorePpm === undefined ? null : { score: scorePpm / 1_000_000, observers },
      votes: observers,
    })),
  };
}

const HEADINGS = { node: "NODE", score: "REPUTATION", votes: "VOTES", key: "PUBLIC KEY" };

export function recomputeLines({ nodes, observing, quorum, sha256, servedSha256, sameAsServed }: RecomputeDocument): string[] {
  const rows = nodes.map(({ node, reputation, votes, publicKey }) => ({
    node: printable(node),
    score: reputation === null ? "unknown" : reputation.score.toFixed(6),
    votes: String(votes),
    key: publicKey,
  }));
  const { lines } = layOut({ headings: HEADINGS, left: new Set(["node", "key"] as const), dropOrder: [], shrink: [] }, rows, { columns: Infinity, color: false }, (_, cell) => cell);
  const compared = servedSha256 === null ? "no sidecar's to compare with" : sameAsServed === true ? "the sidecar's too" : `the sidecar's is ${servedSha256}`;
  return [...lines, "", `${String(observing)} nodes observe; a score takes ${String(quorum)} votes`, `SHA-256 ${sha256} (${compared})`];
}
