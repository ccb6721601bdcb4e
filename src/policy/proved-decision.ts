/** The decision in a file of proofs: who decided, by what policies, and the place of the node that ran the work. */
import type { KeyAdmission } from "../beacon/keys.js";
import type { DecisionOpener } from "../beacon/proof-file.js";
import { openSealedDecision } from "./decision-document.js";

export function decisionOpener(keys: KeyAdmission): DecisionOpener {
  return (sealed, node) => {
    const opened = openSealedDecision(sealed, keys);
    if (!opened.ok) return { ok: false, detail: `${opened.reason}: ${opened.detail}` };
    const { id, signed: { record, key } } = opened;
    const at = record.candidates.findIndex(({ facts }) => facts.node === node);
    const status = record.candidates[at]?.status ?? "no candidate";
    if (at === -1 || status === "excluded") return { ok: false, detail: `${node} is ${status} in decision ${id}` };
    const policies = record.policies.map(({ role, name, hash }) => ({ role, name, sha256: hash }));
    return { ok: true, decision: { id, deciderKey: key.hex, decider: { node: record.node, datacenter: record.datacenter }, decidedAtMs: record.decidedAtMs, place: at + 1, candidates: record.candidates.length, policies } };
  };
}
