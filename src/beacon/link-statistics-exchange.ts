/**
 * What two ends can say about the same packets so that a third can compare. Pure.
 *
 * An exchange is a probe and its answer: (sequence, T1, T3), all three on the wire in the answer, so
 * both ends know them and nobody knows T3 of an answer that did not reach him. Each end keeps the
 * exchanges it saw in chunks of 16 sequence numbers and publishes of each a bitmap and a hash:
 *   the sender     of the answers that came back in time (set A),
 *   the reflector  of the probes that it answered (set R).
 * A is a subset of R. Where they are equal the hashes must be equal. Where R has more, the answers
 * were lost on their way back (or late) and only the bitmaps are compared, which is why chunks are
 * small: at 2 % loss on the return path 72 % of them can still be compared.
 *
 * What it shows: samples invented, times shifted, answers denied by the reflector. What it cannot
 * show: an answer that the sender denies (it counts as loss against the sender's own link), delay
 * that one end adds, and two ends that agree to lie.
 */
import { createHash } from "node:crypto";

export const CHUNK_PROBES = 16;
const DOMAIN = "hypercore-ibrl exchange v1";
const HASH_BYTES = 8;
const DEFAULT_CAPACITY = 32;

export interface ExchangeChunk {
  /** Sequence numbers 16·index to 16·index + 15. */
  index: number;
  /** Bit i: sequence 16·index + i is in the set. Never 0: empty chunks are left out. */
  bitmap: number;
  /** The first 8 octets of SHA-256, in hex. */
  hash: string;
}

/** Chunks that will not change any more. One that is missing between first and last is empty. */
export interface ExchangeRecord {
  /** The STAMP session identifier. */
  session: number;
  firstChunk: number;
  lastChunk: number;
  chunks: ExchangeChunk[];
}

interface Exchange {
  sequence: number;
  sentTimestamp: bigint;
  answeredTimestamp: bigint;
}

export class ExchangeLog {
  private readonly open = new Map<number, Map<number, Exchange>>();
  private closed: ExchangeChunk[] = [];
  private first: number | undefined;
  private nextToClose = 0;

  /** `capacity`: how many closed chunks are kept; the oldest go first. */
  constructor(
    private readonly session: number,
    private readonly capacity = DEFAULT_CAPACITY,
  ) {}

  /** A sequence number counts once, and only while its chunk is open. Timestamps are the raw 64 bits. */
  add(sequence: number, sentTimestamp: bigint, answeredTimestamp: bigint): void {
    const index = Math.floor(sequence / CHUNK_PROBES);
    if (index < this.nextToClose) return;
    // An end that joins a session in its middle cannot answer for the chunk it came into.
    this.first ??= sequence === 0 ? 0 : index + 1;
    if (index < this.first) return;
    let chunk = this.open.get(index);
    if (chunk === undefined) this.open.set(index, (chunk = new Map()));
    if (!chunk.has(sequence)) chunk.set(sequence, { sequence, sentTimestamp, answeredTimestamp });
  }

  /** The log starts at sequence 0 whatever comes first: true for the sender, who numbers the probes. */
  startAtZero(): void {
    this.first ??= 0;
  }

  /** Nothing below `sequence` is to come: closes the chunks that lie wholly below it. */
  closeBelow(sequence: number): void {
    const end = Math.floor(sequence / CHUNK_PROBES);
    if (end <= this.nextToClose) return;
    this.nextToClose = end;
    for (const index of [...this.open.keys()].filter((key) => key < end).sort((a, b) => a - b)) {
      const exchanges = [...(this.open.get(index)?.values() ?? [])];
      this.open.delete(index);
      this.closed.push(chunkOf(this.session, index, exchanges));
    }
    const oldest = end - this.capacity;
    this.closed = this.closed.filter((chunk) => chunk.index >= oldest);
  }

  /** The newest `maxChunks`. Absent until a first chunk is closed. */
  record(maxChunks = this.capacity): ExchangeRecord | undefined {
    if (this.first === undefined) return undefined;
    const firstChunk = Math.max(this.first, this.nextToClose - Math.min(maxChunks, this.capacity));
    const lastChunk = this.nextToClose - 1;
    if (lastChunk < firstChunk) return undefined;
    const chunks = this.closed.filter((chunk) => chunk.index >= firstChunk);
    return { session: this.session, firstChunk, lastChunk, chunks };
  }
}

/** The chunk over `exchanges`, all of which lie in it. Fixed widths, big-endian, in order of sequence. */
function chunkOf(session: number, index: number, exchanges: readonly Exchange[]): ExchangeChunk {
  const sorted = [...exchanges].sort((a, b) => a.sequence - b.sequence);
  const bitmap = sorted.reduce((bits, { sequence }) => bits | (1 << sequence % CHUNK_PROBES), 0);
  const head = Buffer.alloc(8);
  head.writeUInt16BE(session & 0xffff, 0);
  head.writeUInt32BE(index >>> 0, 2);
  head.writeUInt16BE(bitmap, 6);
  const hash = createHash("sha256").update(DOMAIN).update(head);
  for (const exchange of sorted) {
    const item = Buffer.alloc(20);
    item.writeUInt32BE(exchange.sequence >>> 0, 0);
    item.writeBigUInt64BE(BigInt.asUintN(64, exchange.sentTimestamp), 4);
    item.writeBigUInt64BE(BigInt.asUintN(64, exchange.answeredTimestamp), 12);
    hash.update(item);
  }
  return { index, bitmap, hash: hash.digest().subarray(0, HASH_BYTES).toString("hex") };
}
