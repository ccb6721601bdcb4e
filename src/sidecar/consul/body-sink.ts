/**
 * Collects an answer's body up to a cap. It is given to papi as the pipe of the response, so that not
 * papi (which would collect without end, and would never settle when the connection breaks in the
 * middle) but we hold the bytes.
 */
import type { IncomingMessage } from "node:http";
import { Writable } from "node:stream";

/** What is read of an error answer: its reason, not its page. */
const ERROR_TEXT_BYTES = 4096;

export type Overrun = "too-large" | "truncated" | "error-text-complete";

export class BodySink extends Writable {
  readonly #chunks: Buffer[] = [];
  #sizeBytes = 0;
  /** Set as soon as the answer's head is there. */
  answer: IncomingMessage | null = null;

  /** `onOverrun` must end the request; it is called once at most. */
  constructor(
    readonly limitBytes: number,
    onOverrun: (why: Overrun) => void,
  ) {
    super();
    let over = false;
    const overrun = (why: Overrun) => {
      if (over) return;
      over = true;
      onOverrun(why);
    };
    this.once("pipe", (answer: IncomingMessage) => {
      this.answer = answer;
      answer.once("close", () => {
        if (!answer.complete) overrun("truncated");
      });
    });
    // The write is always finished at once, so that all of the body is here when the response ends.
    this._write = (chunk: Buffer, _encoding, done) => {
      const room = (this.#succeeded ? this.limitBytes : ERROR_TEXT_BYTES) - this.#sizeBytes;
      if (room > 0) this.#chunks.push(chunk.subarray(0, room));
      this.#sizeBytes += chunk.length;
      done();
      if (chunk.length > room) overrun(this.#succeeded ? "too-large" : "error-text-complete");
    };
  }

  get #succeeded(): boolean {
    const status = this.answer?.statusCode ?? 0;
    return status >= 200 && status < 300;
  }

  /** UTF-8; what is not becomes U+FFFD, which no check of ours lets pass where it matters. */
  text(): string {
    return Buffer.concat(this.#chunks).toString("utf8");
  }
}
