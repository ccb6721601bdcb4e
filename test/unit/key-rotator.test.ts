import { existsSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { pino } from "pino";
import { pinKey, rotationKey } from "../../src/beacon/documents.js";
import { KeyAdmission } from "../../src/beacon/keys.js";
import { PinBook } from "../../src/beacon/pins.js";
import { KeyRotator } from "../../src/sidecar/key-rotator.js";
import { OwnPin } from "../../src/sidecar/own-pin.js";
import { EpochCounter } from "../../src/sidecar/state/epoch.js";
import { loadOrCreateIdentity, NodeIdentity } from "../../src/sidecar/state/identity.js";
import { adoptNextKey, NEXT_KEY_FILE, prepareNextKey, readOwnRotations, ROTATIONS_FILE } from "../../src/sidecar/state/rotation-files.js";

const place = { node: "n1", datacenter: "dc1" };
const hex = ({ publicKey }: { publicKey: Uint8Array }) => Buffer.from(publicKey).toString("hex");
let dir: string;
beforeEach(() => (dir = mkdtempSync(join(tmpdir(), "ibrl-rotation-"))));
afterEach(() => rmSync(dir, { recursive: true, force: true }));

class Crash extends Error {}

/** KV as Consul has it: cas=0 creates only, another cas compares. */
class Kv {
  readonly values = new Map<string, { value: string; index: number }>();
  #index = 0;
  kvPut = async (key: string, value: string | Uint8Array, { cas }: { cas?: string } = {}): Promise<boolean> => {
    const at = this.values.get(key)?.index ?? 0;
    if (cas !== undefined && cas !== String(at)) return false;
    this.values.set(key, { value: Buffer.from(value).toString(), index: (this.#index += 1) });
    return true;
  };
  kvGet = async (key: string) => {
    const held = this.values.get(key);
    const value = held === undefined ? null : { key, value: Buffer.from(held.value), modifyIndex: String(held.index) };
    return { value, index: "1", lastContactMs: 0, knownLeader: true };
  };
}

/** One start of a sidecar on the folder: looks once for a prepared key. */
async function start(kv: Kv, at: { announce?: () => void; before?: () => void; after?: () => void } = {}) {
  const identity = new NodeIdentity(loadOrCreateIdentity(dir));
  const epoch = new EpochCounter(dir);
  const keys = new KeyAdmission();
  const pins = new PinBook([{ ...place, publicKey: hex(identity), origin: "cluster" }]);
  const stop = new AbortController();
  const problems: string[] = [];
  const logger = pino({ level: "error" }, { write: (line: string) => void problems.push((JSON.parse(line) as { reason: string }).reason) });
  const clock = { nowMs: () => 1_795_000_000_000, monoMs: () => 0, sleep: async () => stop.abort() };
  const rotator = new KeyRotator({ stateDir: dir, identity, epoch, keys, pins, clock, logger });
  const conflicts: string[] = [];
  const pin = new OwnPin({ consul: kv, publicKey: () => identity.publicKey, rotations: () => rotator.rotations, onConflict: (_, pinned) => conflicts.push(pinned) });
  const announce = pin.announce.bind(pin);
  pin.announce = async (...args) => {
    at.announce?.();
    await announce(...args);
  };
  const rekey = async (change: () => void): Promise<void> => {
    at.before?.();
    change();
    at.after?.();
  };
  await rotator.run(1, { place: () => place, pin, rekey }, stop.signal);
  return { identity, epoch, pins, rotator, pin, problems, conflicts };
}

const crash = () => {
  throw new Crash("the power went");
};

test.each([
  ["after it was prepared", undefined],
  ["after it was signed", { announce: crash }],
  ["after it was published", { before: crash }],
  ["after it was adopted", { after: crash }],
])("a rotation cut off %s is gone on with at the next start, signed once", async (_, cut) => {
  const kv = new Kv();
  const old = await start(kv);
  expect(await old.pin.publish(place, AbortSignal.abort())).toBeDefined();
  const next = prepareNextKey(dir);
  if (cut !== undefined) expect((await start(kv, cut)).problems).toEqual(["the power went"]);
  const now = await start(kv);
  expect(hex(now.identity)).toBe(hex(next));
  expect(hex(loadOrCreateIdentity(dir))).toBe(hex(next));
  expect(existsSync(join(dir, NEXT_KEY_FILE))).toBe(false);
  expect(now.rotator.rotations).toHaveLength(1);
  expect(now.rotator.isOwn(hex(old.identity)) && now.rotator.isOwn(hex(next))).toBe(true);
  const [rotation] = now.rotator.rotations;
  expect(now.epoch.epoch).toBeGreaterThanOrEqual(rotation?.epoch ?? Number.NaN);
  expect(await now.pin.publish(place, AbortSignal.abort())).toMatchObject({ publicKey: hex(next) });
  expect([...kv.values.keys()]).toEqual([pinKey("dc1", "n1"), rotationKey(rotation as never)]);
  expect(kv.values.get(pinKey("dc1", "n1"))?.value).toContain(hex(next));
  expect(await now.pin.publish(place, AbortSignal.abort())).toBeUndefined();
  expect(now.conflicts).toEqual([]);
});

test("the node's own pin follows at once, and again at the next start", async () => {
  const kv = new Kv();
  const old = await start(kv);
  const next = prepareNextKey(dir);
  const now = await start(kv);
  expect(now.pins.judge("n1", "dc1", hex(next))).toMatchObject({ kind: "pinned" });
  expect(now.pins.rotationsOf("n1", "dc1")).toMatchObject([{ oldKey: hex(old.identity), newKey: hex(next) }]);
});

test("another key in the prepared one's place, after its rotation was signed, is no second rotation", async () => {
  const kv = new Kv();
  await start(kv);
  const signed = prepareNextKey(dir);
  await start(kv, { announce: crash });
  rmSync(join(dir, NEXT_KEY_FILE));
  prepareNextKey(dir);
  const now = await start(kv);
  expect(now.problems).toEqual([expect.stringContaining(`a rotation to key ${hex(signed)} was signed already`)]);
  expect(now.rotator.rotations).toHaveLength(1);
  expect(hex(now.identity)).not.toBe(hex(signed));
});

test("a prepared key is kept when it is prepared again", () => {
  loadOrCreateIdentity(dir);
  expect(prepareNextKey(dir).created).toBe(true);
  expect(prepareNextKey(dir).created).toBe(false);
});

test("a chain on the disk that does not verify stops the start", async () => {
  const kv = new Kv();
  await start(kv);
  prepareNextKey(dir);
  await start(kv);
  const keys = new KeyAdmission();
  const [rotation] = readOwnRotations(dir, keys);
  const forged = { v: 1, rotations: [{ v: 1, byOld: Buffer.from(rotation?.sealed.byNew ?? []).toString("base64"), byNew: "" }] };
  writeFileSync(join(dir, ROTATIONS_FILE), JSON.stringify(forged), { mode: 0o600 });
  expect(() => readOwnRotations(dir, keys)).toThrow("is not a file of verified rotations");
});

test("without a prepared key there is nothing to adopt, and the old one is left as it is", () => {
  const before = hex(loadOrCreateIdentity(dir));
  expect(() => adoptNextKey(dir)).toThrow("cannot be written");
  expect(hex(loadOrCreateIdentity(dir))).toBe(before);
});

test("a pin in KV that names a key which was never this node's is left, and told", async () => {
  const kv = new Kv();
  const { pin, conflicts } = await start(kv);
  const stranger = JSON.stringify({ v: 1, ...place, publicKey: "ab".repeat(32) });
  await kv.kvPut(pinKey("dc1", "n1"), stranger);
  expect(await pin.publish(place, AbortSignal.abort())).toBeUndefined();
  expect(conflicts).toEqual(["ab".repeat(32)]);
  expect(kv.values.get(pinKey("dc1", "n1"))?.value).toBe(stranger);
});
