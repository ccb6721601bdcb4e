import { decodeState, encodeState } from "../../src/beacon/state-codec.js";
import { RecordError } from "../../src/beacon/codec.js";
import type { NodeState, SignedLinkHalf } from "../../src/beacon/record.js";
import { identity, NOW_MS, state } from "../harness/records.js";

const peerKey = Buffer.from(identity(2).publicKey).toString("hex");
const half: SignedLinkHalf = {
  peerKey, peer: "node-2", startMs: NOW_MS - 300_000, endMs: NOW_MS, sent: 300, received: 297,
  direction: { forwardLost: 2, backwardLost: 1 }, rtt: { minUs: 310, p50Us: 420, p95Us: 900, p99Us: 2_100 }, jitterUs: 55,
  pdv: { p95Us: 590, p99Us: 1_790 }, duplicates: 1, reordered: 0, longestBurst: 2,
  outgoing: { session: 7, firstChunk: 3, lastChunk: 5, chunks: [{ index: 3, bitmap: 0xffff, hash: "0011223344556677" }, { index: 5, bitmap: 1, hash: "8899aabbccddeeff" }] },
};
const coordinate = { vectorNs: [12_000, -7_000, 0, 0, 0, 0, 0, 0], adjustmentNs: -500, heightNs: 10_000, errorRatio: 0.25 };
const probe = { address: "192.0.2.17", port: 8862, publicKey: "ab".repeat(32) };
const back = (more: Partial<NodeState>) => decodeState(encodeState(state(more)));

test("links, coordinate and contact come back as they were signed", () => {
  const silent: SignedLinkHalf = { peerKey, peer: "node-3", startMs: 1, endMs: 2, sent: 5, received: 0, duplicates: 0, reordered: 0, longestBurst: 5 };
  const full = state({ links: [half, silent], coordinate, probe });
  expect(back(full)).toEqual(full);
  expect(back(full).links?.[1]).not.toHaveProperty("rtt");
});

test.each<[string, Partial<SignedLinkHalf>]>([
  ["links.peer_key", { peerKey: "abcd" }],
  ["links.peer", { peer: "a b" }],
  ["links.received", { sent: 1, received: 2 }],
  ["links.end_ms", { endMs: NOW_MS - 400_000 }],
  ["links.rtt_p50_us", { rtt: { minUs: 5, p50Us: 4, p95Us: 9, p99Us: 9 } }],
  ["links.rtt_p50_us", { received: 0 }],
  ["links.sent", { sent: -1, received: -1 }],
  ["links.jitter_us", { jitterUs: Number.NaN }],
  ["exchanges.chunks", { outgoing: { session: 1, firstChunk: 5, lastChunk: 4, chunks: [] } }],
  ["exchanges.chunks", { outgoing: { session: 1, firstChunk: 0, lastChunk: 64, chunks: [] } }],
  ["exchanges.chunks", { outgoing: { session: 1, firstChunk: 0, lastChunk: 1, chunks: [{ index: 2, bitmap: 1, hash: "00".repeat(8) }] } }],
  ["exchanges.chunks", { outgoing: { session: 1, firstChunk: 0, lastChunk: 1, chunks: [{ index: 0, bitmap: 0, hash: "00".repeat(8) }] } }],
  ["exchanges.chunks.hash", { incoming: { session: 1, firstChunk: 0, lastChunk: 1, chunks: [{ index: 0, bitmap: 1, hash: "00" }] } }],
  ["exchanges.session", { incoming: { session: 70_000, firstChunk: 0, lastChunk: 0, chunks: [] } }],
])("an impossible %s is refused by its name", (field, change) => {
  const { rtt, ...withoutRtt } = { ...half, ...change };
  const changed = change.received === 0 || rtt === undefined ? { ...withoutRtt, ...(rtt === undefined ? {} : { rtt }) } : { ...withoutRtt, rtt };
  expect(() => encodeState(state({ links: [changed] }))).toThrow(RecordError);
  expect(() => encodeState(state({ links: [changed] }))).toThrow(`${field}: `);
});

test("an address without a port, a key of another length, a coordinate of 17 dimensions are refused", () => {
  expect(() => encodeState(state({ probe: { ...probe, port: 0 } }))).toThrow(/probe_address/);
  expect(() => encodeState(state({ probe: { ...probe, publicKey: "ab" } }))).toThrow(/probe_key/);
  expect(() => encodeState(state({ coordinate: { ...coordinate, vectorNs: Array.from({ length: 17 }, () => 0) } }))).toThrow(/vector_ns/);
});

test("a state with 64 links and full exchange records stays far below what KV takes", () => {
  const chunks = Array.from({ length: 12 }, (_, index) => ({ index, bitmap: 0xffff, hash: "00".repeat(8) }));
  const exchanges = { session: 1, firstChunk: 0, lastChunk: 11, chunks };
  const links = Array.from({ length: 64 }, () => ({ ...half, outgoing: exchanges, incoming: exchanges }));
  expect(encodeState(state({ links })).length).toBeLessThan(64 * 1024);
});
