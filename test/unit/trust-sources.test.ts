/** Where pins, lists and operator keys come from: KV with a lagging server, the disk that somebody edits, files. */
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { ALLOW_LIST, type AllowList, AllowListBook, allowListDocument } from "../../src/beacon/allow-list.js";
import { allowListKey, pinKey, rotationsPrefix } from "../../src/beacon/documents.js";
import { openStatement, seal } from "../../src/beacon/envelope.js";
import { KeyAdmission } from "../../src/beacon/keys.js";
import { formatPin, type Pin, PinBook } from "../../src/beacon/pins.js";
import { AllowListWatch } from "../../src/sidecar/allow-list-watch.js";
import { Backoff } from "../../src/sidecar/backoff.js";
import { learnPins } from "../../src/sidecar/catalog.js";
import { type ConsulApi, ConsulError, type KvEntry, type ReadOptions } from "../../src/sidecar/consul-api.js";
import { RotationReader } from "../../src/sidecar/rotation-reader.js";
import { readOperatorKeys } from "../../src/sidecar/operator-keys.js";
import { SettingsError, resolveSettings } from "../../src/sidecar/settings.js";
import { makeStateFolder } from "../../src/sidecar/state/atomic-file.js";
import { PinFile, writePins } from "../../src/sidecar/state/pin-file.js";
import { listing } from "../harness/kv-store.js";
import { identity, NOW_MS } from "../harness/records.js";

const hex = (key: Uint8Array) => Buffer.from(key).toString("hex");
const operator = identity(200);
const pin = (node: string, seed: number): Pin => ({ node, datacenter: "dc1", publicKey: hex(identity(seed).publicKey), origin: "cluster" });

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "ibrl-trust-"));
  makeStateFolder(join(folder, "state"));
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

describe("pins in KV", () => {
  const entry = (p: Pin, value = formatPin(p)): KvEntry => ({ key: pinKey("dc1", p.node), value: Buffer.from(value), modifyIndex: "1" });
  /** What stale and consistent reads answer. */
  function consul(stale: KvEntry[], consistent = stale, filteredByAcl?: true) {
    const asked: (string | undefined)[] = [];
    const kvList = async (prefix: string, options: ReadOptions = {}) => {
      if (prefix === rotationsPrefix("dc1")) return { value: [], index: "1", lastContactMs: 0, knownLeader: true, oversized: [] };
      asked.push(options.consistency);
      const value = options.consistency === "consistent" ? consistent : stale;
      return { value, index: "1", lastContactMs: 0, knownLeader: true, oversized: [], ...(filteredByAcl === undefined ? {} : { filteredByAcl }) };
    };
    return { asked, api: { ...listing(() => []), kvList } };
  }
  const book = () => new PinBook([pin("n1", 1)]);
  const read = async (pins: PinBook, { api }: ReturnType<typeof consul>) => {
    await learnPins(api, "dc1", { pins, rotations: new RotationReader(new KeyAdmission()) }, { consistency: "stale" });
    return pins.dispute("n1", "dc1");
  };

  test("a server that has not heard of a pin yet does not make it missing", async () => {
    const lagging = consul([], [entry(pin("n1", 1))]);
    expect(await read(book(), lagging)).toBeUndefined();
    expect(lagging.asked).toEqual(["stale", "consistent"]);
    const whole = consul([entry(pin("n1", 1))]);
    await read(book(), whole);
    expect(whole.asked).toEqual(["stale"]);
  });

  test("gone where the leader says so, or written over with what is no pin: a conflict", async () => {
    expect(await read(book(), consul([]))).toMatch(/gone from KV/);
    expect(await read(book(), consul([entry(pin("n1", 1), "rubbish")]))).toMatch(/gone from KV/);
    expect(await read(book(), consul([entry(pin("n1", 2))]))).toMatch(/KV names key/);
  });

  test("what the token may not read is not gone", async () => {
    expect(await read(book(), consul([], [], true))).toBeUndefined();
  });
});

describe("pins on disk", () => {
  const state = () => join(folder, "state");

  test("what somebody else wrote is taken over once, what the sidecar wrote is not", () => {
    const file = new PinFile(state());
    expect(file.read()).toEqual([]);
    file.write([pin("n1", 1), pin("n2", 2)]);
    expect(file.edited()).toBeUndefined();
    writePins(state(), [pin("n2", 2)]);
    expect(file.edited()).toEqual([pin("n2", 2)]);
    expect(file.edited()).toBeUndefined();
  });

  test("a file that is taken away forgets nothing, and a broken one is said once", () => {
    const file = new PinFile(state());
    file.write([pin("n1", 1)]);
    rmSync(join(state(), "pins.json"));
    expect(file.edited()).toBeUndefined();
    writeFileSync(join(state(), "pins.json"), "{", { mode: 0o600 });
    expect(() => file.edited()).toThrow(/is not a pin file/);
    expect(file.edited()).toBeUndefined();
  });
});

describe("allow-lists", () => {
  const keys = new KeyAdmission();
  function document(serial: number): string {
    const record: AllowList = { datacenter: "dc1", serial, issuedAtMs: NOW_MS, nodes: [] };
    const opened = openStatement(ALLOW_LIST, seal(ALLOW_LIST, record, operator), keys);
    if (!opened.ok) throw new Error(opened.detail);
    return allowListDocument(opened.signed);
  }

  /** Runs until KV has been read as often as it has answers; a string is a document, an Error a failed read. */
  async function watch(answers: (string | null | Error)[], { disk = null as string | null, file = null as string | null } = {}) {
    const ending = new AbortController();
    const lists = new AllowListBook(new Set([hex(operator.publicKey)]), keys);
    const seen: string[] = [];
    const kept = { document: disk };
    const left = [...answers];
    const kvGet: ConsulApi["kvGet"] = async (key) => {
      expect(key).toBe(allowListKey("dc1"));
      const answer = left.shift();
      if (left.length === 0) ending.abort();
      if (answer instanceof Error) throw answer;
      const value = answer === null || answer === undefined ? null : { key, value: Buffer.from(answer), modifyIndex: "1" };
      return { value, index: "7", lastContactMs: 0, knownLeader: true };
    };
    await new AllowListWatch({
      consul: { kvGet },
      clock: { nowMs: () => NOW_MS, monoMs: () => 0, sleep: () => Promise.resolve() },
      backoff: new Backoff(() => 0),
      lists,
      disk: { read: () => kept.document, write: (text) => (kept.document = text) },
      file: () => (file === null ? null : Buffer.from(file)),
      observer: {
        taken: (source, { record }) => seen.push(`${source} ${String(record.serial)}`),
        refused: (source, { reason }) => seen.push(`${source} ${reason}`),
        read: (error) => void (error === undefined || seen.push((error as ConsulError).code)),
        unkept: () => seen.push("unkept"),
      },
      datacenter: () => "dc1",
      minReadMs: () => 0,
    }).run(ending.signal);
    return { seen, serial: lists.held?.record.serial, kept: kept.document };
  }

  test("the newest of disk, file and KV counts, and is kept on disk", async () => {
    expect(await watch([document(2), document(5)], { disk: document(3), file: document(4) })).toEqual({
      seen: ["disk 3", "file 4", "kv superseded", "kv 5"],
      serial: 5,
      kept: document(5),
    });
  });

  test("an older list replayed in KV, or a deleted one, changes nothing for who has seen the newer", async () => {
    expect(await watch([document(2), null, null], { disk: document(3) })).toMatchObject({ seen: ["disk 3", "kv superseded"], serial: 3, kept: document(3) });
  });

  test("a failed read is told, and the next one counts", async () => {
    const down = new ConsulError("unreachable", "kv.get", "down");
    expect(await watch([down, document(1)])).toMatchObject({ seen: ["unreachable", "kv 1"], serial: 1 });
  });
});

describe("operator keys", () => {
  const key = hex(operator.publicKey);

  test("hex, or files with one a line", () => {
    const path = join(folder, "operators");
    writeFileSync(path, `${key.toUpperCase()}\n\n${hex(identity(201).publicKey)}\n`);
    expect([...readOperatorKeys([path, key])]).toEqual([key, hex(identity(201).publicKey)]);
  });

  test.each([
    ["the small-order key that passes any signature", `01${"00".repeat(31)}`, /small-order/],
    ["a key that is not canonical", "ff".repeat(32), /not-canonical/],
    ["a file that is not there", "/nowhere/operator.pub", /neither 64 hex digits nor a file/],
  ])("%s is refused", (_, given, message) => {
    expect(() => readOperatorKeys([given])).toThrow(SettingsError);
    expect(() => readOperatorKeys([given])).toThrow(message);
  });

  test("allow-list mode needs one", () => {
    const resolve = (flags: Record<string, string | string[]>) => resolveSettings({ flags, env: {}, hostname: "h", isRoot: false });
    expect(() => resolve({ "trust-mode": "allow-list" })).toThrow(/--trust-mode: allow-list needs --operator-key/);
    expect(resolve({ "trust-mode": "allow-list", "operator-key": [key] })).toMatchObject({ trustMode: "allow-list", operatorKeys: [key] });
    expect(resolve({})).toMatchObject({ trustMode: "first-use", operatorKeys: [], allowListFile: "" });
  });
});
