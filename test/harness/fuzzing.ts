/**
 * Mutated records through the decoders and through `open()`. The decoders of records throw RecordError, which `open` turns
 * into a rejection; any other throw, and any record that opens and was not sealed, is a finding.
 */
import { decodeBeacon, encodeBeacon, RecordError } from "../../src/beacon/codec.js";
import { BEACON, keyIn, open, type Opened, type Purpose, seal, STATE } from "../../src/beacon/envelope.js";
import type { RecordHeader } from "../../src/beacon/record.js";
import { KeyAdmission } from "../../src/beacon/keys.js";
import { decodeState, encodeState } from "../../src/beacon/state-codec.js";
import { batchesOf, readBatches } from "../../src/beacon/workload-codec.js";
import { mutated, seededIntegers } from "./mutations.js";
import { beacon, context, identity, placedWorkloads, state, workload } from "./records.js";

export interface FuzzResult {
  /** By outcome: "decoded", "opened", a reject reason, or the name of an error. */
  outcomes: Record<string, number>;
  findings: string[];
}

const richState = state({ workloads: [workload(1), workload(2)], probe: { address: "192.0.2.17", port: 8862, publicKey: "ab".repeat(32) } });
/** A broken decoder would have millions to tell. */
const MOST_FINDINGS = 100;

/** `count` inputs, in turns to the decoders of envelope, beacon, state, a state that names batches, and a batch. */
export function fuzzDecoders(count: number, seed: number): FuzzResult {
  const workloads = placedWorkloads(11);
  const payloads = [seal(BEACON, beacon(), identity(1)), encodeBeacon(beacon()), encodeState(richState), encodeState(state({ workloads })), batchesOf(workloads)[0] as Uint8Array];
  const decoders = [(bytes: Uint8Array) => keyIn(BEACON, bytes) ?? "no envelope", decodeBeacon, decodeState, decodeState, (bytes: Uint8Array) => readBatches([bytes], 10)];
  const integer = seededIntegers(seed);
  const result: FuzzResult = { outcomes: {}, findings: [] };
  for (let i = 0; i < count; i++) {
    const bytes = mutated(payloads[i % payloads.length] as Uint8Array, payloads, integer);
    try {
      const decoded = (decoders[i % decoders.length] as (bytes: Uint8Array) => unknown)(bytes);
      note(result, typeof decoded === "string" ? decoded : "decoded");
    } catch (error) {
      if (error instanceof RecordError) note(result, "RecordError");
      else find(result, `decoder ${String(i % decoders.length)} threw ${String(error)} on ${hex(bytes)}`);
    }
  }
  return result;
}

/** `count` inputs, in turns as beacons and as states, by honest readers that judge keys in place. */
export function fuzzOpen(count: number, seed: number): FuzzResult {
  const sealed = [seal(BEACON, beacon(), identity(1)), seal(STATE, richState, identity(1))];
  const purposes = [BEACON, STATE] as unknown as readonly Purpose<RecordHeader>[];
  const integer = seededIntegers(seed);
  const at = context({ keys: new KeyAdmission(100) });
  const result: FuzzResult = { outcomes: {}, findings: [] };
  for (let i = 0; i < count; i++) {
    const original = sealed[i % 2] as Uint8Array;
    const bytes = mutated(original, sealed, integer);
    let opened: Opened<RecordHeader>;
    try {
      opened = open(purposes[i % 2] as Purpose<RecordHeader>, bytes, at);
    } catch (error) {
      find(result, `open threw ${String(error)} on ${hex(bytes)}`);
      continue;
    }
    note(result, opened.ok ? "opened" : opened.reason);
    if (opened.ok && Buffer.compare(bytes, original) !== 0) find(result, `a record that was never sealed opened: ${hex(bytes)}`);
  }
  return result;
}

function note({ outcomes }: FuzzResult, outcome: string): void {
  outcomes[outcome] = (outcomes[outcome] ?? 0) + 1;
}

function find({ findings }: FuzzResult, finding: string): void {
  if (findings.length < MOST_FINDINGS) findings.push(finding);
}

function hex(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString("hex");
}
