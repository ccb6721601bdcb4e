/** Statements to a beacon network as nodes make them: a sealed beacon and an attestation of the same sequence over a nonce. */
import { ATTESTATION } from "../../src/beacon/attestation.js";
import type { AllowList } from "../../src/beacon/allow-list.js";
import { BEACON, seal } from "../../src/beacon/envelope.js";
import { KeyAdmission } from "../../src/beacon/keys.js";
import type { Statement } from "../../src/beacon/network-record.js";
import type { Beacon } from "../../src/beacon/record.js";
import { NetworkBook } from "../../src/sidecar/network/network-book.js";
import { Nonces } from "../../src/sidecar/network/nonces.js";
import { beacon, identity, NOW_MS, type TestIdentity } from "./records.js";

export const NETWORK_IDENTITY = identity(99);

/** dc1 with node-1 by key 1, dc2 with node-1 by key 2. */
export const MEMBER_LISTS: AllowList[] = [1, 2].map((n) => ({
  datacenter: `dc${String(n)}`, serial: 1, issuedAtMs: NOW_MS,
  nodes: [{ node: "node-1", publicKey: Buffer.from(identity(n).publicKey).toString("hex") }],
}));

export function statement(nonce: Uint8Array, by = 1, overrides: Partial<Beacon> = {}, attestedBy: TestIdentity = identity(by)): Statement {
  const record = beacon({ node: "node-1", datacenter: `dc${String(by)}`, ...overrides });
  const { node, datacenter, epoch, sequence, issuedAtMs, validityMs } = record;
  const attestation = {
    node, datacenter, epoch, sequence, issuedAtMs, validityMs, type: "STATE_HASH" as const,
    nonce: Buffer.from(nonce).toString("hex"), nodeId: "5f3c2d1e-0a9b-4c8d-8e7f-112233445566", stateHash: "ab".repeat(32),
  };
  return { sealedBeacon: seal(BEACON, record, identity(by)), sealedAttestation: seal(ATTESTATION, attestation, attestedBy) };
}

/** With a clock that a test moves. */
export function someNetwork(lists: AllowList[] = MEMBER_LISTS) {
  const at = { nowMs: NOW_MS, monoMs: 1_000 };
  const clock = { nowMs: () => at.nowMs, monoMs: () => at.monoMs };
  const nonces = new Nonces(clock.monoMs);
  return { at, clock, nonces, book: new NetworkBook({ lists, keys: new KeyAdmission(), nonces, identity: NETWORK_IDENTITY, clock }) };
}
