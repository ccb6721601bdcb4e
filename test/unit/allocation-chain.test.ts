/** One allocation's chain while the sidecar samples, is killed at any point, and starts again: one chain, gaps told, no event twice. */
import { createHash } from "node:crypto";
import { mkdtempSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import fc from "fast-check";
import { BEACON, openStatement, seal } from "../../src/beacon/envelope.js";
import { KeyAdmission } from "../../src/beacon/keys.js";
import { checkChain } from "../../src/beacon/proof-chain.js";
import { PROOF } from "../../src/beacon/proof-codec.js";
import type { AllocationRun } from "../../src/sidecar/nomad-runs.js";
import { AllocationChain, KEPT_SEGMENTS, type Signing } from "../../src/sidecar/proofs/allocation-chain.js";
import { ProofFolder } from "../../src/sidecar/state/proof-folder.js";
import { STARTED_MS, SUBJECT } from "../harness/proofs.js";
import { beacon, identity } from "../harness/records.js";

const SAMPLE_MS = 1_000;
const keys = new KeyAdmission();
const own = Buffer.from(identity(1).publicKey).toString("hex");
const trust = { keys, isOwnKey: (key: string) => key === own };
let dir: string;
let folder: ProofFolder;
beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), "ibrl-proofs-"));
  folder = new ProofFolder(dir);
});
afterEach(() => rmSync(dir, { recursive: true, force: true }));

const signing = (epoch = 1): Signing => ({ node: "node-1", datacenter: "dc1", epoch, beacon: { hash: "22".repeat(32), sealed: Buffer.alloc(171) }, identity: identity(1), keys });
const started = { type: "Started", atNs: STARTED_MS * 1e6 };
function run(changes: Partial<AllocationRun> = {}, events = [started]): AllocationRun {
  return {
    id: SUBJECT.allocation, jobId: "web", namespace: "default", taskGroup: "app", jobVersion: 0, jobHash: SUBJECT.jobHash, driver: "raw_exec", clientStatus: "running",
    tasks: [{ name: "web", startedAtMs: STARTED_MS, restarts: 0, events }], ...changes,
  };
}
/** As after a start of the sidecar: only what is on the disk is known. */
const onDisk = () => new AllocationChain(SAMPLE_MS, folder.read(SUBJECT.allocation), trust, (kept) => folder.write(SUBJECT.allocation, kept));
const segments = () => (folder.read(SUBJECT.allocation)?.segments ?? []).map((sealed) => {
  const opened = openStatement(PROOF, sealed, keys);
  if (!opened.ok) throw new Error(opened.detail);
  return opened.signed;
});
const events = () => segments().flatMap(({ record }) => record.events.map(({ type }) => type));

test("from start to exit: samples, a restart, the exit code", () => {
  const chain = onDisk();
  const restarted = [started, { type: "Restarting", atNs: started.atNs + 2e9 }];
  chain.see(run(), { cpuPpm: 10, memoryBytes: 20 }, STARTED_MS + 1_000, signing());
  chain.see(run({ tasks: [{ name: "web", startedAtMs: STARTED_MS + 2_000, restarts: 1, events: restarted }] }), { memoryBytes: 21 }, STARTED_MS + 3_000, signing());
  const ended = [...restarted, { type: "Terminated", atNs: started.atNs + 3.5e9, exitCode: 3 }];
  chain.see(run({ clientStatus: "failed", tasks: [{ name: "web", startedAtMs: STARTED_MS + 2_000, finishedAtMs: STARTED_MS + 3_500, restarts: 1, events: ended }] }), undefined, STARTED_MS + 4_000, signing());
  expect(chain.ended).toBe(true);
  chain.see(run(), {}, STARTED_MS + 5_000, signing());
  expect(checkChain(segments())).toMatchObject({ ok: true, startedMs: STARTED_MS, endedMs: STARTED_MS + 3_500, gaps: [], totals: { watchedMs: 3_500, restarts: 1 } });
  expect(segments().map(({ record }) => record.spans)).toEqual([[{ endMs: STARTED_MS + 1_000, cpuPpm: 10, memoryBytes: 20 }], [{ endMs: STARTED_MS + 3_000, memoryBytes: 21 }], [{ endMs: STARTED_MS + 3_500 }]]);
  expect(segments().flatMap(({ record }) => record.events)).toEqual([
    { task: "web", type: "Started", atMs: STARTED_MS }, { task: "web", type: "Restarting", atMs: STARTED_MS + 2_000 }, { task: "web", type: "Terminated", atMs: STARTED_MS + 3_500, exitCode: 3 },
  ]);
  expect(segments().at(-1)?.record.ended).toBe("failed");
});

test("the beacons that the kept segments name, and the decision, are beside them on the disk, across a restart and a rotation of beacons", () => {
  const sealedBeacon = (sequence: number) => {
    const sealed = seal(BEACON, beacon({ sequence }), identity(1));
    return { hash: createHash("sha256").update(sealed).digest("hex"), sealed };
  };
  const by = (sequence: number): Signing => ({ ...signing(), beacon: sealedBeacon(sequence) });
  const chain = onDisk();
  expect(chain.hasDecision).toBe(false);
  chain.takeDecision(Buffer.from("a decision"));
  chain.see(run(), {}, STARTED_MS + 1_000, by(1));
  chain.see(run({}, [started, { type: "Signaling", atNs: started.atNs + 1e9 }]), {}, STARTED_MS + 2_000, by(1));
  const again = onDisk();
  expect(again.hasDecision).toBe(true);
  again.see(run(), {}, STARTED_MS + 3_000, by(2));
  again.flush(STARTED_MS + 3_000, by(2));
  const kept = folder.read(SUBJECT.allocation);
  expect(kept?.decision).toEqual(Buffer.from("a decision"));
  expect(kept?.beacons).toEqual([1, 2].map((sequence) => Buffer.from(sealedBeacon(sequence).sealed)));
  expect(segments().map(({ record }) => record.beaconHash)).toEqual([1, 1, 2].map((sequence) => sealedBeacon(sequence).hash));
});

test("while Nomad gives no sample, and while the sidecar does not run, there are gaps, each with its reason", () => {
  const chain = onDisk();
  chain.see(run(), {}, STARTED_MS + 1_000, signing());
  chain.see(run(), undefined, STARTED_MS + 2_000, signing());
  chain.see(run(), {}, STARTED_MS + 6_000, signing());
  chain.flush(STARTED_MS + 6_000, signing());
  const again = onDisk();
  again.see(run(), {}, STARTED_MS + 60_000, signing(2));
  again.see(run(), {}, STARTED_MS + 61_000, signing(2));
  again.flush(STARTED_MS + 61_000, signing(2));
  expect(checkChain(segments())).toMatchObject({ ok: true, gaps: [{ reason: "no-answer", ms: 5_000 }, { reason: "not-watched", ms: 54_000 }], totals: { watchedMs: 2_000, gapMs: 59_000 } });
  expect(events()).toEqual(["Started"]);
});

test("one that ended before anybody looked is one gap with its events", () => {
  const ended = [started, { type: "Terminated", atNs: started.atNs + 9e9, exitCode: 0 }];
  onDisk().see(run({ clientStatus: "complete", tasks: [{ name: "web", startedAtMs: STARTED_MS, finishedAtMs: STARTED_MS + 9_000, restarts: 0, events: ended }] }), undefined, STARTED_MS + 90_000, signing());
  expect(checkChain(segments())).toMatchObject({ ok: true, endedMs: STARTED_MS + 9_000, totals: { watchedMs: 0, gapMs: 9_000 } });
  expect(events()).toEqual(["Started", "Terminated"]);
});

test("killed after any sample, any number of times: one unbroken chain, every event once, every moment told", () => {
  fc.assert(fc.property(fc.array(fc.constantFrom("sample", "kill", "restart", "clock back"), { maxLength: 60 }), (steps) => {
    rmSync(join(dir, "proofs"), { recursive: true, force: true });
    let [chain, epoch, nowMs, nomadMs] = [onDisk(), 1, STARTED_MS, STARTED_MS];
    const told = [started];
    for (const step of steps) {
      nowMs += step === "clock back" ? -300 : 900;
      if (step === "kill") [chain, epoch] = [onDisk(), epoch + 1];
      nomadMs += 700;
      if (step === "restart") told.push({ type: `Restarting ${String(told.length)}`, atNs: nomadMs * 1e6 });
      chain.see(run({}, told), {}, nowMs, signing(epoch));
    }
    chain.see(run({ clientStatus: "complete" }, told), undefined, nowMs + 1_000, signing(epoch));
    expect(checkChain(segments())).toMatchObject({ ok: true, prunedSegments: 0, startedMs: STARTED_MS });
    expect(events()).toEqual(told.map(({ type }) => type));
  }), { numRuns: 60 });
});

test("the oldest segments are pruned, and their events are not told again", () => {
  const chain = onDisk();
  for (let i = 1; i <= 10 * (KEPT_SEGMENTS + 5); i++) chain.see(run(), {}, STARTED_MS + i * SAMPLE_MS, signing());
  expect(segments()).toHaveLength(KEPT_SEGMENTS);
  expect(checkChain(segments())).toMatchObject({ ok: true, totals: { gapMs: 0 } });
  const again = onDisk();
  again.see(run(), {}, STARTED_MS + 10 * (KEPT_SEGMENTS + 6) * SAMPLE_MS, signing(2));
  again.flush(STARTED_MS + 10 * (KEPT_SEGMENTS + 6) * SAMPLE_MS, signing(2));
  expect(checkChain(segments())).toMatchObject({ ok: true });
  expect(events()).toEqual([]);
});

test("a write that fails leaves the chain on the disk as it was, and it goes on from there", () => {
  onDisk().see(run(), {}, STARTED_MS + 1_000, signing());
  const full = new AllocationChain(SAMPLE_MS, folder.read(SUBJECT.allocation), trust, () => {
    throw new Error("disk full");
  });
  full.see(run(), {}, STARTED_MS + 2_000, signing());
  expect(() => full.flush(STARTED_MS + 2_000, signing())).toThrow("disk full");
  const again = onDisk();
  again.see(run(), {}, STARTED_MS + 3_000, signing());
  again.flush(STARTED_MS + 3_000, signing());
  expect(checkChain(segments())).toMatchObject({ ok: true, totals: { watchedMs: 3_000 } });
  expect(readdirSync(join(dir, "proofs"))).toEqual([`${SUBJECT.allocation}.json`]);
});

test("a chain that was changed on the disk, or is another key's, is not gone on with", () => {
  const chain = onDisk();
  chain.see(run(), {}, STARTED_MS + 1_000, signing());
  chain.see(run({}, [started, { type: "Signaling", atNs: started.atNs + 1e9 }]), {}, STARTED_MS + 2_000, signing());
  const kept = folder.read(SUBJECT.allocation);
  folder.write(SUBJECT.allocation, { segments: (kept?.segments ?? []).slice(1), beacons: [], eventsUntilNs: {} });
  expect(onDisk).toThrow("segment 1 of 1: begins with segment 1");
  folder.write(SUBJECT.allocation, { segments: kept?.segments ?? [], beacons: [], eventsUntilNs: {} });
  expect(() => new AllocationChain(SAMPLE_MS, kept, { keys, isOwnKey: () => false }, () => {})).toThrow("not this node's");
  writeFileSync(join(dir, "proofs", `${SUBJECT.allocation}.json`), '{"v":1,"segm');
  expect(onDisk).toThrow("is not a chain of proofs");
});
