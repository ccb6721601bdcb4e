/**
 * One allocation's chain while the sidecar runs: samples and events come in, segments go out. What is not sealed yet is in
 * memory only; after a kill the chain goes on from its last segment, and the time in between is a gap in it.
 */
import { createHash, type KeyObject } from "node:crypto";
import { openStatement, seal, type Signed } from "../../beacon/envelope.js";
import type { KeyAdmission } from "../../beacon/keys.js";
import { checkChain, nextSegment } from "../../beacon/proof-chain.js";
import { PROOF } from "../../beacon/proof-codec.js";
import { addTraffic, endOf, type ProofEvent, type ProofSegment, type ProofSpan } from "../../beacon/proof-record.js";
import type { Traffic } from "../../beacon/record.js";
import type { AllocationRun, AllocationUsage } from "../nomad-runs.js";

/** What is kept on the disk of one chain. The oldest segments go first. */
export const KEPT_SEGMENTS = 96;
/** Samples in one segment: one signature and one write to the disk for all of them. */
const SEGMENT_SAMPLES = 10;
/** A sample that comes later than so many periods ends a gap: what happened in it nobody looked at. */
const GAP_PERIODS = 2.5;
/** The sidecar did not run, or was in no cluster; it ran, and Nomad did not answer. */
const NOT_WATCHED = "not-watched";
const NO_ANSWER = "no-answer";
const ENDED: ReadonlySet<string> = new Set(["complete", "failed"]);

export interface Signing {
  node: string;
  datacenter: string;
  epoch: number;
  /** The node's own, as it stands. */
  beacon: { hash: string; sealed: Uint8Array };
  identity: { publicKey: Uint8Array; privateKey: KeyObject };
  keys: KeyAdmission;
}

export interface Kept {
  segments: readonly Uint8Array[];
  /** That the segments name, in the order of their first naming; fewer where an earlier version kept none. */
  beacons: readonly Uint8Array[];
  /** Sealed; absent where none placed it, or it could not be read yet. */
  decision?: Uint8Array;
  eventsUntilNs: Readonly<Record<string, number>>;
}

export class AllocationChain {
  #segments: readonly Uint8Array[] = [];
  #last: Signed<ProofSegment> | undefined;
  /** Of each segment, what it names. */
  #named: readonly string[] = [];
  #beacons: ReadonlyMap<string, Uint8Array> = new Map();
  #decision: Uint8Array | undefined;
  #eventsUntilNs: Readonly<Record<string, number>> = {};
  #spans: ProofSpan[] = [];
  #run: AllocationRun | undefined;
  /** Counted, and in no span yet. */
  #traffic: Traffic | undefined;

  /** Throws where what was kept is not a chain of this node's: nothing may be added to it then. `write` returns when it is on the disk. */
  constructor(
    private readonly sampleMs: number,
    kept: Kept | null,
    trust: { keys: KeyAdmission; isOwnKey: (hex: string) => boolean },
    private readonly write: (kept: Kept) => void,
  ) {
    if (kept === null) return;
    const opened = kept.segments.map((sealed) => {
      const one = openStatement(PROOF, sealed, trust.keys);
      if (!one.ok) throw new Error(`${one.reason}: ${one.detail}`);
      if (!trust.isOwnKey(one.signed.key.hex)) throw new Error(`signed by key ${one.signed.key.hex}, which is not this node's`);
      return one.signed;
    });
    const verdict = checkChain(opened);
    if (!verdict.ok) throw new Error(`segment ${String(verdict.position)} of ${String(opened.length)}: ${verdict.detail}`);
    [this.#segments, this.#last, this.#eventsUntilNs] = [kept.segments, opened.at(-1), kept.eventsUntilNs];
    this.#named = opened.map(({ record }) => record.beaconHash);
    this.#beacons = new Map(kept.beacons.map((sealed) => [sha256(sealed), sealed]));
    this.#decision = kept.decision;
  }

  get ended(): boolean {
    return (this.#last?.record.ended ?? "") !== "";
  }
  get newest(): Signed<ProofSegment> | undefined {
    return this.#last;
  }

  get hasDecision(): boolean {
    return this.#decision !== undefined;
  }

  /** On the disk with the next segment. */
  takeDecision(sealed: Uint8Array): void {
    this.#decision = sealed;
  }

  /**
   * `usage`: absent where Nomad gave none. `traffic`: since the look before; absent where nothing counts. Seals where something is
   * to be told, and then throws what `write` throws.
   */
  see(run: AllocationRun, usage: AllocationUsage | undefined, nowMs: number, signing: Signing, traffic?: Traffic): void {
    if (this.ended) return;
    this.#traffic = addTraffic(this.#traffic, traffic);
    const watched = this.#run !== undefined;
    this.#run = run;
    const ended = ENDED.has(run.clientStatus);
    const finishedAtMs = run.tasks.flatMap(({ finishedAtMs: at }) => at ?? []);
    if (ended) this.#cover(finishedAtMs.length > 0 ? Math.max(...finishedAtMs) : nowMs, {}, watched);
    else if (run.clientStatus === "running" && usage !== undefined) this.#cover(nowMs, usage, watched);
    const told = run.tasks.some(({ name, events }) => events.some(({ atNs }) => atNs > (this.#eventsUntilNs[name] ?? 0)));
    if (this.#last === undefined || told || ended || this.#spans.length >= SEGMENT_SAMPLES) this.#seal(run, nowMs, signing);
  }

  /** Seals what has not been. */
  flush(nowMs: number, signing: Signing): void {
    if (this.#run !== undefined && !this.ended && this.#spans.length > 0) this.#seal(this.#run, nowMs, signing);
  }

  get #endMs(): number | undefined {
    return this.#spans.at(-1)?.endMs ?? (this.#last === undefined ? undefined : endOf(this.#last.record));
  }

  #cover(untilMs: number, usage: AllocationUsage, watched: boolean): void {
    const fromMs = this.#endMs ?? startOf(this.#run);
    if (untilMs <= fromMs) return; // a clock went back, or it ended before the last sample was taken
    const late = untilMs - fromMs > GAP_PERIODS * this.sampleMs;
    const traffic = this.#traffic === undefined ? {} : { traffic: { ...this.#traffic, meteredMs: Math.min(this.#traffic.meteredMs, untilMs - fromMs) } };
    this.#traffic = undefined;
    this.#spans.push({ endMs: untilMs, ...(late ? { gap: watched ? NO_ANSWER : NOT_WATCHED } : usage), ...traffic });
  }

  #seal(run: AllocationRun, nowMs: number, { node, datacenter, epoch, beacon, identity, keys }: Signing): void {
    const before = this.#last?.record;
    const ended = ENDED.has(run.clientStatus) ? run.clientStatus : "";
    const segment = nextSegment(
      {
        node: before?.node ?? node, datacenter: before?.datacenter ?? datacenter,
        allocation: run.id, job: run.jobId, namespace: run.namespace, taskGroup: run.taskGroup,
        jobVersion: run.jobVersion, driver: run.driver,
        jobHash: before?.jobVersion === run.jobVersion ? before.jobHash : run.jobHash,
        ...(run.decisionId === undefined ? {} : { decisionId: run.decisionId }),
      },
      this.#last, startOf(run),
      {
        epoch, issuedAtMs: nowMs, beaconHash: beacon.hash, ended,
        spans: this.#spans,
        events: this.#newEvents(run),
        restarts: Math.max(before?.totals.restarts ?? 0, run.tasks.reduce((sum, { restarts }) => sum + restarts, 0)),
      },
      KEPT_SEGMENTS,
    );
    const opened = openStatement(PROOF, seal(PROOF, segment, identity), keys);
    if (!opened.ok) throw new Error(`a proof that this node sealed does not open: ${opened.reason}: ${opened.detail}`);
    const segments = [...this.#segments, opened.signed.sealed];
    const keeps = segment.index + 1 - segment.keptFrom;
    const named = [...this.#named, beacon.hash].slice(-keeps);
    const known = new Map([...this.#beacons, [beacon.hash, beacon.sealed]]);
    const beacons = new Map([...new Set(named)].flatMap((hash) => {
      const sealed = known.get(hash);
      return sealed === undefined ? [] : [[hash, sealed] as const];
    }));
    const kept: Kept = {
      segments: segments.slice(-keeps), beacons: [...beacons.values()], eventsUntilNs: this.#untilNs(run),
      ...(this.#decision === undefined ? {} : { decision: this.#decision }),
    };
    this.write(kept);
    [this.#segments, this.#eventsUntilNs, this.#last, this.#spans] = [ended === "" ? kept.segments : [], kept.eventsUntilNs, opened.signed, []];
    [this.#named, this.#beacons] = [named, beacons];
  }

  #newEvents(run: AllocationRun): ProofEvent[] {
    return run.tasks
      .flatMap(({ name, events }) => events
        .filter(({ atNs }) => atNs > (this.#eventsUntilNs[name] ?? 0))
        .map(({ atNs, ...event }) => ({ task: name, atMs: Math.floor(atNs / 1e6), ...event })))
      .sort((a, b) => a.atMs - b.atMs);
  }

  #untilNs(run: AllocationRun): Record<string, number> {
    const latest = run.tasks.map(({ name, events }) => [name, Math.max(this.#eventsUntilNs[name] ?? 0, ...events.map(({ atNs }) => atNs))] as const);
    return { ...this.#eventsUntilNs, ...Object.fromEntries(latest) };
  }
}

function sha256(bytes: Uint8Array): string {
  return createHash("sha256").update(bytes).digest("hex");
}

/** The first task's start, as far as Nomad remembers it. */
function startOf(run: AllocationRun | undefined): number {
  const started = run?.tasks.flatMap(({ startedAtMs }) => startedAtMs ?? []) ?? [];
  const told = run?.tasks.flatMap(({ events }) => events.filter(({ type }) => type === "Started").map(({ atNs }) => Math.floor(atNs / 1e6))) ?? [];
  return Math.min(...started, ...told);
}
