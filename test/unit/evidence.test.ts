/** Evidence: what two signed records prove, that it is kept once and within bounds, and that a changed byte is seen. */
import { mkdtempSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type Contradiction, duplicateProcess, equivocation, type Evidence, evidenceDocument, idCollision, readEvidenceDocument, verifyEvidence } from "../../src/beacon/evidence.js";
import { KeyAdmission } from "../../src/beacon/keys.js";
import { PinBook } from "../../src/beacon/pins.js";
import { Registry } from "../../src/beacon/registry.js";
import { EvidenceBook } from "../../src/sidecar/evidence-book.js";
import { readEvidence, writeEvidence } from "../../src/sidecar/state/evidence-file.js";
import { identity, NOW_MS, verifiedBeacon, verifiedState } from "../harness/records.js";
import { keyHex } from "../harness/rotations.js";
import { flipped } from "../harness/tampering.js";

const keys = new KeyAdmission();
const said = (sequence: number, more: Parameters<typeof verifiedBeacon>[0] = {}, by = 1) => verifiedBeacon({ node: "n1", sequence, ...more }, identity(by));
const twice = equivocation("beacon", said(5, { queueDepth: 1 }), said(5, { queueDepth: 2 }));
const twin = duplicateProcess(said(5, { epoch: 11, issuedAtMs: NOW_MS }), said(1, { epoch: 12, issuedAtMs: NOW_MS - 1_000 }));
/** A key that nobody has, with the ID of another: to find a real one takes 2^64 tries. */
const namesake = `${keyHex(2).slice(0, 16)}${"0".repeat(48)}`;
const collision = idCollision(namesake, undefined, said(1, {}, 2));

describe("is proof", () => {
  test.each<[string, Contradiction]>([
    ["two beacons with one sequence", twice],
    ["two states with one sequence", equivocation("state", verifiedState({ node: "n1" }), verifiedState({ node: "n1", address: "192.0.2.99" }))],
    ["a later record of an earlier start", twin],
    ["one key that speaks for two nodes", duplicateProcess(said(1), said(9, { node: "n2" }))],
    ["a record by a key with the ID of the pinned one", collision],
  ])("%s, also after it went through a file", (_, found) => {
    expect(verifyEvidence(found, keys)).toMatchObject({ ok: true });
    const again = readEvidenceDocument(JSON.parse(JSON.stringify(evidenceDocument({ ...found, seenAtMs: NOW_MS }))));
    expect(again).toMatchObject({ kind: found.kind, node: found.node, seenAtMs: NOW_MS });
    expect(verifyEvidence(again as Evidence, keys)).toMatchObject({ ok: true });
  });

  test.each<[string, Contradiction]>([
    ["the same record twice", equivocation("beacon", said(5), said(5))],
    ["two sequences", equivocation("beacon", said(5), said(6))],
    ["a beacon and a state of one beat", { ...equivocation("beacon", said(5), said(5)), records: [{ purpose: "beacon", sealed: said(4_321).sealed }, { purpose: "state", sealed: verifiedState({ node: "n1" }).sealed }] }],
    ["two keys", equivocation("beacon", said(5, { queueDepth: 1 }), said(5, { queueDepth: 2 }, 2))],
    ["two nodes, as equivocation", equivocation("beacon", said(5, { node: "n2" }), said(5))],
    ["a restart", duplicateProcess(said(5, { epoch: 11 }), said(1, { epoch: 12, issuedAtMs: NOW_MS + 1_000 }))],
    ["one record alone", { ...twice, records: twice.records.slice(0, 1) }],
    ["nothing", { ...twice, records: [] }],
    ["another node's records", { ...twice, node: "n2" }],
    ["a key with another ID", idCollision(keyHex(3), undefined, said(1, {}, 2))],
    ["the pinned key itself", idCollision(keyHex(2), undefined, said(1, {}, 2))],
    ["a third key as the pinned one's", { ...collision, records: [...twice.records.slice(0, 1), ...collision.records] }],
  ])("%s is not", (_, found) => {
    expect(verifyEvidence(found, keys)).toMatchObject({ ok: false, reason: expect.any(String) as string });
  });

  test("nothing of which a byte was changed, in either record", () => {
    for (const [at, { sealed }] of twice.records.entries()) {
      for (let i = 0; i < sealed.length; i += 1) {
        const records = twice.records.map((record, j) => (j === at ? { ...record, sealed: flipped(sealed, i) } : record));
        expect(verifyEvidence({ ...twice, records }, keys).ok).toBe(false);
      }
    }
  });
});

describe("the registry hands over", () => {
  test("both records of an equivocation, of beacons and of states, and flags the peer", () => {
    const found: Contradiction[] = [];
    const registry = new Registry(new PinBook([]), undefined, (each) => found.push(each));
    registry.admit(said(5, { queueDepth: 1 }), "meta", 0);
    registry.admit(said(5, { queueDepth: 2 }), "event", 1);
    expect(registry.byNode("n1")?.trust).toBe("equivocation");
    registry.admit(said(1, { epoch: 13 }), "meta", 2);
    expect(registry.byNode("n1")?.trust).toBe("first-use");
    registry.accuse(verifiedState({ node: "n1", epoch: 13 }), verifiedState({ node: "n1", epoch: 13, address: "192.0.2.99" }));
    expect(registry.byNode("n1")?.trust).toBe("equivocation");
    expect(found.map((each) => verifyEvidence(each, keys).ok)).toEqual([true, true]);
  });

  test("the newcomer's record at an ID that is another key's", () => {
    const found: Contradiction[] = [];
    const registry = new Registry(new PinBook([{ node: "n9", datacenter: "dc1", publicKey: namesake, origin: "cluster" }]), undefined, (each) => found.push(each));
    expect(registry.admit(said(1, {}, 2), "event", 0)).toMatchObject({ reason: "id-collision" });
    expect(found).toEqual([collision]);
    expect(registry.byNode("n1")).toBeUndefined();
  });
});

describe("kept", () => {
  const told: string[] = [];
  const observer = { kept: (kind: string, node: string) => told.push(`${kind} ${node}`), notKept: (kind: string, node: string, reason: string) => told.push(`${kind} ${node}: ${reason}`) };
  const book = (write: (all: readonly Evidence[]) => void, kept: readonly Evidence[] = []) => new EvidenceBook({ kept, write, clock: { nowMs: () => NOW_MS }, observer });
  let dir: string;
  beforeEach(() => {
    told.length = 0;
    dir = mkdtempSync(join(tmpdir(), "ibrl-evidence-"));
  });
  afterEach(() => rmSync(dir, { recursive: true, force: true }));

  test("once for each kind, node and key, on the disk for its owner alone, and still after a restart", () => {
    const first = book((all) => writeEvidence(dir, all), readEvidence(dir));
    for (const found of [twice, equivocation("beacon", said(6, { queueDepth: 1 }), said(6, { queueDepth: 2 })), twin]) first.keep(found);
    const kept = readEvidence(dir);
    expect(kept).toHaveLength(2);
    expect(kept[0]?.records.map(({ sealed }) => Buffer.from(sealed))).toEqual(twice.records.map(({ sealed }) => Buffer.from(sealed)));
    expect(statSync(join(dir, "evidence.json")).mode & 0o777).toBe(0o600);
    book((all) => writeEvidence(dir, all), kept).keep(twice);
    expect(told).toEqual(["equivocation n1", "duplicate-process n1"]);
  });

  test("within bounds: no flood pushes the first out, and none makes the file grow", () => {
    let all: readonly Evidence[] = [];
    const flooded = book((written) => (all = [...written]));
    flooded.keep(twice);
    for (let i = 0; i < 2_000; i += 1) flooded.keep({ ...twice, node: `n${String(i + 2)}` });
    expect(all).toHaveLength(256);
    expect(all[0]).toMatchObject(twice);
    expect(told.at(-1)).toContain("move evidence.json away");
    const large = { ...twice, records: [{ purpose: "state" as const, sealed: new Uint8Array(5 * 1024 * 1024) }] };
    const small = book((written) => (all = [...written]));
    small.keep(large);
    small.keep(twin);
    expect(all).toMatchObject([twin]);
  });

  test("told where the disk does not take it", () => {
    book(() => { throw new Error("no space"); }).keep(twice);
    expect(told).toEqual(["equivocation n1: no space"]);
  });

  test("in a file that is none, it stops the start", () => {
    writeFileSync(join(dir, "evidence.json"), '{"v":1,"evidence":[{}]}', { mode: 0o600 });
    expect(() => readEvidence(dir)).toThrow("is not a file of evidence");
  });
});
