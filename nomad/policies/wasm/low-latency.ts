// The policy of low-latency.json in AssemblyScript: near, steady, and verified.
import { Candidate, evaluateBatch, UNKNOWN, Verdict } from "./abi";
export { alloc } from "./abi";

const MAX_LATENCY_US: i64 = 50_000;
const MAX_JITTER_US: i64 = 10_000;

export function evaluate(batch: usize, _length: i32): u64 {
  return evaluateBatch(batch, judge);
}

function judge(node: Candidate): Verdict {
  if (!node.verified) return refuse("not verified");
  if (node.latencyUs == UNKNOWN) return refuse("latency is unknown");
  if (node.latencyUs > MAX_LATENCY_US) return refuse("latency " + node.latencyUs.toString() + " us > 50000 us");
  if (node.jitterUs == UNKNOWN) return refuse("jitter is unknown");
  if (node.jitterUs > MAX_JITTER_US) return refuse("jitter " + node.jitterUs.toString() + " us > 10000 us");
  // Three parts of latency to one of jitter, each from 1 at nothing to 0 at its limit.
  const score = (3 * share(node.latencyUs, MAX_LATENCY_US) + share(node.jitterUs, MAX_JITTER_US)) / 4;
  return new Verdict(true, score, "");
}

/** Millionths. */
function share(value: i64, limit: i64): i64 {
  return ((limit - value) * 1_000_000) / limit;
}

function refuse(reason: string): Verdict {
  return new Verdict(false, 0, reason);
}
