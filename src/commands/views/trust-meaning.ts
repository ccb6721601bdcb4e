/** What each trust state means, and what to do: `trust show`, and the table of docs/trust.md, which a test compares. */
import type { TrustState } from "../../beacon/registry.js";

export const TRUST_MEANING: Readonly<Record<TrustState, { means: string; todo: string }>> = {
  pinned: { means: "verified, by the key that was pinned before, or that the operator's list names", todo: "nothing" },
  "first-use": { means: "verified, by a key that this reader had not seen before and that KV does not pin", todo: "compare the beacon ID with the one in the node's log line `sidecar ready`" },
  expired: { means: "was verified; its record is over its validity", todo: "look at the node's sidecar, its token and its clock" },
  "pin-conflict": { means: "another key speaks for the node, KV or the list names another, or its pin is gone from KV", todo: "find out who replaced the key; if it was you, pin or unpin the node" },
  "id-collision": { means: "its 8-byte ID belongs to another key", todo: "find out who: such a key costs 2^32 work" },
  equivocation: { means: "signed two different records with one sequence", todo: "find the second sidecar with this key and stop one; a restart clears it" },
  unlisted: { means: "allow-list mode: the node is not on the operator's list", todo: "allow it with `hypercore trust allow`, or find out what it is" },
  unverified: { means: "no record of it was accepted; in open mode every node, and its values are shown", todo: "the reason says which check failed; in open mode choose another mode" },
  federated: { means: "a node of another cluster, well signed and listed by the beacon network, which says that the key is the node's", todo: "nothing; a policy chooses it only with `federated: use`" },
  "no-sidecar": { means: "a Consul node without a sidecar", todo: "start one, or leave it" },
};
