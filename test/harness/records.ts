/** Signed records for tests: real keys (from a seed, so that vectors repeat), real seals, opened like any other. */
import { createPrivateKey, createPublicKey, type KeyObject } from "node:crypto";
import { BEACON, open, type OpenContext, seal, STATE, type Verified } from "../../src/beacon/envelope.js";
import { KeyAdmission } from "../../src/beacon/keys.js";
import type { Beacon, NodeState, Workload } from "../../src/beacon/record.js";

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

export function context(overrides: Partial<OpenContext> = {}): OpenContext {
  return { keys: new KeyAdmission(), nowMs: NOW_MS, skewMs: 10_000, datacenter: "dc1", ...overrides };
}

/** Sealed and opened; a test that needs an unverified record has no business here. */
export function verifiedBeacon(overrides: Partial<Beacon> = {}, by = identity(1), at: Partial<OpenContext> = {}): Verified<Beacon> {
  const opened = open(BEACON, seal(BEACON, beacon(overrides), by), context({ nowMs: overrides.issuedAtMs ?? NOW_MS, ...at }));
  if (!opened.ok) throw new Error(`${opened.reason}: ${opened.detail}`);
  return opened.verified;
}

export function verifiedState(overrides: Partial<NodeState> = {}, by = identity(1)): Verified<NodeState> {
  const opened = open(STATE, seal(STATE, state(overrides), by), context({ nowMs: overrides.issuedAtMs ?? NOW_MS }));
  if (!opened.ok) throw new Error(`${opened.reason}: ${opened.detail}`);
  return opened.verified;
}
