/** A kept decision, as `cluster explain` and `policy replay` show it: who decided, by what, and each node's whole reason. */
import { isBelieved, type NodeView } from "../../beacon/node-view.js";
import type { Decision, MoveReason, Ranked } from "../../policy/decide.js";
import { chosenOf, type DecisionRecord } from "../../policy/decision-record.js";
import type { RuleResult, TermResult, Verdict } from "../../policy/evaluator.js";
import type { Replay } from "../../policy/replay.js";
import { failureText, limitText, valueText } from "../../policy/wording.js";
import type { MoveCause } from "../../sidecar/workload-moves.js";
import type { KeptDecision } from "../reading/kept-decision.js";
import { printable } from "./printable.js";
import { rankedNodes } from "./ranking.js";

const VERDICT: Readonly<Record<Verdict, string>> = { pass: "passes", fail: "BROKEN", "unknown-passes": "unknown, passes", "unknown-fails": "unknown, BROKEN" };

/** `signer` is the view of the node in whose name the record speaks; undefined where nobody was asked, or there is none. */
export function keptDecisionText(kept: KeptDecision, replayed: Replay, signer: NodeView | undefined): string {
  const { record } = kept.signed;
  const { counts } = record;
  const head = [
    `Decision ${kept.id}`,
    `  decided   ${new Date(record.decidedAtMs).toISOString()} by ${printable(record.node)} in ${printable(record.datacenter)}${record.job === undefined ? "" : `, for job ${printable(record.job)}`}`,
    ...(record.move === undefined ? [] : [`  moved     ${printable(moveText(record.move))}`]),
    `  signed    by key ${kept.signed.key.hex}: ${signerText(signerOf(kept, signer), record.node)}`,
    ...record.policies.map(({ role, name, mode, hash }) => `  policy    ${printable(name)} (${role}'s, ${mode}), sha256 ${hash}`),
    `  verdict   ${String(counts.eligible)} eligible, ${String(counts.violating)} violating, ${String(counts.excluded)} excluded; ${printable(chosenOf(record)?.facts.node ?? "nobody")} is first`,
    ...replayLines(replayed).map((line, i) => `  ${i === 0 ? "replay  " : "        "}  ${printable(line)}`),
  ];
  const rest = record.rest === undefined ? [] : ["", `Of ${String(counts.eligible + counts.violating + counts.excluded - record.candidates.length)} more nodes the record has no reasons: it had no room.`];
  return [...head, ...(replayed.ok ? reasonLines(replayed.decision) : verdictLines(record)), ...rest].join("\n");
}

/** Why the workload had to go from where it was. */
const CAUSE: Readonly<Record<string, string>> = {
  failed: "it failed there", stopped: "it was stopped there", unplaced: "Nomad had no allocation for it", "node-left": "the node left Consul",
  "node-failed": "the node failed, by Consul's word", policy: "the node broke the policy", rebalance: "another node was better, for as long as the policy asks",
} satisfies Record<MoveCause, string>;

function moveText({ from, cause, broken, brokenForMs }: MoveReason): string {
  const rules = broken.length === 0 ? "" : `: ${broken.join("; ")}`;
  return `away from ${from}: ${CAUSE[cause] ?? cause}${brokenForMs === undefined ? "" : ` for ${(brokenForMs / 1_000).toFixed(1)} s`}${rules}`;
}

/** For --json; `document` is what lies in KV, and what `policy replay` takes. */
export function keptDecisionDocument(kept: KeptDecision, replayed: Replay, signer: NodeView | undefined): object {
  const { record, key, beaconId } = kept.signed;
  const rest = record.rest;
  return {
    schemaVersion: 1,
    id: kept.id,
    verified: true,
    signedBy: { publicKey: key.hex, beaconId, node: record.node, ...signerOf(kept, signer) },
    decidedAtMs: record.decidedAtMs,
    datacenter: record.datacenter,
    job: record.job ?? null,
    move: record.move === undefined ? null : { from: record.move.from, cause: record.move.cause, broken: record.move.broken, brokenForMs: record.move.brokenForMs ?? null },
    policies: record.policies.map(({ role, name, mode, hash }) => ({ role, name, mode, hash })),
    counts: record.counts,
    chosen: chosenOf(record)?.facts.node ?? null,
    replay: replayed.ok ? { same: replayed.same, differences: replayed.differences, reason: null } : { same: null, differences: [], reason: replayed.reason },
    nodes: replayed.ok ? rankedNodes(replayed.decision) : record.candidates.map(({ facts, status, scorePpm }) => ({ node: facts.node, publicKey: facts.publicKey ?? null, status, scorePpm })),
    rest: rest === undefined ? null : { hash: rest.hash, brief: rest.brief },
    document: kept.document,
  };
}

export function replayLines(replayed: Replay): string[] {
  if (!replayed.ok) return [`not possible: ${replayed.reason}`];
  return replayed.same ? ["the same bytes"] : ["OTHER BYTES: the record is not what its policies make of its facts", ...replayed.differences];
}

/** Whether the key that signed is the one that this reader believes for the node, or led to it; null where it was not asked. */
function signerOf({ signed }: KeptDecision, signer: NodeView | undefined): { believed: boolean | null; trust: string | null } {
  if (signer === undefined) return { believed: null, trust: null };
  const keys = [signer.beacon?.key.hex, ...(signer.rotations ?? []).map(({ oldKey }) => oldKey)];
  return { believed: isBelieved(signer.trust) && keys.includes(signed.key.hex), trust: signer.trust };
}

function signerText({ believed, trust }: { believed: boolean | null; trust: string | null }, node: string): string {
  if (believed === null) return `whether that is ${printable(node)}'s was not asked`;
  return believed ? `${printable(node)}'s (${trust ?? ""})` : `NOT the one that ${printable(node)} is believed by (${trust ?? ""})`;
}

function reasonLines(decision: Decision): string[] {
  return decision.all().flatMap((ranked) => ["", placeLine(ranked), ...(decision.reasonsFor(ranked.candidate.node) ?? []).flatMap(({ role, reasons }) => [
    ...reasons.rules.map((result) => `    rule  ${role}  ${printable(ruleText(result))}`),
    ...reasons.terms.map((result) => `    term  ${role}  ${printable(termText(result))}`),
    ...(reasons.said ?? []).map((line) => `    said  ${role}  ${printable(line)}`),
  ]), `    from  beacon ${ranked.candidate.beaconHash ?? "none"}, state ${ranked.candidate.stateHash ?? "none"}`]);
}

function placeLine({ place, candidate, status, scorePpm }: Ranked): string {
  const score = status === "excluded" ? "" : `, score ${(scorePpm / 1_000_000).toFixed(6)}`;
  return `${place === undefined ? "-" : `${String(place)}.`} ${printable(candidate.node)}: ${status}${score}`;
}

function ruleText(result: RuleResult): string {
  const { rule, value, verdict } = result;
  if (verdict === "fail") return `${failureText(result)}: ${VERDICT.fail}`;
  return `${rule.name}: ${valueText(value, rule.unit)} (${limitText(rule)}): ${VERDICT[verdict]}`;
}

function termText({ term, value, score }: TermResult): string {
  const scale = term.best === undefined || term.worst === undefined ? "" : `, 1 at ${valueText(term.best, term.unit)} and 0 at ${valueText(term.worst, term.unit)}`;
  return `${term.name}: ${valueText(value, term.unit)} scores ${score.toFixed(6)}, weight ${String(term.weight)}${scale}`;
}

/** Without a replay there are no values beside the facts: what the record says of each. */
function verdictLines({ candidates, policies }: DecisionRecord): string[] {
  const names = policies.flatMap(({ role, rules }) => rules.map(({ name }) => `${role}  ${name}`));
  return candidates.flatMap(({ facts, status, scorePpm, verdicts }) => ["", `${printable(facts.node)}: ${status}${status === "excluded" ? "" : `, score ${(scorePpm / 1_000_000).toFixed(6)}`}`,
    ...verdicts.map((verdict, i) => `    rule  ${printable(names[i] ?? "")}: ${VERDICT[verdict]}`)]);
}
