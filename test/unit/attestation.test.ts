/** Attestations: what a node signs for who asks, and every way in which one does not count. */
import { type Asked, ATTESTATION, type Attestation, checkAttestation } from "../../src/beacon/attestation.js";
import { BEACON, openStatement, seal, STATE } from "../../src/beacon/envelope.js";
import { KeyAdmission } from "../../src/beacon/keys.js";
import { AttestError, Attestor, type AttestationQuestion } from "../../src/sidecar/attestor.js";
import type { Sealed } from "../../src/sidecar/sealer.js";
import { context, identity, NOW_MS, state, verifiedBeacon, verifiedState, workload } from "../harness/records.js";

const keys = new KeyAdmission();
const NONCE = "ab".repeat(32);
const runs = { ...workload(1), job: "web" };
const held = verifiedState({ node: "node-1", workloads: [{ ...runs, id: "0000-old", status: "complete", createdAtMs: NOW_MS }, runs] });
const at = (overrides = {}) => context({ keys, node: "node-1", ...overrides });

let signed: [string, number][];
function attestor(sealed: Sealed | undefined = { beacon: verifiedBeacon({ node: "node-1" }), state: held }): Attestor {
  signed = [];
  return new Attestor({ sealed: () => sealed, identity: identity(1), clock: { nowMs: () => NOW_MS + 5, monoMs: () => 1 }, onSigned: (...told) => void signed.push(told) });
}
const question = (overrides: Partial<AttestationQuestion> = {}): AttestationQuestion => ({ nodeId: "", type: "NODE_IDENTITY", nonce: Buffer.from(NONCE, "hex"), workload: "", ...overrides });
const check = (sealed: Uint8Array, asked: Partial<Asked> = {}, overrides = {}, against = held) => checkAttestation(sealed, { type: "NODE_IDENTITY", nonce: NONCE, ...asked }, at({ nowMs: NOW_MS + 20, ...overrides }), against);

test.each<[Asked["type"], string | undefined]>([["NODE_IDENTITY", undefined], ["STATE_HASH", undefined], ["WORKLOAD", "web"], ["WORKLOAD", runs.id]])("%s %s is made and verified, with its age", (type, asked) => {
  const { sealed, nodeId } = attestor().attest(question({ type, workload: asked ?? "", nodeId: held.record.nodeId }));
  const checked = check(sealed, { type, ...(asked === undefined ? {} : { workload: asked }) });
  if (!checked.ok) throw new Error(checked.detail);
  const { record, ageMs } = checked.verified;
  expect(nodeId).toBe(held.record.nodeId);
  expect({ ageMs, ...record }).toMatchObject({ nodeId, ageMs: 15, type, nonce: NONCE, stateHash: held.hash, epoch: held.record.epoch, sequence: held.record.sequence });
  expect(record.workload).toEqual(type === "WORKLOAD" ? { allocation: runs.id, job: "web", namespace: "default", status: "running" } : undefined);
  expect(signed).toEqual([[type, 0]]);
});

test.each<[string, Partial<AttestationQuestion>, AttestError["code"], RegExp]>([
  ["another type", { type: "TEE" }, "invalid", /none of NODE_IDENTITY, STATE_HASH, WORKLOAD/],
  ["a short nonce", { nonce: new Uint8Array(15) }, "invalid", /15 bytes; it takes 16 to 64/],
  ["a long nonce", { nonce: new Uint8Array(65) }, "invalid", /65 bytes/],
  ["another node", { nodeId: "no-such" }, "not-found", /attests for node-1/],
  ["no workload", { type: "WORKLOAD" }, "invalid", /workload is missing/],
  ["a workload of another type", { workload: "web" }, "invalid", /does not go with NODE_IDENTITY/],
  ["a workload that is not here", { type: "WORKLOAD", workload: "db" }, "not-found", /no workload "db"/],
])("a question for %s is refused", (_, asked, code, message) => {
  const ask = () => attestor().attest(question(asked));
  expect(ask).toThrow(AttestError);
  expect(ask).toThrow(message);
  expect(ask).toThrow(expect.objectContaining({ code }) as Error);
});

test("who speaks for no node attests to nothing", () => {
  const nobody = new Attestor({ sealed: () => undefined, identity: identity(1), clock: { nowMs: () => NOW_MS, monoMs: () => 1 }, onSigned: () => {} });
  expect(() => nobody.attest(question())).toThrow(expect.objectContaining({ code: "unavailable" }) as Error);
});

describe("an attestation does not count", () => {
  const { sealed } = attestor().attest(question({ type: "WORKLOAD", workload: "web" }));
  const asked: Partial<Asked> = { type: "WORKLOAD", workload: "web" };
  const opened = openStatement(ATTESTATION, sealed, keys);
  if (!opened.ok) throw new Error(opened.detail);
  const by = (changes: Partial<Attestation>, seed = 1) => seal(ATTESTATION, { ...opened.signed.record, ...changes }, identity(seed));

  test("it does as it was made", () => expect(check(sealed, asked)).toMatchObject({ ok: true }));

  test.each<[string, string, () => ReturnType<typeof check>]>([
    ["with an old answer's nonce", "wrong-nonce", () => check(by({ nonce: "cd".repeat(32) }), asked)],
    ["to another question", "wrong-type", () => check(sealed, { type: "STATE_HASH" })],
    ["by another key", "wrong-key", () => check(by({}, 2), asked)],
    ["for another node", "wrong-node", () => check(by({ node: "node-2" }), asked)],
    ["for another datacenter", "wrong-node", () => check(by({ datacenter: "dc2" }), asked)],
    ["for another Consul node ID", "wrong-node", () => check(by({ nodeId: "other" }), asked)],
    ["over its validity", "expired", () => check(sealed, asked, { nowMs: NOW_MS + 61_000 })],
    ["from the future", "issued-in-future", () => check(sealed, asked, { nowMs: NOW_MS - 60_000 })],
    ["to a state before the one held", "superseded", () => check(by({ sequence: held.record.sequence - 1 }), asked)],
    ["to a state that nobody holds", "wrong-state", () => check(by({ sequence: held.record.sequence + 1 }), asked)],
    ["to other bytes of the state", "wrong-state", () => check(by({ stateHash: "00".repeat(32) }), asked)],
    ["about another workload", "wrong-workload", () => check(sealed, { ...asked, workload: "db" })],
    ["about a workload that is not in the state", "wrong-workload", () => check(by({ workload: { allocation: "x", job: "web", namespace: "default", status: "running" } }), asked)],
    ["that calls a workload something else", "wrong-workload", () => check(by({ workload: { allocation: runs.id, job: "web", namespace: "default", status: "failed" } }), asked)],
    ["signed as a state", "wrong-purpose", () => check(seal(STATE, state({ node: "node-1" }), identity(1)), asked)],
  ])("%s is refused: %s", (_, reason, checked) => expect(checked()).toMatchObject({ ok: false, reason }));

  test("with any byte changed, and no bytes make it throw", () => {
    for (let i = 0; i < sealed.length; i += 1) {
      const changed = Uint8Array.from(sealed);
      changed[i] = (changed[i] ?? 0) ^ 0x01;
      expect(check(changed, asked).ok).toBe(false);
    }
    for (const bytes of [new Uint8Array(), new Uint8Array(9_000), sealed.slice(0, 40)]) expect(check(bytes, asked).ok).toBe(false);
  });

  test("as anything else: its domain is its own", () => {
    for (const opened of [openStatement(BEACON, sealed, keys), openStatement(STATE, sealed, keys)]) expect(opened).toMatchObject({ ok: false, reason: expect.stringMatching(/^(?:wrong-purpose|oversized)$/) as string });
  });
});
