/** NodeView to the ancestor's message and back: what each field carries, and that a client believes sealed bytes only. */
import { KeyAdmission } from "../../src/beacon/keys.js";
import type { NodeView } from "../../src/beacon/node-view.js";
import { TRUST_STATES, type TrustState } from "../../src/beacon/registry.js";
import { cluster } from "../../src/proto/messages.js";
import { ancestorJson } from "../../src/sidecar/api/ancestor-json.js";
import { messageOf, type NodeStateMessage } from "../../src/sidecar/api/contract.js";
import { viewOf } from "../../src/sidecar/api/view-of.js";
import { ancestorDecode } from "../harness/ancestor-decoder.js";
import { identity, NOW_MS, placedWorkloads, verifiedBeacon, verifiedState, workload } from "../harness/records.js";
import { rotation } from "../harness/rotations.js";

const wire = cluster.services.api.NodeStateResponse;
const place = { name: "node-a", id: "5f3c2d1e-0a9b-4c8d-8e7f-112233445566", address: "192.0.2.17", datacenter: "dc1" };
const context = { keys: new KeyAdmission(), nowMs: NOW_MS, skewMs: 10_000 };
const beaconOf = (node: string, more = {}, by = identity(1)) => verifiedBeacon({ node, ...more }, by);
const full: NodeView = {
  ...place, trust: "pinned", alive: true,
  beacon: beaconOf("node-a"), state: verifiedState({ node: "node-a", workloads: [workload(1), workload(2)] }),
};
const unmeasured: NodeView = {
  ...place, trust: "first-use", alive: false,
  beacon: verifiedBeacon(
    { node: "node-a", latency: undefined, jitterUs: undefined, lossRatio: undefined, queueDepth: undefined, priceMicroUsdPerGb: undefined, capabilities: [] } as object,
  ),
};
const zero = beaconOf("node-a", { latency: { us: 0, source: "measured" }, jitterUs: 0, lossRatio: 0, queueDepth: 0, priceMicroUsdPerGb: 0 });

/** Over the wire and back, with `change` made to the message in between. */
function received(view: NodeView, change: (message: NodeStateMessage) => void = () => {}, at = context): NodeView {
  const message: NodeStateMessage = wire.decode(wire.encode(messageOf(view)).finish());
  change(message);
  return viewOf(message, at);
}
const flipped = (bytes: Uint8Array | null | undefined, index: number) => {
  const copy = Uint8Array.from(bytes ?? []);
  copy[index] = (copy[index] ?? 0) ^ 1;
  return copy;
};
const beaconIn = (message: NodeStateMessage) => message.beacon ?? (message.beacon = {});

describe("what the fields carry", () => {
  test("a measured node, in the ancestor's units", () => {
    const { beacon, state } = full;
    expect(messageOf({ ...full, reputation: { score: 0.8666, observers: 5 } })).toEqual({
      node: { id: place.id, ip: place.address, name: "node-a", datacenter: "dc1" },
      beacon: {
        beacon_node_id: Buffer.from(identity(1).publicKey.subarray(0, 8)).toString("hex"),
        node_signature: beacon?.signature, timestamp: NOW_MS / 1000, reputation_score: "0.87", reputation_observers: 5,
        node_capabilities: ["container", "vm"], latency_ms: 12.35, jitter_ms: 1, packet_loss: 0.12, queue_depth: 3, price_per_gb: 0.01,
      },
      workloads: [1, 2].map((n) => ({ id: workload(n).id, allocation_id: workload(n).id })),
      state_signature: Buffer.from(state?.signature ?? []).toString("base64"),
      sealed_beacon: beacon?.sealed, sealed_state: state?.sealed, trust: "pinned", alive: true,
    });
    expect(beacon?.signature).toHaveLength(64);
  });

  test("a workload's newest proof, as the ancestor has it; what Nomad does not tell is absent", () => {
    const proof = { hash: "ab".repeat(32), signature: "cd".repeat(64), issuedAtMs: NOW_MS, driver: "exec", totals: { watchedMs: 60_000, gapMs: 0, restarts: 2 }, memoryBytes: 4_096 };
    const view = { ...full, state: verifiedState({ node: "node-a", workloads: [{ ...workload(1), proof }, workload(2)] }) };
    const message = messageOf(view);
    expect(message.workloads?.map((w) => w.proof)).toEqual([
      { proof_hash: proof.hash, proof_signature: Buffer.from(proof.signature, "hex"), metrics: { watched_ms: "60000", gap_ms: "0", restarts: "2", memory_bytes: "4096" }, proof_timestamp: NOW_MS / 1_000, hypervisor_type: "exec" },
      undefined,
    ]);
    const sent = () => wire.decode(wire.encode(message).finish());
    expect(viewOf(sent(), { keys: new KeyAdmission(), nowMs: NOW_MS, skewMs: 10_000 })).toMatchObject({ trust: "pinned", state: { record: { workloads: [{ proof }, {}] } } });
    for (const change of [{ proof_hash: "00".repeat(32) }, { proof_timestamp: 1 }, { hypervisor_type: "docker" }, { metrics: { restarts: "0" } }, { proof_signature: new Uint8Array(64) }]) {
      const changed = sent();
      Object.assign(changed.workloads[0]?.proof ?? {}, change);
      expect(viewOf(changed, { keys: new KeyAdmission(), nowMs: NOW_MS, skewMs: 10_000 })).toMatchObject({ trust: "unverified", detail: expect.stringContaining("workloads are not those of the sealed state") as string });
    }
  });

  test("a server of a version without proofs serves none of them, and is believed", () => {
    const proof = { hash: "ab".repeat(32), signature: "cd".repeat(64), issuedAtMs: NOW_MS, driver: "exec", totals: { watchedMs: 60_000, gapMs: 0, restarts: 2 } };
    const message = messageOf({ ...full, state: verifiedState({ node: "node-a", workloads: [{ ...workload(1), proof }, workload(2)] }) });
    const workloads = message.workloads?.map(({ proof: _unknownToIt, ...served }) => served) ?? [];
    const view = viewOf(wire.decode(wire.encode({ ...message, workloads }).finish()), { keys: new KeyAdmission(), nowMs: NOW_MS, skewMs: 10_000 });
    expect(view).toMatchObject({ trust: "pinned", state: { record: { workloads: [{ proof }, {}] } } });
  });

  test("unknown is absent, and 0 to an old client", () => {
    const message = messageOf(unmeasured);
    expect(Object.keys(message.beacon ?? {})).toEqual(["beacon_node_id", "node_signature", "timestamp", "reputation_score", "node_capabilities"]);
    expect(message).not.toHaveProperty("state_signature");
    expect(ancestorDecode("NodeStateResponse", wire.encode(message).finish())["beacon"]).toMatchObject({
      latency_ms: 0, jitter_ms: 0, packet_loss: 0, queue_depth: 0, price_per_gb: 0, reputation_score: "",
    });
  });

  test("a known zero is written, in proto and in JSON", () => {
    const message = messageOf({ ...unmeasured, beacon: zero });
    const zeros = { latency_ms: 0, jitter_ms: 0, packet_loss: 0, queue_depth: 0, price_per_gb: 0 };
    expect(wire.decode(wire.encode(message).finish()).beacon).toMatchObject(zeros);
    expect(ancestorJson(message)).toMatchObject({ beacon: zeros, alive: false });
    expect(ancestorJson(messageOf(unmeasured))["beacon"]).not.toHaveProperty("latency_ms");
  });

  test("a ratio becomes percent without binary noise", () => {
    expect(messageOf({ ...full, beacon: beaconOf("node-a", { lossRatio: 0.07 }) }).beacon?.packet_loss).toBe(7);
    expect(messageOf({ ...full, beacon: beaconOf("node-a", { lossRatio: 0.000001 }) }).beacon?.packet_loss).toBe(0.0001);
  });

  test.each(TRUST_STATES.filter((t) => t !== "pinned" && t !== "first-use"))("a node that is %s shows an old client no beacon and no workloads", (trust) => {
    const message = messageOf({ ...full, trust });
    expect(ancestorDecode("NodeStateResponse", wire.encode(message).finish())).toMatchObject({ beacon: null, workloads: [], state_signature: "" });
    expect(message.trust).toBe(trust);
  });
});

describe("the way back", () => {
  test("what was served comes back, verified by the client", () => {
    for (const view of [full, unmeasured, { ...unmeasured, beacon: zero }]) {
      const back = received(view);
      expect(back).toMatchObject({ ...place, trust: view.trust, alive: view.alive });
      expect(back.beacon?.record).toEqual(view.beacon?.record);
      expect(back.state?.record).toEqual(view.state?.record);
      expect(back).not.toHaveProperty("detail");
    }
  });

  test("a node without a sidecar stays one, and says nothing of alive", () => {
    expect(received({ ...place, trust: "no-sidecar" })).toEqual({ ...place, trust: "no-sidecar" });
  });

  test.each<TrustState>(["no-sidecar", "expired", "unlisted", "equivocation", "id-collision", "pin-conflict"])(
    "the server's %s stands although the record verifies, and the record is not shown",
    (trust) => {
      const back = received({ ...full, trust });
      expect(back.trust).toBe(trust);
      expect(back).not.toHaveProperty("beacon");
      expect(back).not.toHaveProperty("state");
    },
  );

  test("what an open sidecar shows comes back labelled unverified, and verified by the client: no readable value travels", () => {
    const open: NodeView = { ...full, trust: "unverified", detail: "open mode" };
    expect(messageOf(open)).not.toHaveProperty("beacon");
    const back = received(open);
    expect(back).toMatchObject({ trust: "unverified", detail: expect.stringMatching(/^open mode/) as string });
    expect(back.beacon?.record).toEqual(full.beacon?.record);
    expect(received(open, (m) => (m.sealed_beacon = flipped(m.sealed_beacon, 40)))).not.toHaveProperty("beacon");
  });

  test("a record over its validity by the client's clock is expired, whatever the server says", () => {
    const late = { ...context, nowMs: NOW_MS + 300_001 };
    expect(received(full, () => {}, late)).toMatchObject({ trust: "expired", detail: expect.stringMatching(/^expired: /) as string });
    expect(received(full, () => {}, late)).not.toHaveProperty("beacon");
    expect(received(full, () => {}, { ...context, nowMs: NOW_MS + 300_000 }).trust).toBe("pinned");
    expect(received({ ...full, trust: "pin-conflict" }, () => {}, late).trust).toBe("pin-conflict");
  });

  test("a record from further ahead than the skew is not believed", () => {
    expect(received(full, () => {}, { ...context, nowMs: NOW_MS - 10_001 })).toMatchObject({ trust: "unverified" });
  });

  test("an ancestor's server is listed and not believed", () => {
    const back = viewOf({ node: { id: "a1b2", ip: "10.0.0.7" }, beacon: { beacon_node_id: "a1b2", latency_ms: 1 } }, context);
    expect(back).toMatchObject({ name: "a1b2", address: "10.0.0.7", trust: "unverified" });
    expect(back).not.toHaveProperty("beacon");
  });

  test("the server's text cannot steer a terminal", () => {
    const back = viewOf({ node: { id: "x", name: "\u001b[2Jnode\u202e" }, trust: "\u001b]0;" }, context);
    expect(back.detail).toMatch(/is unknown here/);
    // oxlint-disable-next-line no-control-regex -- control characters are what must not be there
    expect(back.name + (back.detail ?? "")).not.toMatch(/[\u001b\u202e]/);
  });
});

describe("tampering is never believed", () => {
  const sealedLength = full.beacon?.sealed.length ?? 0;
  const other = { ...full, beacon: beaconOf("node-b", {}, identity(2)) };
  const foreign = verifiedState({ node: "node-a", workloads: [workload(1), workload(2)] }, identity(2));
  const cases: [string, (message: NodeStateMessage) => void][] = [
    ["another latency", (m) => (beaconIn(m).latency_ms = 0.1)],
    ["latency left out", (m) => (beaconIn(m).latency_ms = null)],
    ["another jitter", (m) => (beaconIn(m).jitter_ms = 0)],
    ["another loss", (m) => (beaconIn(m).packet_loss = 0)],
    ["another queue", (m) => (beaconIn(m).queue_depth = 0)],
    ["another price", (m) => (beaconIn(m).price_per_gb = 0.001)],
    ["another time", (m) => (beaconIn(m).timestamp = NOW_MS / 1000 + 1)],
    ["another ID", (m) => (beaconIn(m).beacon_node_id = "0000000000000000")],
    ["another signature", (m) => (beaconIn(m).node_signature = flipped(beaconIn(m).node_signature, 63))],
    ["one capability more", (m) => beaconIn(m).node_capabilities?.push("gpu")],
    ["the readable beacon left out", (m) => delete m.beacon],
    ["the sealed beacon left out", (m) => (m.sealed_beacon = new Uint8Array())],
    ["the sealed beacon and the readable one left out", (m) => ((m.sealed_beacon = new Uint8Array()), delete m.beacon)],
    ["another node's sealed beacon", (m) => (m.sealed_beacon = messageOf(other).sealed_beacon ?? null)],
    ["another node's beacon, readable and sealed", (m) => Object.assign(m, { sealed_beacon: messageOf(other).sealed_beacon, beacon: messageOf(other).beacon })],
    ["another name", (m) => ((m.node ??= {}).name = "node-b")],
    ["another datacenter", (m) => ((m.node ??= {}).datacenter = "dc2")],
    // Readable copies that fit it, so that nothing but the key is wrong.
    ["a state by another key", (m) => Object.assign(m, { sealed_state: foreign.sealed, state_signature: Buffer.from(foreign.signature).toString("base64") })],
    ["another node's state by the same key", (m) => (m.sealed_state = verifiedState({ node: "node-b" }).sealed)],
    ["a beacon in the state's place", (m) => (m.sealed_state = m.sealed_beacon ?? null)],
    ["the state left out, its workloads kept", (m) => (m.sealed_state = new Uint8Array())],
    ["one workload fewer", (m) => m.workloads?.pop()],
    ["another state signature", (m) => (m.state_signature = "AAAA")],
    ["a verdict that does not exist", (m) => (m.trust = "trusted")],
  ];
  test.each(cases)("%s", (_name, change) => {
    const back = received(full, change);
    expect(back.trust).toBe("unverified");
    expect(back.detail).toMatch(/./);
    expect(back).not.toHaveProperty("beacon");
    expect(back).not.toHaveProperty("state");
  });

  const rotated = { ...full, rotations: [rotation(6, 5, 7, "node-a"), rotation(5, 1, 9, "node-a")] };
  const seals = (message: NodeStateMessage): Uint8Array[] => (message.sealed_rotations ??= []);
  test.each<[string, (message: NodeStateMessage) => void]>([
    ["the last rotation left out", (m) => seals(m).splice(2)],
    ["one between left out", (m) => (m.sealed_rotations = messageOf({ ...full, rotations: [rotation(7, 6, 5, "node-a"), rotation(5, 1, 9, "node-a")] }).sealed_rotations ?? [])],
    ["half a rotation", (m) => seals(m).pop()],
    ["a flipped byte in a rotation", (m) => seals(m).splice(1, 1, flipped(seals(m)[1], 60))],
    ["another node's rotations", (m) => (m.sealed_rotations = messageOf({ ...full, rotations: [rotation(6, 5, 7, "node-b"), rotation(5, 1, 9, "node-b")] }).sealed_rotations ?? [])],
    ["the seals exchanged", (m) => seals(m).reverse()],
  ])("of the node's key rotations: %s", (_name, change) => {
    expect(received(rotated)).toMatchObject({ trust: "pinned", rotations: [{ epoch: 7 }, { epoch: 9 }] });
    const back = received(rotated, change);
    expect(back).toMatchObject({ trust: "unverified", detail: expect.stringMatching(/rotation/) as string });
    expect(back).not.toHaveProperty("beacon");
    expect(back).not.toHaveProperty("rotations");
  });

  const busy = { ...full, state: verifiedState({ node: "node-a", workloads: placedWorkloads(23) }) };
  const batchesIn = (message: NodeStateMessage): Uint8Array[] => (message.workload_batches ??= []);
  test("of more than ten workloads each is served, read, and verified by the client; of a server that knows no batches they are unknown", () => {
    const message = messageOf(busy);
    expect(message.workloads).toHaveLength(23);
    expect(message.workload_batches).toHaveLength(3);
    const back = received(busy);
    expect(back).toMatchObject({ trust: "pinned" });
    expect(back.state?.record).toEqual(busy.state.record);
    const between = received(busy, (m) => Object.assign(m, { workload_batches: [], workloads: [] }));
    expect(between).toMatchObject({ trust: "pinned", state: { hash: busy.state.hash } });
    expect(between.state?.record).not.toHaveProperty("workloads");
    // Served on by who knows them no better, and labelled where nobody is believed.
    expect(received(between)).toMatchObject({ trust: "pinned", state: { hash: busy.state.hash } });
    expect(received({ ...busy, trust: "unverified", detail: "open mode" }).state?.record.workloads).toEqual(busy.state.record.workloads);
  });

  test.each<[string, string, (message: NodeStateMessage) => void]>([
    ["a batch left out", "incomplete", (m) => batchesIn(m).pop()],
    ["a batch left out, and its readable workloads", "incomplete", (m) => (batchesIn(m).pop(), m.workloads?.splice(20))],
    ["all batches left out, their readable workloads kept", "readable-mismatch", (m) => (m.workload_batches = [])],
    ["two batches exchanged", "incomplete", (m) => batchesIn(m).reverse()],
    ["a flipped byte in a batch", "incomplete", (m) => batchesIn(m).splice(1, 1, flipped(batchesIn(m)[1], 60))],
    ["another node's batches", "incomplete", (m) => (m.workload_batches = messageOf({ ...busy, state: verifiedState({ node: "node-a", workloads: placedWorkloads(23, 100) }) }).workload_batches ?? [])],
    ["a readable workload left out", "readable-mismatch", (m) => m.workloads?.pop()],
    ["another proof of a readable workload", "readable-mismatch", (m) => Object.assign(m.workloads?.[22]?.proof ?? {}, { proof_hash: "00".repeat(32) })],
    ["the sealed state left out, its batches kept", "readable-mismatch", (m) => Object.assign(m, { sealed_state: new Uint8Array(), state_signature: "", workloads: [] })],
    ["an older state of few workloads beside them", "readable-mismatch", (m) => Object.assign(m, { sealed_state: full.state?.sealed, state_signature: messageOf(full).state_signature, workloads: messageOf(full).workloads })],
  ])("of more than ten workloads: %s", (_name, reason, change) => {
    const back = received(busy, change);
    expect(back).toMatchObject({ trust: "unverified", detail: expect.stringContaining(`${reason}: `) as string });
    expect(back).not.toHaveProperty("beacon");
    expect(back).not.toHaveProperty("state");
  });

  test("any flipped byte of the sealed beacon or state", () => {
    for (let i = 0; i < sealedLength; i++) {
      expect(received(full, (m) => (m.sealed_beacon = flipped(m.sealed_beacon, i))).trust).toBe("unverified");
    }
    for (let i = 0; i < (full.state?.sealed.length ?? 0); i++) {
      expect(received(full, (m) => (m.sealed_state = flipped(m.sealed_state, i))).trust).toBe("unverified");
    }
  });

  test("a worse verdict of the server is not softened by a tampered record", () => {
    const back = received({ ...full, trust: "pin-conflict" }, (m) => (m.sealed_beacon = flipped(m.sealed_beacon, sealedLength - 1)));
    expect(back).toMatchObject({ trust: "pin-conflict", detail: expect.stringMatching(/^bad-signature: /) as string });
  });

  test("nonsense from a server is a view, not an exception", () => {
    for (const message of [{}, { node: null }, { trust: "pinned" }, { sealed_state: Uint8Array.of(1) }, { trust: "no-sidecar", beacon: {} }]) {
      expect(viewOf(message, context).trust).toBe("unverified");
    }
  });
});
