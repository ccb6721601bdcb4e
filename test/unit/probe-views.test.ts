/** What `hypercore probe` prints: values, unknowns, and what to do where nothing answers. */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { Ajv2020 } from "ajv/dist/2020.js";
import { type ProbeSample, summarizeProbes } from "../../src/beacon/link-statistics.js";
import { probeDocument, summaryDocument } from "../../src/commands/views/probe-documents.js";
import { probeHead, probeLine, probeSummary } from "../../src/commands/views/probe-lines.js";
import { type ProbedTarget, type ProbeFindings, probeProblem } from "../../src/commands/views/probe-problem.js";
import { projectRoot } from "../../src/dev/project-root.js";

const target: ProbedTarget = { host: "far.example", address: "192.0.2.9", port: 8862, authenticated: false, sizeBytes: 44 };
const at = (sequence: number) => ({ sequence, sentAtMs: 1_000 + sequence });
const received = (sequence: number, rttUs: number, reflectorSequence = sequence): ProbeSample => ({ outcome: "received", ...at(sequence), rttUs, reflectorSequence, reordered: false });
const lost = (sequence: number): ProbeSample => ({ outcome: "lost", ...at(sequence) });
const note = (outcome: "late" | "duplicate" | "discarded", sequence: number): ProbeSample => ({ outcome, ...at(sequence), reflectorSequence: sequence, reordered: outcome === "late" });

function findings(samples: ProbeSample[], more: Partial<ProbeFindings> = {}): ProbeFindings {
  const rtts = samples.flatMap((sample) => (sample.outcome === "received" ? [sample.rttUs] : []));
  return { summary: summarizeProbes(samples, { startMs: 1_000, endMs: 9_000 }), leftOut: 0, refused: { "bad-hmac": 0, unmatched: 0 }, ...(rtts.length === 0 ? {} : { maxUs: Math.max(...rtts) }), ...more };
}

test("a line for each outcome", () => {
  expect(probeHead(target)).toBe("PROBE far.example (192.0.2.9) port 8862 (UDP, STAMP, unauthenticated), 44 bytes");
  expect(probeHead({ ...target, host: "::1", address: "::1", authenticated: true, sizeBytes: 112 })).toBe("PROBE ::1 port 8862 (UDP, STAMP, authenticated), 112 bytes");
  expect([received(0, 52.4), lost(1), note("late", 1), note("duplicate", 0), note("discarded", 2)].map(probeLine)).toEqual([
    "seq=0  0.052 ms",
    "seq=1  no answer",
    "seq=1  answered too late, after the answer to a later probe",
    "seq=0  answered once more",
    "seq=2  answered; not measured, since this process was held up",
  ]);
});

test("the summary: counts, direction of loss, round trips, jitter, delay variation", () => {
  // The reflector's third answer carries 2 for the sender's 3: of two lost probes it answered one.
  const samples = [received(0, 100), lost(1), lost(2), received(3, 300, 2), note("duplicate", 3)];
  expect(probeSummary(target, findings(samples)).split("\n")).toEqual([
    "",
    "--- far.example (192.0.2.9) port 8862 ---",
    "probes  4 sent, 2 received, 50.00% lost, 1 duplicates",
    "lost    1 forward, 1 backward, 0 not known, longest burst 2",
    "rtt     min 0.100  p50 0.100  p95 0.300  p99 0.300  max 0.300 ms",
    "jitter  0.013 ms (RFC 3550)",
    "pdv     p95 0.200  p99 0.200 ms over the minimum (RFC 5481)",
  ]);
});

test("what is not known is not printed, and a stateless reflector gives no direction", () => {
  expect(probeSummary(target, findings([received(0, 100), lost(1), received(2, 90)]))).toContain("direction unknown");
  const one = probeSummary(target, findings([received(0, 100)], { leftOut: 7 }));
  expect(one).not.toMatch(/jitter|NaN|undefined/);
  expect(one).toContain("the 7 samples before them are left out");
  expect(probeSummary(target, findings([lost(0), note("late", 0)]))).toContain("Every answer came too late: give it longer with -W.");
});

test.each<[string, Partial<ProbeFindings>, Partial<ProbedTarget>, string, string]>([
  ["silence", {}, {}, "no-answer", "answers the known peers of its cluster only"],
  ["silence to an unauthenticated probe", {}, {}, "no-answer", "answers only with its key: --key-file"],
  ["silence to an authenticated probe", {}, { authenticated: true }, "no-answer", "another key, or with none, does not answer"],
  ["ICMP port unreachable", { unreachable: "ECONNREFUSED" }, {}, "port-unreachable", "nothing listens on UDP port 8862"],
  ["no route", { unreachable: "ENETUNREACH" }, {}, "unreachable", "no way to 192.0.2.9 (ENETUNREACH)"],
  ["an own firewall", { unreachable: "EPERM" }, {}, "not-permitted", "does not let the probes out"],
  ["another key", { refused: { "bad-hmac": 2 } }, { authenticated: true }, "bad-hmac", "2 answers had an HMAC of another key"],
  ["something else there", { refused: { short: 1, unmatched: 2 } }, {}, "no-stamp", "short 1, unmatched 2"],
])("%s is named with what to do", (_, more, of, code, message) => {
  const problem = probeProblem({ ...target, ...of }, findings([lost(0)], more));
  expect(problem).toEqual({ code, message: expect.stringContaining(message) });
  expect(probeSummary({ ...target, ...of }, findings([lost(0)], more))).toContain(message);
});

test("nothing finished is no loss; one answer is no problem", () => {
  expect(probeProblem(target, findings([]))?.code).toBe("none-finished");
  expect(probeSummary(target, findings([]))).toContain("probes  0 sent, 0 received\n");
  expect(probeProblem(target, findings([lost(0), received(1, 5)], { unreachable: "ECONNREFUSED" }))).toBeUndefined();
});

test("a name from the command line cannot write on the terminal", () => {
  expect(probeHead({ ...target, host: "a\u001b[2J" })).toContain("a\\u001b[2J");
});

describe("--json", () => {
  const schema = JSON.parse(readFileSync(join(projectRoot(), "schemas/probe.schema.json"), "utf8")) as { $defs: Record<string, { properties: object }> };
  const validate = new Ajv2020({ strict: true, allowUnionTypes: true }).compile(schema);
  const cases = [
    ...[received(0, 52.4), lost(1), note("late", 1), note("duplicate", 0), note("discarded", 2)].map(probeDocument),
    summaryDocument(target, findings([received(0, 100), lost(1), received(2, 300, 1), note("discarded", 3)])),
    summaryDocument(target, findings([lost(0)], { unreachable: "ECONNREFUSED" })),
    summaryDocument(target, findings([])),
    { schemaVersion: 1, error: { code: "unresolvable", message: "no", exitCode: 1 } },
  ];

  test.each(cases)("%j is as the schema says, with every field of it", (document) => {
    validate(JSON.parse(JSON.stringify(document)));
    expect(validate.errors).toBeNull();
    const kind = "type" in document ? document.type : "error";
    expect(Object.keys(document).sort()).toEqual(Object.keys(schema.$defs[kind]?.properties ?? {}).sort());
  });

  test("the schema refuses a missing field and a wrong outcome", () => {
    const [first] = cases;
    expect(validate({ ...first, outcome: "maybe" })).toBe(false);
    const { rttMs: _, ...missing } = first as ReturnType<typeof probeDocument>;
    expect(validate(missing)).toBe(false);
  });

  test("unknown is null, milliseconds and ratios are the units", () => {
    expect(summaryDocument(target, findings([lost(0)]))).toMatchObject({ answered: false, loss: { ratio: 1, direction: null }, rtt: null, jitter: null, pdv: null, problem: { code: "no-answer" } });
    expect(summaryDocument(target, findings([received(0, 100), received(1, 300)]))).toMatchObject({ answered: true, rtt: { minMs: 0.1, p50Ms: 0.1, maxMs: 0.3 }, jitter: { ms: 0.0125 }, pdv: { p95Ms: 0.2 }, problem: null });
    expect(summaryDocument(target, findings([]))).toMatchObject({ loss: null });
    expect(probeDocument(lost(0))).toMatchObject({ rttMs: null });
  });
});
