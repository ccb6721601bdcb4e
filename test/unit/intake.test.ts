import { serviceMeta, stateDocument, stateKey } from "../../src/beacon/documents.js";
import { BEACON, seal } from "../../src/beacon/envelope.js";
import { KeyAdmission } from "../../src/beacon/keys.js";
import { PinBook } from "../../src/beacon/pins.js";
import { Registry } from "../../src/beacon/registry.js";
import { takeIn } from "../../src/sidecar/catalog.js";
import type { KvEntry, ServiceInstance } from "../../src/sidecar/consul-api.js";
import { Intake, type Place } from "../../src/sidecar/intake.js";
import { StateReader } from "../../src/sidecar/state-reader.js";
import { listing } from "../harness/kv-store.js";
import { beacon, identity, NOW_MS, state, verifiedBeacon, verifiedState } from "../harness/records.js";

class TestClock {
  wallMs = NOW_MS;
  elapsedMs = 0;
  nowMs = () => this.wallMs;
  monoMs = () => this.elapsedMs;
  sleep = () => Promise.resolve();
}

function reader() {
  const counts: Record<string, number> = {};
  const count = (label: string) => (counts[label] = (counts[label] ?? 0) + 1);
  const clock = new TestClock();
  const registry = new Registry(new PinBook([]));
  registry.setLiveness(new Map([[beacon().node, true]]));
  const intake = new Intake(registry, new KeyAdmission(), clock, {
    accepted: (carrier, _node, change) => count(`${carrier} ${change}`),
    rejected: (carrier, _node, { reason }) => count(`${carrier} ${reason}`),
  });
  return { clock, registry, intake, counts };
}

const meta: Place = { carrier: "meta", datacenter: "dc1", node: beacon().node };
const event: Place = { carrier: "event", datacenter: "dc1" };

test("the same bytes at the same place are opened once, at another place again", () => {
  const { intake, counts } = reader();
  const sealed = seal(BEACON, beacon(), identity(1));
  expect(intake.accept(sealed, meta)).toMatchObject({ ok: true, change: "new" });
  expect(intake.accept(sealed, meta)).toBeUndefined();
  expect(intake.accept(sealed, event)).toMatchObject({ ok: true, change: "duplicate" });
  expect(intake.accept(sealed, { ...meta, node: "another" })).toMatchObject({ ok: false, reason: "wrong-node" });
  expect(counts).toEqual({ "meta new": 1, "meta wrong-node": 1 });
});

test("an old record replayed by each carrier is rejected and counted once for each", () => {
  const { intake, counts } = reader();
  const old = seal(BEACON, beacon({ sequence: 1 }), identity(1));
  intake.accept(seal(BEACON, beacon({ sequence: 2 }), identity(1)), event);
  for (let again = 0; again < 3; again++) {
    expect(intake.accept(old, meta)).toMatchObject({ reason: "superseded" });
    expect(intake.accept(old, event)).toMatchObject({ reason: "superseded" });
  }
  expect(counts).toMatchObject({ "meta superseded": 1, "event superseded": 1 });
});

test("a record from ahead of our clock is looked at again once the clock came up to it", () => {
  const { intake, clock } = reader();
  const early = seal(BEACON, beacon({ issuedAtMs: NOW_MS + 60_000 }), identity(1));
  expect(intake.accept(early, event)).toMatchObject({ reason: "issued-in-future" });
  clock.wallMs += 60_000;
  expect(intake.accept(early, event)).toMatchObject({ ok: true });
});

test("readable meta that says anything else than the sealed record is tampering", () => {
  const verified = verifiedBeacon();
  const honest = serviceMeta(verified);
  const tampered: Record<string, string>[] = [
    { ...honest, "ibrl-latency-us": "1" },
    { ...honest, "ibrl-class": "latency-1ms" },
    { ...honest, "ibrl-bonus": "1" },
    { ...honest, "ibrl-v": "2" },
    Object.fromEntries(Object.entries(honest).filter(([key]) => key !== "ibrl-price-microusd")),
  ];
  for (const changed of tampered) {
    expect(reader().intake.accept(verified.sealed, { ...meta, meta: changed })).toMatchObject({ reason: "readable-mismatch" });
  }
  expect(reader().intake.accept(verified.sealed, { ...meta, meta: { ...honest, team: "others may add keys" } })).toMatchObject({ ok: true });
});

test("unknown values have no meta key, and a key for one is tampering", () => {
  const { latency: _, ...rest } = beacon();
  const verified = verifiedBeacon({ ...rest, latency: undefined } as never);
  expect(serviceMeta(verified)).not.toHaveProperty("ibrl-latency-us");
  const claimed = { ...serviceMeta(verified), "ibrl-latency-us": "0" };
  expect(reader().intake.accept(verified.sealed, { ...meta, meta: claimed })).toMatchObject({ reason: "readable-mismatch" });
});

test("every byte of a beacon flipped in turn is rejected in the catalog and in an event", async () => {
  const verified = verifiedBeacon();
  const { intake, registry } = reader();
  for (let at = 0; at < verified.sealed.length; at++) {
    const flipped = Uint8Array.from(verified.sealed);
    flipped[at] = (flipped[at] ?? 0) ^ 0x55;
    const carried = { ...serviceMeta(verified), "ibrl-beacon": Buffer.from(flipped).toString("base64") };
    await takeIn([instance(verified.record.node, carried)], "dc1", registry, intake);
    expect(intake.accept(flipped, event)?.ok).toBe(false);
  }
  expect(registry.size).toBe(0);
});

test("one foreign or broken instance does not cost the others", async () => {
  const { intake, registry } = reader();
  const verified = verifiedBeacon({ node: "good" }, identity(3));
  await takeIn(
    [
      instance("empty", {}),
      instance("foreign", { "ibrl-beacon": "x".repeat(512) }),
      instance("good", serviceMeta(verified)),
      instance("thief", serviceMeta(verified)),
    ],
    "dc1",
    registry,
    intake,
  );
  expect(registry.list({}, 0).map((entry) => entry.verified.record.node)).toEqual(["good"]);
  expect(registry.byNode("good")?.alive).toBe(true);
  expect(intake.lastRejection("thief")?.reason).toBe("wrong-node");
});

describe("states in KV", () => {
  const honest = verifiedState();
  const entry = (node: string, value: string | Uint8Array): KvEntry => ({
    key: stateKey(node), value: Buffer.from(value), modifyIndex: "1",
  });
  const read = async (entries: KvEntry[], oversized: string[] = []) => {
    const rejected: string[] = [];
    const states = new StateReader(listing(() => entries, oversized), new KeyAdmission(), new TestClock(), (node, { reason }) => rejected.push(`${node} ${reason}`));
    return { states: await states.read("dc1"), rejected };
  };

  test("an honest document opens; under another node's path it does not", async () => {
    const document = stateDocument(honest);
    const { states, rejected } = await read([entry(honest.record.node, document), entry("other", document)]);
    expect(states.get(honest.record.node)).toMatchObject({ ok: true });
    expect(states.get("other")).toMatchObject({ ok: false, reason: "wrong-node" });
    expect(rejected).toEqual(["other wrong-node"]);
  });

  test("every byte of a state document flipped in turn is rejected, and nothing is thrown", async () => {
    const document = Buffer.from(stateDocument(honest));
    for (let at = 0; at < document.length; at++) {
      const flipped = Buffer.from(document);
      flipped[at] = (flipped[at] ?? 0) ^ 0x04;
      const { states } = await read([entry(honest.record.node, flipped)]);
      const verdict = states.get(honest.record.node);
      // White space between JSON tokens carries no meaning; whatever still opens must be exactly what was signed.
      if (verdict?.ok === true) expect(verdict.verified.hash).toBe(honest.hash);
    }
  });

  test("what later versions added to a state is in its sealed bytes alone: to the release before, a readable field more is tampering", () => {
    const proof = { hash: "ab".repeat(32), signature: "cd".repeat(64), issuedAtMs: NOW_MS, driver: "exec", totals: { watchedMs: 1, gapMs: 0, restarts: 0 } };
    const workload = { id: "1", job: "j", namespace: "default", taskGroup: "g", status: "running", createdAtMs: NOW_MS };
    const document = stateDocument(verifiedState({ workloads: [{ ...workload, proof }], workOutcomes: [{ peerKey: "ab".repeat(32), ran: 1, failed: 0 }] }));
    const { state: readable } = JSON.parse(document) as { state: { workloads: object[] } };
    expect(Object.keys(readable)).toEqual(["node", "datacenter", "nodeId", "address", "beaconId", "epoch", "sequence", "issuedAt", "validitySeconds", "workloads", "links"]);
    expect(readable.workloads).toEqual([workload]);
  });

  test("a readable copy that was edited is tampering", async () => {
    const edited = stateDocument(honest).replace("192.0.2.17", "192.0.2.18");
    expect((await read([entry(honest.record.node, edited)])).states.get(honest.record.node)).toMatchObject({ reason: "readable-mismatch" });
  });

  test("foreign values under the prefix are skipped, named where they stand in a node's place, and the others are read", async () => {
    const huge = stateKey("huge");
    const { states } = await read(
      [entry("noise", "\u0000\u0001"), entry("huge", ""), entry(state().node, stateDocument(honest)), { key: "ibrl/v1/nodes/deep/er/state", value: Buffer.alloc(0), modifyIndex: "1" }],
      [huge],
    );
    expect(states.get("noise")).toMatchObject({ reason: "malformed-envelope" });
    expect(states.get("huge")).toMatchObject({ reason: "oversized" });
    expect(states.get(state().node)).toMatchObject({ ok: true });
    expect([...states.keys()]).not.toContain("deep/er");
  });
});

function instance(node: string, meta: Record<string, string>): ServiceInstance {
  return {
    node, meta, nodeId: "", datacenter: "dc1", nodeAddress: "", serviceId: "ibrl-beacon", address: "", port: 0, tags: [],
    checks: [{ id: "serfHealth", status: "passing" }],
  };
}
