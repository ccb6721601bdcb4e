/**
 * What every reader gives: a value, or the reason for there being none. A value that could not be read is unmeasured,
 * which is neither zero nor an error: callers log the reason at debug and leave the field out.
 */
import { ConsulError } from "../consul-api.js";
import { NomadError } from "../nomad-api.js";

export interface Unmeasured {
  value: undefined;
  /** A constant word to match and count by, such as `nomad-unreachable`. */
  reason: string;
  /** The particulars, for people. */
  detail?: string;
}

export type Reading<T> = { value: T; reason?: undefined } | Unmeasured;

export function measured<T>(value: T): Reading<T> {
  return { value };
}

export function unmeasured(reason: string, detail?: string): Unmeasured {
  return detail === undefined ? { value: undefined, reason } : { value: undefined, reason, detail };
}

/**
 * The value of a call to Consul or Nomad, or why there is none: `consul-CODE`, `nomad-CODE`. Rejects only where the
 * call was aborted, since then nobody waits for a reading, and with errors that are neither's.
 */
export async function readingOf<T>(call: Promise<T>): Promise<Reading<T>> {
  try {
    return measured(await call);
  } catch (error) {
    if (error instanceof ConsulError && error.code !== "aborted") return unmeasured(`consul-${error.code}`, error.message);
    if (error instanceof NomadError && error.code !== "aborted") return unmeasured(`nomad-${error.code}`, error.message);
    throw error;
  }
}
