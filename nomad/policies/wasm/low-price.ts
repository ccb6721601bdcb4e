// The policy of low-price.json in AssemblyScript: containers, cheap; who names no price stands in the middle.
import { Candidate, evaluateBatch, UNKNOWN, Verdict } from "./abi";
export { alloc } from "./abi";

const MAX_PRICE: i64 = 50_000; // five cents for 10^9 bytes
const CONTAINER: u64 = 1;

export function evaluate(batch: usize, _length: i32): u64 {
  return evaluateBatch(batch, judge);
}

function judge(node: Candidate): Verdict {
  if (!node.verified) return refuse("not verified");
  if ((node.capabilities & CONTAINER) == 0) return refuse("no container");
  if (node.priceMicroUsdPerGb == UNKNOWN) return new Verdict(true, 500_000, "price is unknown");
  if (node.priceMicroUsdPerGb > MAX_PRICE) return refuse("price " + node.priceMicroUsdPerGb.toString() + " > 50000");
  return new Verdict(true, ((MAX_PRICE - node.priceMicroUsdPerGb) * 1_000_000) / MAX_PRICE, "");
}

function refuse(reason: string): Verdict {
  return new Verdict(false, 0, reason);
}
