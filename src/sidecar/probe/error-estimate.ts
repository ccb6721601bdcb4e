/**
 * The two-octet Error Estimate of STAMP: S (clock synchronised), Z (timestamp format, RFC 8186),
 * Scale (6 bits) and Multiplier (8 bits). The error in seconds is Multiplier × 2^(Scale − 32)
 * (RFC 4656, 4.1.2), where a Multiplier of 0 marks a corrupt packet.
 */
import type { TimestampFormat } from "./ntp-time.js";

export interface ErrorEstimate {
  /** S: the clock follows UTC from an outside source. */
  synchronized: boolean;
  format: TimestampFormat;
  /** 0..63. */
  scale: number;
  /** 0..255; 0 is malformed. */
  multiplier: number;
}

const SECONDS_PER_UNIT = 2 ** -32;

export function encodeErrorEstimate(estimate: ErrorEstimate): number {
  return (
    (estimate.synchronized ? 0x8000 : 0) |
    (estimate.format === "ptp" ? 0x4000 : 0) |
    ((estimate.scale & 0x3f) << 8) |
    (estimate.multiplier & 0xff)
  );
}

export function decodeErrorEstimate(word: number): ErrorEstimate {
  return {
    synchronized: (word & 0x8000) !== 0,
    format: (word & 0x4000) !== 0 ? "ptp" : "ntp",
    scale: (word >> 8) & 0x3f,
    multiplier: word & 0xff,
  };
}

export function errorSeconds(estimate: ErrorEstimate): number {
  return estimate.multiplier * 2 ** (estimate.scale - 32);
}

/** The smallest estimate that is not below `seconds` (clamped to the range of the field). */
export function errorEstimateOf(seconds: number, synchronized: boolean): ErrorEstimate {
  let scale = 0;
  let multiplier = Math.max(1, Math.ceil(seconds / SECONDS_PER_UNIT));
  while (multiplier > 255 && scale < 63) {
    scale += 1;
    multiplier = Math.ceil(multiplier / 2);
  }
  return { synchronized, format: "ntp", scale, multiplier: Math.min(255, multiplier) };
}
