/** A decision for people: a row for each node with its reasons, and what would have to change for one of them. */
import type { Decision, Ranked } from "../../policy/decide.js";
import { isBroken } from "../../policy/no-match.js";
import type { Change, WhyNot } from "../../policy/why-not.js";
import { failureText, valueText } from "../../policy/wording.js";
import { layOut, type TableOptions } from "./columns.js";
import { printable } from "./printable.js";

const HEADINGS = { place: "PLACE", node: "NODE", status: "STATUS", score: "SCORE", why: "WHY" } as const;
type Column = keyof typeof HEADINGS;

/** Without the last newline. */
export function rankingTable(decision: Decision, options: TableOptions): string {
  const rows = decision.all().map((ranked) => rowOf(decision, ranked));
  const plan = { headings: HEADINGS, left: new Set<Column>(["node", "status", "why"]), dropOrder: [], shrink: ["why", "node"] as const };
  const policies = decision.applied.map(({ role, evaluator: { identity } }) => `${printable(identity.name)} (${role}'s, ${identity.mode})`).join(" and ");
  const counts = (["eligible", "violating", "excluded"] as const).map((status) => `${String(decision.count(status))} ${status}`).join(", ");
  return [`Policy ${policies}: ${counts}`, "", ...layOut(plan, rows, options, (_, cell) => cell).lines].join("\n");
}

/** For --json: raw values in the unit that stands beside them, unknown null. */
export function rankingDocument(decision: Decision): object {
  return {
    schemaVersion: 1,
    policies: decision.applied.map(({ role, evaluator: { identity } }) => ({ role, ...identity })),
    nodes: rankedNodes(decision),
  };
}

/** Each node with its place, every rule's value and verdict, and every term. */
export function rankedNodes(decision: Decision): object[] {
  return decision.all().map(({ place, candidate, status, scorePpm }) => ({
    place: place ?? null, node: candidate.node, publicKey: candidate.publicKey ?? null, status, scorePpm: status === "excluded" ? null : scorePpm,
    beaconHash: candidate.beaconHash ?? null, stateHash: candidate.stateHash ?? null,
    reasons: (decision.reasonsFor(candidate.node) ?? []).map(({ role, reasons }) => ({
      role,
      rules: reasons.rules.map(({ rule, value, verdict, note }) => ({ ...rule, value: value ?? null, verdict, note: note ?? null })),
      terms: reasons.terms.map(({ term, value, score }) => ({ ...term, value: value ?? null, score })),
      said: reasons.said ?? [],
    })),
  }));
}

/** For --json, as rankingDocument. */
export function whyNotDocument({ standing, first, failures, placeIfMet, changes, said }: WhyNot): object {
  const { candidate, place, status, scorePpm } = standing;
  return {
    schemaVersion: 1,
    node: candidate.node,
    publicKey: candidate.publicKey ?? null,
    place: place ?? null,
    status,
    scorePpm: status === "excluded" ? null : scorePpm,
    first: first?.candidate.node ?? null,
    failures: failures.map(({ role, policy, result: { rule, value, verdict, note } }) => ({ role, policy, ...rule, value: value ?? null, verdict, note: note ?? null })),
    placeIfMet: placeIfMet ?? null,
    changes: changes.map(({ from, ...change }) => ({ ...change, from: from ?? null })),
    said,
  };
}

/** What would have to change for the node to be first. */
export function whyNotText({ standing, first, failures, placeIfMet, changes, said }: WhyNot): string {
  const node = printable(standing.candidate.node);
  const head =
    standing.place === 1 ? `${node} is first.`
    : standing.place === undefined ? `${node} may not be chosen${first === undefined ? "; nobody may" : `; ${printable(first.candidate.node)} is first`}.`
    : `${node} is number ${String(standing.place)}; ${printable(first?.candidate.node ?? "nobody")} is first.`;
  const broken = failures.map(({ policy, result }) => `  ${printable(policy)}: ${printable(failureText(result))}`);
  const ifMet = failures.length === 0 ? [] : [placeIfMet === undefined ? "With these met it would still break a rule." : `With these just met it would be number ${String(placeIfMet)}.`];
  const none = changes.length === 0 && placeIfMet !== undefined && placeIfMet > 1 ? ["No single value would make it first."] : [];
  return [head, ...broken, ...said.map((line) => `  ${printable(line)}`), ...ifMet, ...changes.map(changeText), ...none].join("\n");
}

function changeText({ fact, unit, from, to, higherIsBetter, orBetter }: Change): string {
  return `  ${printable(fact)} is ${valueText(from, unit)}; at ${valueText(to, unit)}${orBetter ? ` or ${higherIsBetter ? "more" : "less"}` : ""} it would be first.`;
}

function rowOf(decision: Decision, { place, candidate, status, scorePpm }: Ranked): Record<Column, string> {
  const reasons = decision.reasonsFor(candidate.node) ?? [];
  const broken = reasons.flatMap(({ reasons: { rules } }) => rules.filter(isBroken).map(failureText));
  const terms = (reasons.at(-1)?.reasons.terms ?? []).map(({ term, value, score }) => `${term.name} ${valueText(value, term.unit)} (${score.toFixed(2)})`);
  return {
    place: place === undefined ? "-" : String(place),
    node: printable(candidate.node),
    status,
    score: status === "excluded" ? "-" : (scorePpm / 1_000_000).toFixed(3),
    why: printable((broken.length > 0 ? broken : terms).join("; ")),
  };
}
