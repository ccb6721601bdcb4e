// The batch that a policy of profile `ibrl` reads and the verdicts that it writes, version 1 (docs/policy-wasm.md), for
// AssemblyScript. Copy this file beside your policy and write `judge(candidate)`.

/** What a figure is when nobody knows it. Not zero. */
export const UNKNOWN: i64 = -1;

const VERSION: u32 = 1;
const HEADER_BYTES: usize = 16;
const RESULT_HEADER_BYTES: u32 = 8;
const RESULT_BYTES: u32 = 24;

/** One node of the batch, read in place. Units: microseconds, parts per million, millionths of a dollar for 10^9 bytes. */
@unmanaged
export class Candidate {
  latencyUs: i64;
  jitterUs: i64;
  lossPpm: i64;
  queueDepth: i64;
  priceMicroUsdPerGb: i64;
  reputationPpm: i64;
  declaredReputationPpm: i64;
  workloads: i64;
  /** Bit n is the capability of that number (docs/policy-wasm.md). */
  capabilities: u64;
  flags: u64;
  reserved: u64;

  get verified(): bool {
    return (this.flags & 1) != 0;
  }
}

export class Verdict {
  constructor(
    public pass: bool,
    /** Millionths: the higher comes first. */
    public scorePpm: i64,
    public reason: string,
  ) {}
}

/** Where the host writes the batch. */
export function alloc(length: i32): usize {
  return heap.alloc(length);
}

/** The whole of `evaluate`: one verdict of `judge` for each candidate. Pointer in the upper half, length in the lower. */
export function evaluateBatch(batch: usize, judge: (candidate: Candidate) => Verdict): u64 {
  const count = load<u32>(batch, 4);
  const recordBytes = load<u32>(batch, 8);
  const verdicts = new StaticArray<Verdict>(count);
  let textBytes: u32 = 0;
  for (let i: u32 = 0; i < count; i++) {
    const verdict = judge(changetype<Candidate>(batch + HEADER_BYTES + i * recordBytes));
    textBytes += String.UTF8.byteLength(verdict.reason) as u32;
    verdicts[i] = verdict;
  }
  const length = RESULT_HEADER_BYTES + count * RESULT_BYTES + textBytes;
  const result = heap.alloc(length);
  store<u32>(result, VERSION);
  store<u32>(result, count, 4);
  let textAt = RESULT_HEADER_BYTES + count * RESULT_BYTES;
  for (let i: u32 = 0; i < count; i++) {
    const verdict = verdicts[i];
    const reason = verdict.reason;
    const at = result + RESULT_HEADER_BYTES + i * RESULT_BYTES;
    const reasonBytes = String.UTF8.byteLength(reason) as u32;
    String.UTF8.encodeUnsafe(changetype<usize>(reason), reason.length, result + textAt);
    store<u32>(at, verdict.pass ? 1 : 0);
    store<u32>(at, textAt as u32, 4);
    store<u32>(at, reasonBytes, 8);
    store<u32>(at, 0, 12);
    store<i64>(at, verdict.scorePpm, 16);
    textAt += reasonBytes;
  }
  return ((result as u64) << 32) | (length as u64);
}
