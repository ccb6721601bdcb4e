/**
 * What a GB (10^9 bytes) through this node costs, in micro-dollars: millionths of a US dollar, an integer. Read from
 * a decimal text without binary fractions, so that 0.01 is 10,000 and nothing near it. From 0 to 1,000,000 dollars.
 */
import { measured, type Reading } from "./reading.js";

/** Where the price comes from: a constant here; a schedule or a script fits the same method. */
export interface PriceSource {
  /** Micro-dollars per GB as of now. Rejects only where aborted. */
  read(options?: { signal?: AbortSignal }): Promise<Reading<number>>;
}

export const MAX_PRICE_MICRO_USD_PER_GB = 1_000_000 * 1_000_000;

/** A price that is none; `setting` names the flag, `message` begins with it. */
export interface PriceProblem {
  setting: string;
  message: string;
}

export type ParsedPrice = { microUsdPerGb: number; problem?: undefined } | { problem: PriceProblem };

/** Dollars per GB as digits with at most six decimals: no sign, exponent, blank, or currency. */
export function parsePricePerGb(text: string, setting: string): ParsedPrice {
  const refuse = (why: string): ParsedPrice => ({ problem: { setting, message: `${setting}: ${JSON.stringify(text)} ${why}` } });
  const match = /^(\d{1,16})(?:\.(\d{1,16}))?$/.exec(text);
  if (match === null) return refuse("is no price: takes dollars per GB in plain digits, such as 0.01");
  const fraction = (match[2] ?? "").replace(/0+$/, "");
  if (fraction.length > 6) return refuse("is finer than a millionth of a dollar");
  const micro = BigInt(match[1] ?? "") * 1_000_000n + BigInt(fraction.padEnd(6, "0"));
  if (micro > BigInt(MAX_PRICE_MICRO_USD_PER_GB)) return refuse("is over 1000000 dollars per GB");
  return { microUsdPerGb: Number(micro) };
}

/** RangeError for a number that parsePricePerGb cannot have given. */
export function constantPrice(microUsdPerGb: number): PriceSource {
  if (!Number.isSafeInteger(microUsdPerGb) || microUsdPerGb < 0 || microUsdPerGb > MAX_PRICE_MICRO_USD_PER_GB) {
    throw new RangeError("a price is an integer of micro-dollars within its bounds");
  }
  return { read: () => Promise.resolve(measured(microUsdPerGb)) };
}
