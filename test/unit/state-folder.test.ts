import * as nodeFs from "node:fs";
import { chmodSync, existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, symlinkSync, truncateSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { FileSystem } from "../../src/sidecar/state/atomic-file.js";
import { makeStateFolder, writeAtomically } from "../../src/sidecar/state/atomic-file.js";
import { EPOCH_FILE, EpochCounter } from "../../src/sidecar/state/epoch.js";
import { IDENTITY_FILE, loadOrCreateIdentity } from "../../src/sidecar/state/identity.js";
import { PIN_FILE, readPins, writePins } from "../../src/sidecar/state/pin-file.js";
import { loadOrCreateProbeKeys, PROBE_KEY_FILE } from "../../src/sidecar/state/probe-key.js";
import { StateError } from "../../src/sidecar/state/state-error.js";

let dir: string;
beforeEach(() => (dir = mkdtempSync(join(tmpdir(), "ibrl-state-"))));
afterEach(() => rmSync(dir, { recursive: true, force: true }));
const keyFile = () => join(dir, IDENTITY_FILE);

function refusal(run: () => unknown): StateError {
  try {
    run();
  } catch (error) {
    if (error instanceof StateError) return error;
    throw error;
  }
  throw new Error("it was not refused");
}

describe("the key", () => {
  test("is made once, 0600, and is the same at the next start", () => {
    const first = loadOrCreateIdentity(dir);
    expect(first.created).toBe(true);
    expect(statSync(keyFile()).mode & 0o777).toBe(0o600);
    const second = loadOrCreateIdentity(dir);
    expect(second.created).toBe(false);
    expect(second.publicKey).toEqual(first.publicKey);
    expect(readdirSync(dir)).toEqual([IDENTITY_FILE]);
  });

  test.each([0, 1, 60, 117])("cut to %i bytes stops the start and is left as it is", (bytes) => {
    loadOrCreateIdentity(dir);
    truncateSync(keyFile(), bytes);
    const error = refusal(() => loadOrCreateIdentity(dir));
    expect(error).toMatchObject({ code: "content", path: keyFile() });
    expect(error.message).toContain("Restore it from a backup");
    expect(readFileSync(keyFile())).toHaveLength(bytes);
  });

  test("readable by others stops the start and names the command that mends it", () => {
    loadOrCreateIdentity(dir);
    chmodSync(keyFile(), 0o644);
    const error = refusal(() => loadOrCreateIdentity(dir));
    expect(error).toMatchObject({ code: "mode" });
    expect(error.message).toContain(`chmod 600 ${keyFile()}`);
  });

  test("behind a symlink stops the start, and nothing is written to the link's target", () => {
    const target = join(dir, "elsewhere");
    symlinkSync(target, keyFile());
    expect(refusal(() => loadOrCreateIdentity(dir))).toMatchObject({ code: "symlink" });
    expect(existsSync(target)).toBe(false);
  });

  test("that is a folder stops the start", () => {
    mkdirSync(keyFile());
    expect(refusal(() => loadOrCreateIdentity(dir)).path).toBe(keyFile());
  });

  test("of another kind stops the start", () => {
    writeFileSync(keyFile(), "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n", { mode: 0o600 });
    expect(refusal(() => loadOrCreateIdentity(dir))).toMatchObject({ code: "content" });
  });

  test.each([
    ["ENOSPC", "Free space on that disk"],
    ["EROFS", "mount it writable"],
    ["EACCES", "write access"],
  ])("on %s stops the start: never an ephemeral key", (code, fix) => {
    const fs = failingAt(0, code);
    const error = refusal(() => loadOrCreateIdentity(dir, fs));
    expect(error).toMatchObject({ code: "unwritable", path: keyFile() });
    expect(error.message).toContain(fix);
    expect(existsSync(keyFile())).toBe(false);
  });

  test("made by another start in the same moment is taken, never overwritten", () => {
    const other = loadOrCreateIdentity(mkdtempSync(join(dir, "other-")));
    const pem = other.privateKey.export({ format: "pem", type: "pkcs8" });
    const fs: FileSystem = {
      ...nodeFs,
      linkSync: (from, to) => {
        if (!existsSync(to)) writeFileSync(to, pem, { mode: 0o600 });
        nodeFs.linkSync(from, to);
      },
    };
    expect(loadOrCreateIdentity(dir, fs).publicKey).toEqual(other.publicKey);
  });
});

test("a state folder in a place that is a file is refused with the fix", () => {
  writeFileSync(join(dir, "file"), "");
  expect(refusal(() => makeStateFolder(join(dir, "file", "state")))).toMatchObject({ code: "unwritable" });
});

describe("power cut at each step of a write", () => {
  test("leaves the old epoch or the new one, and the next start is above both", () => {
    for (let step = 0; step < 12; step++) {
      rmSync(dir, { recursive: true, force: true });
      mkdirSync(dir);
      const before = new EpochCounter(dir).epoch;
      let cut = false;
      try {
        new EpochCounter(dir, failingAt(step, "EIO"));
      } catch {
        cut = true;
      }
      const onDisk = JSON.parse(readFileSync(join(dir, EPOCH_FILE), "utf8")) as { epoch: number };
      expect([before, before + 1]).toContain(onDisk.epoch);
      expect(new EpochCounter(dir).epoch).toBeGreaterThan(before);
      if (!cut) expect(onDisk.epoch).toBe(before + 1);
    }
  });

  test("leaves no key or a whole one", () => {
    for (let step = 0; step < 12; step++) {
      rmSync(dir, { recursive: true, force: true });
      mkdirSync(dir);
      try {
        loadOrCreateIdentity(dir, failingAt(step, "EIO"));
      } catch (error) {
        expect(error).toBeInstanceOf(StateError);
      }
      if (existsSync(keyFile())) expect(loadOrCreateIdentity(dir).created).toBe(false);
      else expect(loadOrCreateIdentity(dir).created).toBe(true);
    }
  });

  test("content is on the disk before it has its name", () => {
    const steps: string[] = [];
    const fs = new Proxy(nodeFs as FileSystem, {
      get: (target, name: keyof FileSystem) => (...args: never[]) => {
        steps.push(name);
        return (target[name] as (...a: never[]) => unknown)(...args);
      },
    });
    writeAtomically(join(dir, "x"), "content", {}, fs);
    expect(steps.filter((step) => step.startsWith("fsync") || step.startsWith("rename"))).toEqual(["fsyncSync", "renameSync", "fsyncSync"]);
  });
});

describe("the epoch", () => {
  test("is higher at each start, and the sequence starts again", () => {
    const first = new EpochCounter(dir);
    expect([first.next(), first.next()]).toEqual([{ epoch: 1, sequence: 1 }, { epoch: 1, sequence: 2 }]);
    first.persist();
    expect(JSON.parse(readFileSync(join(dir, EPOCH_FILE), "utf8"))).toEqual({ v: 1, epoch: 1, sequence: 2 });
    expect(new EpochCounter(dir).next()).toEqual({ epoch: 2, sequence: 1 });
  });

  test("rises above what the cluster remembers, once, and keeps it", () => {
    const counter = new EpochCounter(dir);
    expect(counter.raiseAbove(7)).toBe(true);
    expect(counter.next()).toEqual({ epoch: 8, sequence: 1 });
    expect(counter.raiseAbove(7)).toBe(false);
    expect(new EpochCounter(dir).epoch).toBe(9);
  });

  test.each(["", "{", '{"v":1,"epoch":"9"}', '{"v":1,"epoch":1e400}', '{"v":2,"epoch":1}'])("file %j stops the start with the fix", (content) => {
    writeFileSync(join(dir, EPOCH_FILE), content, { mode: 0o600 });
    expect(refusal(() => new EpochCounter(dir))).toMatchObject({ code: "content", path: join(dir, EPOCH_FILE) });
  });
});

describe("the probing key", () => {
  test("is kept, 0600, and a damaged one stops the start with the fix", () => {
    const first = loadOrCreateProbeKeys(dir);
    expect(first.publicKey).toHaveLength(32);
    expect(statSync(join(dir, PROBE_KEY_FILE)).mode & 0o777).toBe(0o600);
    expect(loadOrCreateProbeKeys(dir).publicKey).toEqual(first.publicKey);
    writeFileSync(join(dir, PROBE_KEY_FILE), "ab");
    expect(refusal(() => loadOrCreateProbeKeys(dir))).toMatchObject({ code: "content" });
  });
});

describe("the pins", () => {
  const pins = [{ node: "n1", datacenter: "dc1", publicKey: "ab".repeat(32), origin: "first-use" as const }];
  test("come back as they were kept", () => {
    expect(readPins(dir)).toEqual([]);
    writePins(dir, pins);
    expect(readPins(dir)).toEqual(pins);
    expect(statSync(join(dir, PIN_FILE)).mode & 0o777).toBe(0o600);
  });
  test("that were damaged stop the start: forgetting them would be trusting anyone", () => {
    writeFileSync(join(dir, PIN_FILE), '{"v":1,"pins":[{"v":1,"node":"n1"}]}', { mode: 0o600 });
    expect(refusal(() => readPins(dir))).toMatchObject({ code: "content" });
  });
});

/** A file system whose n-th changing call fails, as a cut or a full disk would make it. */
function failingAt(step: number, code: string): FileSystem {
  let calls = 0;
  const changing = new Set(["openSync", "writeSync", "fsyncSync", "renameSync", "linkSync"]);
  return new Proxy(nodeFs as FileSystem, {
    get: (target, name: keyof FileSystem) => (...args: never[]) => {
      const writes = name !== "openSync" || typeof args[1] !== "number" || (args[1] & nodeFs.constants.O_CREAT) !== 0;
      if (changing.has(name) && writes && calls++ === step) {
        throw Object.assign(new Error(`${code}: injected`), { code });
      }
      return (target[name] as (...a: never[]) => unknown)(...args);
    },
  });
}
