/** Signed records for tests: real keys (from a seed, so that vectors repeat), real seals, opened like any other. */
import { createPrivateKey, createPublicKey, type KeyObject } from "node:crypto";
import { BEACON, open, type OpenContext, seal, STATE, type Verified } from "../../src/beacon/envelope.js";
import { KeyAdmission } from "../../src/beacon/keys.js";
import type { Beacon, NodeState, Workload } from "../../src/beacon/record.js";
import { withBatches } from "../../src/beacon/workload-batches.js";
import { batchesOf } from "../../src/beacon/workload-codec.js";

export const NOW_MS = 1_795_000_000_000;

export interface TestIdentity {
  publicKey: Uint8Array;
  privateKey: KeyObject;
}

/** RFC 8410: PKCS #8 of an ed25519 seed is this prefix and the 32 bytes. */
export function identity(seedByte: number): TestIdentity {
  const der = Buffer.concat([Buffer.from("302e020100300506032b657004220420", "hex"), Buffer.alloc(32, seedByte)]);
  const privateKey = createPrivateKey({ key: der, format: "der", type: "pkcs8" });
  const jwk = createPublicKey(privateKey).export({ format: "jwk" });
  return { privateKey, publicKey: Uint8Array.from(Buffer.from(jwk.x ?? "", "base64url")) };
}

export function beacon(overrides: Partial<Beacon> = {}): Beacon {
  return {
    node: "provider-fra1-rack07-12", // 23 letters, the size that design.md budgets for
    datacenter: "dc1",
    epoch: 12,
    sequence: 4_321,
    issuedAtMs: NOW_MS,
    validityMs: 300_000,
    latency: { us: 12_350, source: "measured" },
    jitterUs: 1_000,
    lossRatio: 0.0012,
    queueDepth: 3,
    priceMicroUsdPerGb: 10_000,
    capabilities: ["container", "vm"],
    declaredReputation: 1,
    ...overrides,
  };
}

export function state(overrides: Partial<NodeState> = {}): NodeState {
  const { node, datacenter, epoch, sequence, issuedAtMs, validityMs } = beacon();
  return {
    node, datacenter, epoch, sequence, issuedAtMs, validityMs,
    nodeId: "5f3c2d1e-0a9b-4c8d-8e7f-112233445566",
    address: "192.0.2.17",
    workloads: [],
    ...overrides,
  };
}

export function workload(i: number): Workload {
  const id = `${String(i).padStart(8, "0")}-0a9b-4c8d-8e7f-112233445566`;
  return { id, job: `web-${String(i)}`, namespace: "default", taskGroup: "app", status: "running", createdAtMs: NOW_MS - 60_000 };
}

/** `count` of them, placed and proved: of the size that they have where sidecars place work. */
export function placedWorkloads(count: number, from = 0): Workload[] {
  return Array.from({ length: count }, (_, i) => {
    const n = String(from + i).padStart(20, "0");
    const proof = { hash: n.padStart(64, "a"), signature: n.padStart(128, "c"), issuedAtMs: NOW_MS, driver: "raw_exec", totals: { watchedMs: 3_600_000, gapMs: 0, restarts: 0 }, cpuPpm: 12_000, memoryBytes: 33_554_432 };
    const source = { requestId: `request-${n}`, decisionId: n.padStart(32, "d"), generation: 1, imageRef: "docker://registry.example/app:1.27", cores: 1, memoryMb: 256, ports: [{ host: 8_080, workload: 80 }], allowOverlap: false };
    return { ...workload(from + i), job: `ibrl-${n}`, source, proof, endpoints: [{ address: "192.0.2.17", port: 8_080 }] };
  });
}

export function context(overrides: Partial<OpenContext> = {}): OpenContext {
  return { keys: new KeyAdmission(), nowMs: NOW_MS, skewMs: 10_000, datacenter: "dc1", ...overrides };
}

/** Sealed and opened; a test that needs an unverified record has no business here. */
export function verifiedBeacon(overrides: Partial<Beacon> = {}, by = identity(1), at: Partial<OpenContext> = {}): Verified<Beacon> {
  const opened = open(BEACON, seal(BEACON, beacon(overrides), by), context({ nowMs: overrides.issuedAtMs ?? NOW_MS, ...at }));
  if (!opened.ok) throw new Error(`${opened.reason}: ${opened.detail}`);
  return opened.verified;
}

/** With its workloads, also where they stand in batches beside it. */
export function verifiedState(overrides: Partial<NodeState> = {}, by = identity(1)): Verified<NodeState> {
  const opened = open(STATE, seal(STATE, state(overrides), by), context({ nowMs: overrides.issuedAtMs ?? NOW_MS }));
  const whole = opened.ok ? withBatches(opened.verified, batchesOf(overrides.workloads ?? [])) : opened;
  if (!whole.ok) throw new Error(`${whole.reason}: ${whole.detail}`);
  return whole.verified;
}
