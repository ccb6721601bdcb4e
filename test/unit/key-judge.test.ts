/** New keys on their way to a verdict, with the real thread that checks them. */
import { generateKeyPairSync } from "node:crypto";
import { Point } from "@noble/ed25519";
import { serviceMeta, stateDocument, stateKey } from "../../src/beacon/documents.js";
import { BEACON, seal } from "../../src/beacon/envelope.js";
import { KeyAdmission } from "../../src/beacon/keys.js";
import { PinBook } from "../../src/beacon/pins.js";
import { Registry } from "../../src/beacon/registry.js";
import { ibrl } from "../../src/proto/messages.js";
import { type Clock, systemClock } from "../../src/sidecar/clock.js";
import { Intake, type Place } from "../../src/sidecar/intake.js";
import { KeyCheckThread } from "../../src/sidecar/key-check-thread.js";
import { type KeyChecker, KeyJudge } from "../../src/sidecar/key-judge.js";
import { StateReader } from "../../src/sidecar/state-reader.js";
import { viewsOf } from "../../src/sidecar/views.js";
import { listing } from "../harness/kv-store.js";
import { beacon, identity, NOW_MS, verifiedBeacon, verifiedState } from "../harness/records.js";

const clock: Clock = { ...systemClock, nowMs: () => NOW_MS };
const node = beacon().node;
const meta: Place = { carrier: "meta", datacenter: "dc1", node };
const event: Place = { carrier: "event", datacenter: "dc1" };
const ending: (() => Promise<void>)[] = [];

/** The loop runs from `start()` on, so that a test sees what waits before. */
function reader(checker: KeyChecker = new KeyCheckThread()) {
  const log: string[] = [];
  const keys = new KeyAdmission();
  const registry = new Registry(new PinBook([]));
  registry.setLiveness(new Map([[node, true]]));
  let told = () => {};
  const judge = new KeyJudge({
    keys, checker, clock,
    onJudged: (hex) => {
      intake.onJudged(hex);
      told();
    },
    observer: {
      waiting: () => {},
      judged: (hex, fault) => log.push(`judged ${hex.slice(0, 16)} ${fault ?? "sound"}`),
      failed: () => log.push("failed"),
    },
  });
  const intake: Intake = new Intake(registry, keys, clock, {
    accepted: (carrier) => log.push(`${carrier} accepted`),
    rejected: (carrier, _, { reason }) => log.push(`${carrier} ${reason}`),
    waiting: (carrier) => log.push(`${carrier} waiting`),
  }, judge);
  const end = new AbortController();
  const start = () => {
    const running = judge.run(end.signal);
    ending.push(async () => {
      end.abort();
      await running;
    });
  };
  const until = async (condition: () => boolean) => {
    while (!condition()) await new Promise<void>((resolve) => (told = resolve));
  };
  return { log, keys, registry, judge, intake, start, until };
}

afterEach(async () => {
  for (const end of ending.splice(0)) await end();
});

const short = (key: Uint8Array) => Buffer.from(key).toString("hex").slice(0, 16);
const inventedKey = () => Buffer.from(generateKeyPairSync("ed25519").publicKey.export({ format: "jwk" }).x ?? "", "base64url");
/** By a key that has no private half here: what must not matter before the verdict. */
const unsigned = (key: Uint8Array) => ibrl.v1.Envelope.encode({ public_key: key, payload_type: 1, payload: Buffer.alloc(40), signature: Buffer.alloc(64) }).finish();

test("until the verdict a record is neither believed nor rejected, then it is taken up by itself", async () => {
  const { log, registry, intake, start, until } = reader();
  const sealed = seal(BEACON, beacon(), identity(1));
  expect(intake.accept(sealed, meta)).toMatchObject({ ok: false, reason: "key-waiting" });
  expect(registry.size).toBe(0);
  expect(intake.lastRejection(node)).toBeUndefined();
  const consulNode = { node, nodeId: "", address: "", datacenter: "dc1" };
  const views = () => viewsOf({ nodes: [consulNode], sidecars: new Map([[node, true]]), registry, pins: new PinBook([]), intake, states: new Map(), monoMs: clock.monoMs() });
  expect(views()).toMatchObject([{ trust: "unverified", detail: "its key is being judged" }]);

  start();
  await until(() => registry.size === 1);
  expect(log).toEqual(["meta waiting", `judged ${short(identity(1).publicKey)} sound`, "meta accepted"]);
  expect(views()).toMatchObject([{ trust: "first-use" }]);
  // From then on the key is known: at once, and not judged again.
  expect(intake.accept(seal(BEACON, beacon({ sequence: 5_000 }), identity(1)), meta)).toMatchObject({ ok: true, change: "newer" });
  expect(log.filter((line) => line.startsWith("judged"))).toHaveLength(1);
});

test("a key with a torsion component is told apart in the thread, and nothing that it signed is believed", async () => {
  const { registry, intake, judge, start, until } = reader();
  const mixed = Point.fromBytes(identity(1).publicKey, false)
    .add(Point.fromHex("c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a", false))
    .toBytes();
  expect(intake.accept(unsigned(mixed), meta)).toMatchObject({ reason: "key-waiting" });
  start();
  await until(() => judge.waiting === 0);
  expect(intake.lastRejection(node)).toMatchObject({ reason: "bad-key", detail: "torsion" });
  expect(intake.accept(unsigned(mixed), meta)).toMatchObject({ reason: "bad-key" });
  expect(registry.size).toBe(0);
});

test("a small-order or non-canonical key is rejected at once and never waits", () => {
  const { intake, judge } = reader();
  for (const hex of ["01".padEnd(64, "0"), "ff".repeat(32)]) {
    expect(intake.accept(unsigned(Buffer.from(hex, "hex")), meta)).toMatchObject({ reason: "bad-key" });
  }
  expect(judge.waiting).toBe(0);
});

test("a flood of invented keys is bounded; known keys are read meanwhile, new keys at a node's place come first", async () => {
  const { log, registry, intake, judge, start, until } = reader();
  intake.accept(seal(BEACON, beacon(), identity(1)), meta);
  start();
  await until(() => registry.size === 1);
  for (let i = 0; i < 1_000; i++) expect(intake.accept(unsigned(inventedKey()), event)).toMatchObject({ reason: "key-waiting" });
  expect(judge.waiting).toBeLessThanOrEqual(256);
  expect(intake.accept(seal(BEACON, beacon({ sequence: 5_000 }), identity(1)), event)).toMatchObject({ ok: true });

  const newcomer = seal(BEACON, beacon({ node: "newcomer" }), identity(2));
  intake.accept(newcomer, { ...meta, node: "newcomer" });
  await until(() => registry.size === 2);
  const judged = log.filter((line) => line.startsWith("judged"));
  expect(judged.length).toBeLessThan(100); // it did not stand in line behind 256 others
  expect(judge.waiting).toBeGreaterThan(100); // who go on waiting, at a few a second
});

test("of several offers at one place the newest waits, and keys that nobody waits for are not judged", async () => {
  const { log, registry, intake, judge, start, until } = reader();
  for (let i = 0; i < 50; i++) intake.accept(unsigned(inventedKey()), meta);
  intake.accept(seal(BEACON, beacon({ sequence: 7 }), identity(1)), meta);
  intake.accept(seal(BEACON, beacon({ sequence: 8 }), identity(1)), meta);
  expect(judge.waiting).toBe(1);
  start();
  await until(() => registry.size === 1);
  expect(registry.byNode(node)?.verified.record.sequence).toBe(8);
  expect(log.filter((line) => line.startsWith("judged"))).toHaveLength(1);
});

test("the same key offered by an event and at its place is judged once, and both are taken up", async () => {
  const { log, intake, start, until } = reader();
  const sealed = seal(BEACON, beacon(), identity(1));
  intake.accept(sealed, event);
  intake.accept(sealed, { ...meta, meta: serviceMeta(verifiedBeacon()) });
  start();
  await until(() => log.some((line) => line.endsWith("accepted")));
  expect(log.filter((line) => line.startsWith("judged"))).toHaveLength(1);
  expect(intake.accept(sealed, event)).toBeUndefined(); // accepted before, and still standing there
  expect(intake.waits(node)).toBe(false);
});

test("a thread that died is started again, and no key is lost", async () => {
  const real = new KeyCheckThread();
  let deaths = 1;
  const { log, registry, intake, start, until } = reader({
    check: async (keys) => {
      const answer = real.check(keys);
      if (deaths-- > 0) void real.rest(); // ends the thread in the middle of the check
      return answer;
    },
    rest: () => real.rest(),
  });
  intake.accept(seal(BEACON, beacon(), identity(1)), meta);
  start();
  await until(() => registry.size === 1);
  expect(log).toEqual(["meta waiting", "failed", `judged ${short(identity(1).publicKey)} sound`, "meta accepted"]);
});

test("a state waits too, and is opened at the next read", async () => {
  const { keys, judge, start, until } = reader();
  const honest = verifiedState();
  const entry = { key: stateKey(honest.record.node), value: Buffer.from(stateDocument(honest)), modifyIndex: "1" };
  const rejected: string[] = [];
  const states = new StateReader(listing(() => [entry]), keys, clock, (at) => rejected.push(at), judge);
  expect((await states.read("dc1")).get(honest.record.node)).toMatchObject({ ok: false, reason: "key-waiting" });
  start();
  await until(() => judge.waiting === 0);
  expect((await states.read("dc1")).get(honest.record.node)).toMatchObject({ ok: true });
  expect(rejected).toEqual([]);
});
