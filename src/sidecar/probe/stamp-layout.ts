/**
 * Where each field of a STAMP test packet stands: RFC 8762, figures 2 and 4 to 6, with the session
 * identifier that RFC 8972 puts into the first two must-be-zero octets. Offsets in octets; octets
 * without a field here are must-be-zero: written as 0, ignored on receipt. The vectors in
 * test/vectors/stamp/ were written by hand from the same figures and pin this table.
 */

export interface SenderLayout {
  sequence: number;
  timestamp: number;
  error: number;
  ssid: number;
}

export interface ReflectorLayout extends SenderLayout {
  receiveTimestamp: number;
  senderSequence: number;
  senderTimestamp: number;
  senderError: number;
  senderTtl: number;
}

export interface ModeLayout {
  /** Length of the base packet, the same in both directions. */
  baseBytes: number;
  sender: SenderLayout;
  reflector: ReflectorLayout;
}

export const UNAUTHENTICATED: ModeLayout = {
  baseBytes: 44,
  sender: { sequence: 0, timestamp: 4, error: 12, ssid: 14 },
  reflector: {
    sequence: 0, timestamp: 4, error: 12, ssid: 14, receiveTimestamp: 16,
    senderSequence: 24, senderTimestamp: 28, senderError: 36, senderTtl: 40,
  },
};

export const AUTHENTICATED: ModeLayout = {
  baseBytes: 112,
  sender: { sequence: 0, timestamp: 16, error: 24, ssid: 26 },
  reflector: {
    sequence: 0, timestamp: 16, error: 24, ssid: 26, receiveTimestamp: 32,
    senderSequence: 48, senderTimestamp: 64, senderError: 72, senderTtl: 80,
  },
};

/** HMAC-SHA-256 over the six 16-octet blocks before it, truncated to 128 bits (RFC 8762, 4.4). */
export const HMAC_OFFSET = 96;
export const HMAC_BYTES = 16;

/** The UDP payload of a 1500-octet IPv4 packet. A longer test packet would be fragmented, so it is refused. */
export const MAX_PACKET_BYTES = 1472;
