/** `hypercore sidecar` as a person starts it: what is said where it refuses, and what a restart keeps. */
import { type ChildProcess } from "node:child_process";
import { once } from "node:events";
import { chmodSync, mkdirSync, mkdtempSync, readFileSync, renameSync, rmSync, statSync, symlinkSync, truncateSync, writeFileSync } from "node:fs";
import { type AddressInfo, createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { builtProject, finished, type Finished, startCli } from "../harness/built-cli.js";

let folder: string;
let stateDir: string;

beforeAll(() => void builtProject());
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "ibrl-start-"));
  stateDir = join(folder, "state");
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

/** No Consul and no Nomad answer at port 1; ports of its own choice; lines are not wrapped. */
function start(args: readonly string[] = [], env: Readonly<Record<string, string>> = {}): ChildProcess {
  return startCli(["sidecar", ...args], {
    CONSUL_HTTP_ADDR: "127.0.0.1:1",
    NOMAD_ADDR: "http://127.0.0.1:1",
    IBRL_GRPC_BIND_ADDR: "127.0.0.1:0",
    IBRL_HTTP_BIND_ADDR: "127.0.0.1:0",
    IBRL_STATE_DIR: stateDir,
    OCLIF_COLUMNS: "1000",
    ...env,
  });
}

/** A refused start ends by itself; stdout stays free, and a person is told, not shown a stack. */
async function refused(args: readonly string[] = [], env: Readonly<Record<string, string>> = {}): Promise<Finished> {
  const result = await finished(start(args, env));
  expect(result.stdout).toBe("");
  expect(result.stderr).not.toMatch(/^\s+at .*[:(]\d+|node:internal|\.js:\d+/m);
  return result;
}

interface Ready {
  beaconId: string;
  epoch: number;
  newKey: boolean;
  grpc: string;
}

/** Starts it, waits for its first line, ends it with SIGTERM. */
async function runOnce(...args: string[]): Promise<Ready> {
  const child = start(args);
  const exited = once(child, "exit") as Promise<[number | null]>;
  let ready: Ready | undefined;
  for await (const line of createInterface({ input: child.stderr as NodeJS.ReadableStream })) {
    const { msg, ...fields } = JSON.parse(line) as { msg: string } & Ready;
    if (msg !== "sidecar ready") continue;
    ready = fields;
    child.kill("SIGTERM");
  }
  const [code] = await exited;
  expect(code).toBe(0);
  if (ready === undefined) throw new Error("it ended without having been ready");
  return ready;
}

describe("a setting that cannot be: exit 2, and it is named with where it came from", () => {
  test.each([
    [["--beat=soon"], {}, "--beat", "a duration"],
    [[], { IBRL_BEAT: "1ms" }, "IBRL_BEAT", "200ms to 60000ms"],
    [["--http-bind-addr=localhost"], {}, "--http-bind-addr", "HOST:PORT"],
    [["--grpc-bind-addr=127.0.0.1:70000"], {}, "--grpc-bind-addr", "port 0 to 65535"],
    [["--beacon-price=-1"], {}, "--beacon-price", "dollars per GB in plain digits"],
    [["--beacon-reputation=50"], {}, "--beacon-reputation", "0 to 1"],
    [["--beacon-endpoint=beacon.example"], {}, "--beacon-endpoint", "is not a URL"],
    [["--capability=with space"], {}, "--capability", "no capability name"],
    [["--log-level=loud"], {}, "--log-level", "debug, info, warn, error"],
    [["--placer", "--job-drivers=vbox"], {}, "--job-drivers", "is none of docker"],
    [["--placer", "--stop-on-client-after=20s"], {}, "--stop-on-client-after", "20000ms is not more than --nomad-down-after"],
    [["--no-such-flag"], {}, "--no-such-flag", "Nonexistent flag"],
    [["--config=/no/such/file.json"], {}, "--config", "/no/such/file.json cannot be read"],
  ])("%j with %j", async (args, env, setting, range) => {
    const { code, stderr } = await refused(args, env);
    expect({ code, stderr }).toEqual({ code: 2, stderr: expect.stringContaining(setting) });
    expect(stderr).toContain(range);
  });

  test("a key of the file: the file is named, and what was probably meant", async () => {
    const config = join(folder, "config.json");
    writeFileSync(config, JSON.stringify({ beaconPrice: "0.02" }));
    const { code, stderr } = await refused([`--config=${config}`]);
    expect({ code, stderr }).toEqual({ code: 2, stderr: expect.stringContaining(`"beaconPrice" in ${config}: no such setting; did you mean "beacon-price"?`) });
  });

  test("nothing was made on the disk by then", async () => {
    await refused(["--beacon-price=free"]);
    expect(() => statSync(stateDir)).toThrow("ENOENT");
  });
});

test.each(["CONSUL_NAMESPACE", "CONSUL_PARTITION"])("%s is refused by its name, with the reason", async (variable) => {
  const { code, stderr } = await refused([], { [variable]: "team-a" });
  expect(code).not.toBe(0);
  expect(stderr).toContain(variable);
  expect(stderr).toContain("Consul Enterprise");
});

describe("an address that cannot be bound: exit 1", () => {
  test.each(["grpc", "http"])("--%s-bind-addr whose port is taken is named, with what to do", async (server) => {
    const holder = createServer();
    holder.listen(0, "127.0.0.1");
    await once(holder, "listening");
    const address = `127.0.0.1:${String((holder.address() as AddressInfo).port)}`;
    const { code, stderr } = await refused([`--${server}-bind-addr=${address}`]);
    holder.close();
    expect(code).toBe(1);
    expect(stderr).toContain(`${address} is taken by another process: stop it, or choose another port with --${server}-bind-addr`);
  });

  test.each(["0.0.0.0:8000", "[::]:8000", "192.0.2.1:8000"])("%s without --insecure-bind", async (address) => {
    const { code, stderr } = await refused([`--grpc-bind-addr=${address}`]);
    expect(code).toBe(1);
    expect(stderr).toContain(`--grpc-bind-addr ${address} is not a loopback address`);
    expect(stderr).toContain("--insecure-bind");
  });
});

describe("a key file that cannot be used: exit 1, the file and the fix, and the file as it was", () => {
  let key: string;
  beforeEach(async () => {
    await runOnce();
    key = join(stateDir, "identity.pem");
  }, 60_000);

  async function refusedFor(...texts: string[]): Promise<void> {
    const { code, stderr } = await refused();
    expect(code).toBe(1);
    for (const text of [key, ...texts]) expect(stderr).toContain(text);
  }

  test("cut short", async () => {
    truncateSync(key, 40);
    await refusedFor("is not an ed25519 private key", "Restore it from a backup", "pin conflict");
    expect(statSync(key).size).toBe(40);
  });

  test("readable by others", async () => {
    const before = readFileSync(key, "utf8");
    chmodSync(key, 0o644);
    await refusedFor("has mode 0644", `chmod 600 ${key}`);
    expect(statSync(key).mode & 0o777).toBe(0o644);
    expect(readFileSync(key, "utf8")).toBe(before);
    chmodSync(key, 0o600); // the fix that was named
    expect(await runOnce()).toMatchObject({ newKey: false });
  });

  test("a symbolic link", async () => {
    renameSync(key, join(folder, "elsewhere.pem"));
    symlinkSync(join(folder, "elsewhere.pem"), key);
    await refusedFor("is a symbolic link", "Put the file itself there");
  });

  test("a folder", async () => {
    rmSync(key);
    mkdirSync(key);
    await refusedFor("is not a regular file", "Move it away");
  });

  test("the pins, which are as dear: never forgotten silently", async () => {
    const pins = join(stateDir, "pins.json");
    writeFileSync(pins, "{", { mode: 0o600 });
    const { code, stderr } = await refused();
    expect(code).toBe(1);
    expect(stderr).toContain(`${pins}: is not a pin file. Restore it from a backup`);
  });
});

test("on a terminal's log format the refusal is one sentence too", async () => {
  await runOnce();
  chmodSync(join(stateDir, "identity.pem"), 0o640);
  const { code, stderr } = await refused(["--log-format=text"]);
  expect(code).toBe(1);
  expect(stderr.trimEnd().split("\n").length).toBeLessThanOrEqual(2); // the log's line, and the command's
  expect(stderr).toContain("has mode 0640");
});

test("two restarts keep the key and raise the epoch each time; the key is the user's alone", async () => {
  const [first, second, third] = [await runOnce(), await runOnce(), await runOnce()];
  expect(first).toMatchObject({ newKey: true, epoch: 1 });
  expect(second).toMatchObject({ newKey: false, epoch: 2, beaconId: first.beaconId });
  expect(third).toMatchObject({ newKey: false, epoch: 3, beaconId: first.beaconId });
  expect(statSync(stateDir).mode & 0o777).toBe(0o700);
  for (const file of ["identity.pem", "epoch.json"]) expect(statSync(join(stateDir, file)).mode & 0o777).toBe(0o600);
}, 60_000);
