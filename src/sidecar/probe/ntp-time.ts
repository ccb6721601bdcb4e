/**
 * The 64-bit timestamps of STAMP packets as BigInt: NTP (RFC 5905: seconds since 1900 and a binary
 * fraction) and truncated PTP (RFC 8186: seconds and nanoseconds). Seconds are modulo 2^32 on the
 * wire; what is subtracted here is right as long as both times lie within 68 years of each other.
 */

export type TimestampFormat = "ntp" | "ptp";

const NS_PER_SECOND = 1_000_000_000n;
/** Seconds between 1900-01-01 and 1970-01-01, 17 leap days included. */
const NTP_UNIX_OFFSET_SECONDS = 2_208_988_800n;
const WORD = 0xffff_ffffn;
const HALF_FRACTION = 1n << 31n;

/** Unix nanoseconds to NTP, rounded to the nearest fraction (0.23 ns), so that ns survive the way back. */
export function ntpFromUnixNs(unixNs: bigint): bigint {
  const seconds = unixNs / NS_PER_SECOND;
  const fraction = (((unixNs % NS_PER_SECOND) << 32n) + NS_PER_SECOND / 2n) / NS_PER_SECOND;
  return (((seconds + NTP_UNIX_OFFSET_SECONDS) & WORD) << 32n) | fraction;
}

/** NTP to Unix nanoseconds, in the era (136 years each) that puts it nearest to `nearUnixNs`. */
export function unixNsFromNtp(timestamp: bigint, nearUnixNs: bigint): bigint {
  return nearUnixNs + timestampDifferenceNs(timestamp, ntpFromUnixNs(nearUnixNs), "ntp");
}

/** `later - earlier` in nanoseconds, negative where the order is the other way round. */
export function timestampDifferenceNs(later: bigint, earlier: bigint, format: TimestampFormat): bigint {
  if (format === "ntp") {
    return (BigInt.asIntN(64, later - earlier) * NS_PER_SECOND + HALF_FRACTION) >> 32n;
  }
  const seconds = BigInt.asIntN(32, (later >> 32n) - (earlier >> 32n));
  return seconds * NS_PER_SECOND + ((later & WORD) - (earlier & WORD));
}
