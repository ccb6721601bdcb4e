/**
 * A decision worked out again, from its record alone: the same facts through the same policies must give the same bytes.
 * A record whose last candidates are brief is replayed over the complete ones, with the scales that it states.
 */
import type { Candidate } from "./candidate.js";
import { CandidateTable } from "./candidate-table.js";
import { decideAmong, type Decision, type Policies, type Scales } from "./decide.js";
import { DECISION } from "./decision-codec.js";
import { type DecisionRecord, type RecordedPolicy, recordOf } from "./decision-record.js";
import type { Evaluator } from "./evaluator.js";
import { JsonEvaluator } from "./json-evaluator.js";
import { readPolicy } from "./policy-file.js";

export type Replay =
  | { ok: true; decision: Decision; same: boolean; differences: readonly string[] }
  /** A policy of the record cannot be run here. */
  | { ok: false; reason: string };

/** `moduleOf` brings what a record has only by its hash. */
export async function replay(record: DecisionRecord, moduleOf: (policy: RecordedPolicy) => Promise<Evaluator | undefined> = async () => undefined): Promise<Replay> {
  const policies: Policies = {};
  for (const policy of record.policies) {
    const evaluator = policy.file === undefined ? await moduleOf(policy) : evaluatorOf(policy.file);
    if (evaluator === undefined) return { ok: false, reason: `policy ${policy.name} (${policy.hash}) is not at hand, or cannot be read` };
    if (evaluator.identity.hash !== policy.hash) return { ok: false, reason: `policy ${policy.name} has hash ${evaluator.identity.hash}; the record says ${policy.hash}` };
    policies[policy.role] = evaluator;
  }
  const candidates = record.candidates.map(({ facts }): Candidate => ({ ...facts, nodeId: "", address: "" }));
  const table = new CandidateTable(candidates, record.needs);
  const request = { ...(record.job === undefined ? {} : { job: record.job }), ...(record.move === undefined ? {} : { move: record.move }) };
  const decision = await decideAmong(table, policies, request, record.decidedAtMs, record.rest === undefined ? {} : scalesOf(record));
  const { rest, counts } = record;
  const again = recordOf(decision, { node: record.node, datacenter: record.datacenter });
  // What the complete candidates cannot say is carried over.
  const whole: DecisionRecord = rest === undefined ? again : { ...again, rest, counts };
  const same = Buffer.compare(DECISION.encode(whole), DECISION.encode(record)) === 0;
  return { ok: true, decision, same, differences: same ? [] : differencesOf(record, whole) };
}

function evaluatorOf(file: Uint8Array): Evaluator | undefined {
  const read = readPolicy(file);
  return read.ok ? new JsonEvaluator(read.file) : undefined;
}

function scalesOf(record: DecisionRecord): Scales {
  return Object.fromEntries(record.policies.map(({ role, terms }) => [
    role, new Map(terms.flatMap(({ name, best, worst }) => (best === undefined || worst === undefined ? [] : [[name, { best, worst }] as const]))),
  ]));
}

/** For people: where the two part. */
function differencesOf(record: DecisionRecord, again: DecisionRecord): string[] {
  const of = (what: string, a: unknown, b: unknown): string[] => (JSON.stringify(a) === JSON.stringify(b) ? [] : [`${what}: the record says ${JSON.stringify(a)}, the replay ${JSON.stringify(b)}`]);
  return [
    ...of("counts", record.counts, again.counts),
    ...of("order", record.candidates.map(({ facts }) => facts.node), again.candidates.map(({ facts }) => facts.node)),
    ...record.candidates.flatMap((candidate) => {
      const other = again.candidates.find(({ facts }) => facts.node === candidate.facts.node);
      const { facts: _, ...said } = candidate;
      return of(candidate.facts.node, said, other === undefined ? undefined : { status: other.status, scorePpm: other.scorePpm, verdicts: other.verdicts, termScoresPpm: other.termScoresPpm, said: other.said });
    }),
    ...of("rules and terms", record.policies.map(({ rules, terms }) => ({ rules, terms })), again.policies.map(({ rules, terms }) => ({ rules, terms }))),
  ];
}
