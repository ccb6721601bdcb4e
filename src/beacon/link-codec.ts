/** The parts of a node state that speak of links: where the node is probed, its halves, its coordinate. Checked field by field. */
import type { ibrl } from "../proto/messages.js";
import { integer, MAX_U32, MAX_US, name, optional, RecordError, text, type Wire } from "./codec.js";
import { KEY_BYTES } from "./keys.js";
import { CHUNK_PROBES, type ExchangeRecord } from "./link-statistics-exchange.js";
import type { Coordinate, ProbeContact, SignedLinkHalf } from "./record.js";

type HalfMessage = ibrl.v1.LinkHalf.$Properties;

const MAX_PORT = 65_535;
/** Serf works in 8 dimensions. */
const MAX_DIMENSIONS = 16;
const MAX_NS = 1e13;
const MAX_CHUNKS = 64;
const MAX_CHUNK_INDEX = Math.floor(MAX_U32 / CHUNK_PROBES);
const HASH_BYTES = 8;
const PPM = 1_000_000;

export function readProbe(m: ibrl.v1.NodeState.$Properties): ProbeContact | undefined {
  const address = text("probe_address", m.probe_address);
  const port = integer("probe_port", m.probe_port, MAX_PORT);
  const key = m.probe_key ?? new Uint8Array();
  if (address === "" && port === 0 && key.length === 0) return undefined;
  if (address === "" || port === 0) throw new RecordError("probe_address", "an address without a port, or a port without an address");
  return { address, port, publicKey: hex("probe_key", key, KEY_BYTES) };
}

export function writeLinkHalf(half: SignedLinkHalf): HalfMessage {
  const { rtt, jitterUs, pdv, direction, outgoing, incoming } = half;
  const message: HalfMessage = {
    peer_key: Buffer.from(half.peerKey, "hex"),
    peer: half.peer,
    start_ms: half.startMs,
    end_ms: half.endMs,
    sent: half.sent,
    received: half.received,
    duplicates: half.duplicates,
    reordered: half.reordered,
    longest_burst: half.longestBurst,
  };
  if (direction !== undefined) {
    message.forward_lost = direction.forwardLost;
    message.backward_lost = direction.backwardLost;
  }
  if (rtt !== undefined) {
    message.rtt_min_us = Math.round(rtt.minUs);
    message.rtt_p50_us = Math.round(rtt.p50Us);
    message.rtt_p95_us = Math.round(rtt.p95Us);
    message.rtt_p99_us = Math.round(rtt.p99Us);
  }
  if (jitterUs !== undefined) message.jitter_us = Math.round(jitterUs);
  if (pdv !== undefined) {
    message.pdv_p95_us = Math.round(pdv.p95Us);
    message.pdv_p99_us = Math.round(pdv.p99Us);
  }
  if (outgoing !== undefined) message.outgoing = writeExchanges(outgoing);
  if (incoming !== undefined) message.incoming = writeExchanges(incoming);
  return message;
}

export function readLinkHalf(m: HalfMessage): SignedLinkHalf {
  const half: SignedLinkHalf = {
    peerKey: hex("links.peer_key", m.peer_key, KEY_BYTES),
    peer: name("links.peer", m.peer),
    startMs: integer("links.start_ms", m.start_ms, Number.MAX_SAFE_INTEGER),
    endMs: integer("links.end_ms", m.end_ms, Number.MAX_SAFE_INTEGER),
    sent: integer("links.sent", m.sent, MAX_U32),
    received: integer("links.received", m.received, MAX_U32),
    duplicates: integer("links.duplicates", m.duplicates, MAX_U32),
    reordered: integer("links.reordered", m.reordered, MAX_U32),
    longestBurst: integer("links.longest_burst", m.longest_burst, MAX_U32),
  };
  if (half.received > half.sent) throw new RecordError("links.received", `${String(half.received)} of ${String(half.sent)} sent`);
  if (half.endMs < half.startMs) throw new RecordError("links.end_ms", "before links.start_ms");
  const direction = together("links.forward_lost", [m.forward_lost, m.backward_lost], MAX_U32);
  if (direction !== undefined) half.direction = { forwardLost: direction[0] ?? 0, backwardLost: direction[1] ?? 0 };
  const rtt = together("links.rtt_p50_us", [m.rtt_min_us, m.rtt_p50_us, m.rtt_p95_us, m.rtt_p99_us], MAX_US);
  // The other way round is honest: answers whose time a stalled event loop spoilt count as received only.
  if (rtt !== undefined && half.received === 0) throw new RecordError("links.rtt_p50_us", "a round trip without an answer");
  if (rtt !== undefined) {
    const [minUs = 0, p50Us = 0, p95Us = 0, p99Us = 0] = rtt;
    if (!(minUs <= p50Us && p50Us <= p95Us && p95Us <= p99Us)) throw new RecordError("links.rtt_p50_us", "percentiles out of order");
    half.rtt = { minUs, p50Us, p95Us, p99Us };
  }
  const jitterUs = optional("links.jitter_us", m.jitter_us, MAX_US);
  if (jitterUs !== undefined) half.jitterUs = jitterUs;
  const pdv = together("links.pdv_p95_us", [m.pdv_p95_us, m.pdv_p99_us], MAX_US);
  if (pdv !== undefined) half.pdv = { p95Us: pdv[0] ?? 0, p99Us: pdv[1] ?? 0 };
  if (m.outgoing !== null && m.outgoing !== undefined) half.outgoing = readExchanges(m.outgoing);
  if (m.incoming !== null && m.incoming !== undefined) half.incoming = readExchanges(m.incoming);
  return half;
}

export function writeCoordinate(coordinate: Coordinate): ibrl.v1.Coordinate.$Properties {
  return {
    vector_ns: [...coordinate.vectorNs],
    adjustment_ns: coordinate.adjustmentNs,
    height_ns: coordinate.heightNs,
    error_ppm: Math.round(coordinate.errorRatio * PPM),
  };
}

export function readCoordinate(m: ibrl.v1.Coordinate.$Properties): Coordinate {
  const vector = m.vector_ns ?? [];
  if (vector.length > MAX_DIMENSIONS) throw new RecordError("coordinate.vector_ns", `more than ${String(MAX_DIMENSIONS)} dimensions`);
  return {
    vectorNs: vector.map((value) => signed("coordinate.vector_ns", value)),
    adjustmentNs: signed("coordinate.adjustment_ns", m.adjustment_ns),
    heightNs: integer("coordinate.height_ns", m.height_ns, MAX_NS),
    errorRatio: integer("coordinate.error_ppm", m.error_ppm, MAX_U32) / PPM,
  };
}

function writeExchanges(record: ExchangeRecord): ibrl.v1.Exchanges.$Properties {
  return {
    session: record.session,
    first_chunk: record.firstChunk,
    last_chunk: record.lastChunk,
    chunks: record.chunks.map(({ index, bitmap, hash }) => ({ index, bitmap, hash: Buffer.from(hash, "hex") })),
  };
}

function readExchanges(m: ibrl.v1.Exchanges.$Properties): ExchangeRecord {
  const record: ExchangeRecord = {
    session: integer("exchanges.session", m.session, 0xffff),
    firstChunk: integer("exchanges.first_chunk", m.first_chunk, MAX_CHUNK_INDEX),
    lastChunk: integer("exchanges.last_chunk", m.last_chunk, MAX_CHUNK_INDEX),
    chunks: (m.chunks ?? []).map((chunk) => ({
      index: integer("exchanges.chunks.index", chunk.index, MAX_CHUNK_INDEX),
      bitmap: integer("exchanges.chunks.bitmap", chunk.bitmap, 2 ** CHUNK_PROBES - 1),
      hash: hex("exchanges.chunks.hash", chunk.hash, HASH_BYTES),
    })),
  };
  const { firstChunk, lastChunk, chunks } = record;
  if (chunks.length > MAX_CHUNKS || lastChunk < firstChunk || lastChunk - firstChunk >= MAX_CHUNKS) {
    throw new RecordError("exchanges.chunks", `chunks ${String(firstChunk)} to ${String(lastChunk)} are not 1 to ${String(MAX_CHUNKS)}`);
  }
  const misplaced = chunks.some((chunk, i) => chunk.index < firstChunk || chunk.index > lastChunk || chunk.bitmap === 0 || (i > 0 && chunk.index <= (chunks[i - 1]?.index ?? 0)));
  if (misplaced) throw new RecordError("exchanges.chunks", "empty, out of order or outside their range");
  return record;
}

/** All of them, or none. */
function together(field: string, values: readonly Wire[], max: number): number[] | undefined {
  const known = values.map((value) => optional(field, value, max)).filter((value) => value !== undefined);
  if (known.length !== 0 && known.length !== values.length) throw new RecordError(field, "some of its companions are absent");
  return known.length === 0 ? undefined : known;
}

function signed(field: string, value: Wire): number {
  const n = value === null || value === undefined ? 0 : typeof value === "number" ? value : value.toNumber();
  if (!Number.isSafeInteger(n) || Math.abs(n) > MAX_NS) throw new RecordError(field, `${String(value)} is no distance in nanoseconds`);
  return n;
}

function hex(field: string, bytes: Uint8Array | null | undefined, length: number): string {
  if ((bytes?.length ?? 0) !== length) throw new RecordError(field, `${String(bytes?.length ?? 0)} bytes instead of ${String(length)}`);
  return Buffer.from(bytes ?? []).toString("hex");
}
