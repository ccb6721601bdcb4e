/**
 * Nonces that prove themselves: the time and random octets under an HMAC of this process, so that none has to be kept, and
 * a flood of questions pushes nobody's out. One holds for a minute; that it is used once is the order of the records' task.
 */
import { createHmac, randomBytes, timingSafeEqual } from "node:crypto";

const VALID_MS = 60_000;
const MAC_BYTES = 16;
const RANDOM_BYTES = 16;

export class Nonces {
  readonly #secret = randomBytes(32);

  /** Of the monotonic clock. */
  constructor(private readonly monoMs: () => number) {}

  issue(): Uint8Array {
    const body = Buffer.alloc(8 + RANDOM_BYTES);
    body.writeDoubleBE(this.monoMs());
    randomBytes(RANDOM_BYTES).copy(body, 8);
    return Buffer.concat([body, this.#mac(body)]);
  }

  /** Lower-case hex. */
  isFresh(nonce: string): boolean {
    const bytes = Buffer.from(nonce, "hex");
    if (bytes.length !== 8 + RANDOM_BYTES + MAC_BYTES) return false;
    const body = bytes.subarray(0, -MAC_BYTES);
    return timingSafeEqual(bytes.subarray(-MAC_BYTES), this.#mac(body)) && this.monoMs() - body.readDoubleBE() <= VALID_MS;
  }

  #mac(body: Uint8Array): Buffer {
    return createHmac("sha256", this.#secret).update(body).digest().subarray(0, MAC_BYTES);
  }
}
