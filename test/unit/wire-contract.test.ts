/**
 * The wire, both ways, on bytes laid out field by field from the ancestor's table (test/vectors/wire, one file for
 * each message): an old client and we read the same meaning, and what we write are exactly those bytes.
 */
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { cluster, google } from "../../src/proto/messages.js";
import { ANCESTOR_TABLE, ancestorDecode } from "../harness/ancestor-decoder.js";

interface Case {
  name: string;
  /** What each part is, and its hex. */
  bytes: [string, string][];
  /** As an old client reads it: everything that it knows, absent as zero. */
  old: Record<string, unknown>;
  /** As we read it: what is there. */
  ours: Record<string, unknown>;
}
interface Codec {
  encode(message: object): { finish(): Uint8Array };
  decode(bytes: Uint8Array): object;
}

const folder = join(import.meta.dirname, "../../../test/vectors/wire");
const files = readdirSync(folder).map((file) => JSON.parse(readFileSync(join(folder, file), "utf8")) as { message: string; cases: Case[] });
const all = files.flatMap(({ message, cases }) => cases.map((c) => ({ ...c, message, title: `${message}: ${c.name}` })));
const codecOf = (message: string) => ({ ...cluster.services.api, Any: google.protobuf.Any })[message as "Node"] as unknown as Codec;

/** Only what is set, bytes as hex, 64-bit integers as numbers. */
function plain(value: unknown): unknown {
  if (value instanceof Uint8Array) return Buffer.from(value).toString("hex");
  if (Array.isArray(value)) return value.map(plain);
  if (typeof value !== "object" || value === null) return value;
  if ("toNumber" in value) return (value as { toNumber(): number }).toNumber();
  const set = Object.entries(value).filter(([, member]) => !(typeof member === "object" && member !== null && Object.keys(member).length === 0));
  return Object.fromEntries(set.map(([key, member]) => [key, plain(member)]));
}

/** The reverse for what we send: hex becomes bytes where the contract has bytes. */
function sendable(value: unknown, key = ""): unknown {
  const bytes = ["node_signature", "attestation_data", "proof_signature", "policy", "sealed_beacon", "sealed_state", "value"];
  if (typeof value === "string") return bytes.includes(key) ? Uint8Array.from(Buffer.from(value, "hex")) : value;
  if (Array.isArray(value)) return value.map((member) => sendable(member));
  if (typeof value !== "object" || value === null) return value;
  return Object.fromEntries(Object.entries(value).map(([k, member]) => [k, sendable(member, k)]));
}

const hexOf = (c: Case) => c.bytes.map(([, hex]) => hex).join("");

test("every message of the contract has its vectors", () => {
  expect(files.map((file) => file.message).sort()).toEqual(Object.keys(ANCESTOR_TABLE).filter((name) => name !== "Any").sort());
});

test.each(all)("$title: an old client reads the old meaning", (c) => {
  expect(ancestorDecode(c.message, Buffer.from(hexOf(c), "hex"))).toEqual(c.old);
});

test.each(all)("$title: we read what is there, and unknown as absent", (c) => {
  expect(plain(codecOf(c.message).decode(Buffer.from(hexOf(c), "hex")))).toEqual(c.ours);
});

test.each(all)("$title: we write these bytes", (c) => {
  const written = codecOf(c.message).encode(sendable(c.ours) as object).finish();
  expect(Buffer.from(written).toString("hex")).toBe(hexOf(c));
});

test("the event numbers are the ancestor's", () => {
  expect(cluster.services.api.ClusterEvent).toMatchObject({ ERROR: 0, SPAWN: 1, STOP: 2, BEACON_ATTEST: 3, POLICY_QUERY: 4, PROOF_VERIFY: 5 });
});
