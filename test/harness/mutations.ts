/** Bytes that are almost right: what a fuzzer offers to decoders. The same seed gives the same bytes on any machine. */

/** xorshift32: whole numbers from 0 up to, and not with, `below`. */
export function seededIntegers(seed: number): (below: number) => number {
  let state = seed >>> 0 || 1;
  return (below) => {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    return (state >>> 0) % below;
  };
}

/** One to three changes: a bit, a byte, a stretch cut out, doubled, filled in, or taken from another input. */
export function mutated(original: Uint8Array, others: readonly Uint8Array[], integer: (below: number) => number): Uint8Array {
  let bytes = Buffer.from(original);
  for (let changes = 1 + integer(3); changes > 0; changes--) {
    const at = integer(bytes.length + 1);
    const length = integer(24);
    const [before, after] = [bytes.subarray(0, at), bytes.subarray(at + length)];
    const kind = integer(6);
    if (kind <= 1 && at < bytes.length) bytes[at] = kind === 0 ? (bytes[at] as number) ^ (1 << integer(8)) : integer(256);
    else if (kind === 2) bytes = Buffer.concat([before, after]);
    else if (kind === 3) bytes = Buffer.concat([before, bytes.subarray(at, at + length), bytes.subarray(at)]);
    else if (kind === 4) bytes = Buffer.concat([before, Buffer.alloc(length, integer(256)), after]);
    else {
      const other = others[integer(others.length)] as Uint8Array;
      const from = integer(other.length);
      bytes = Buffer.concat([before, other.subarray(from, from + length), after]);
    }
  }
  return bytes;
}
