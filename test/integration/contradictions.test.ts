/**
 * Histories that contradict each other, on a real cluster: one key in two processes (fault test 17), an 8-byte ID with
 * another key (18), two records with one sequence (19). Each is named, its evidence kept, and verified again by anybody.
 * And times that contradict: a clock that is an hour off (16), a process that was stopped for a while (13).
 */
import { copyFileSync, cpSync, existsSync, mkdirSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { createServer, type AddressInfo } from "node:net";
import { join } from "node:path";
import { Ajv2020 } from "ajv/dist/2020.js";
import { pinKey } from "../../src/beacon/documents.js";
import { BEACON, open, seal, type Verified } from "../../src/beacon/envelope.js";
import { formatPin } from "../../src/beacon/pins.js";
import type { Beacon } from "../../src/beacon/record.js";
import { type LocalCluster, type LocalNode, withoutClusterVariables } from "../../src/dev/local-cluster.js";
import type { RunFolder } from "../../src/dev/run-folder.js";
import { SidecarProcess } from "../../src/dev/sidecar-process.js";
import { readIdentity } from "../../src/sidecar/state/identity.js";
import { builtProject, runCli } from "../harness/built-cli.js";
import { eventually, startTestCluster, stopTestCluster, testRunFolder } from "../harness/cluster.js";
import { listedNode, metric, sidecarCheck, sidecarOf } from "../harness/observe.js";
import { beacon, context, identity } from "../harness/records.js";
import { keyHex } from "../harness/rotations.js";
import { eventPayloads, fireByHand, putByHand } from "../harness/tampering.js";

const WITHIN = { timeoutMs: 60_000 };
const ARGS = ["--beat=1s", "--heartbeat-min=4s", "--validity-min=30s"];
const isEvidence = new Ajv2020({ strict: true, allowUnionTypes: true, formats: { "date-time": true } }).compile(JSON.parse(readFileSync(join(builtProject(), "schemas/trust-evidence.schema.json"), "utf8")) as object);
let cluster: LocalCluster;
let folder: RunFolder;
let reader: LocalNode;
let doubled: LocalNode;
let liar: LocalNode;

interface Evidence {
  kind: string;
  node: string;
  verified: boolean;
  records: { sealed: string; publicKey: string | null; epoch: number | null; sequence: number | null }[];
}

beforeAll(async () => {
  builtProject();
  folder = testRunFolder();
  cluster = await startTestCluster({ sidecarArgs: () => ARGS });
  [reader, doubled, liar] = cluster.nodes as [LocalNode, LocalNode, LocalNode];
  for (const node of cluster.nodes) await eventually(async () => expect((await listedNode(sidecarOf(reader), node.name)).trust).toBe("pinned"), WITHIN);
}, 240_000);
afterAll(async () => {
  await stopTestCluster(cluster);
  await folder?.remove();
}, 60_000);

async function evidence(stateDir: string, ...args: string[]): Promise<{ code: number | null; evidence: Evidence[] }> {
  const { code, stdout, stderr } = await runCli(["trust", "evidence", ...args, "--json", `--state-dir=${stateDir}`], {});
  if (stdout === "") throw new Error(stderr);
  expect(isEvidence(JSON.parse(stdout)) || isEvidence.errors).toBe(true);
  return { code, ...(JSON.parse(stdout) as { evidence: Evidence[] }) };
}

const shown = async (node: LocalNode): Promise<{ trust: string; verified: Verified<Beacon> | undefined }> => {
  const { trust, sealed_beacon: sealed = "" } = await listedNode(sidecarOf(reader), node.name);
  const opened = open(BEACON, Buffer.from(sealed, "base64"), context({ nowMs: Date.now(), node: node.name }));
  return { trust, verified: opened.ok ? opened.verified : undefined };
};

/** Of the same agent, with a copy of the node's state. */
async function twinOf(node: LocalNode): Promise<SidecarProcess> {
  const home = join(folder.path, "twin");
  mkdirSync(home, { recursive: true });
  cpSync(sidecarOf(node).stateFolder, join(home, "data"), { recursive: true });
  const [sidecarGrpc, sidecarHttp, sidecarProbe] = await Promise.all([freePort(node.address), freePort(node.address), freePort(node.address)]);
  const twin = new SidecarProcess({
    nodeName: node.name,
    address: node.address,
    ports: { sidecarGrpc, sidecarHttp, sidecarProbe },
    consulAddr: node.consul.httpAddr,
    nomadAddr: `${node.address}:${String(node.ports.nomadHttp)}`,
    folder: home,
    host: { run: folder, env: withoutClusterVariables(process.env) },
    args: ARGS,
    env: node.sidecarEnv,
  });
  await twin.start();
  await twin.waitReady();
  return twin;
}

async function freePort(host: string): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, host, resolve));
  const { port } = server.address() as AddressInfo;
  await new Promise((resolve) => server.close(resolve));
  return port;
}

test("one key in two processes: both notice, the earlier one goes silent, and no peer ever doubts the node", async () => {
  const twin = await twinOf(doubled);
  const gaps: string[] = [];
  const both = [sidecarOf(doubled), twin];
  await eventually(async () => {
    const { trust } = await shown(doubled);
    if (trust !== "pinned") gaps.push(trust);
    for (const process of both) expect(await metric(process, "hypercore_ibrl_duplicate_process")).toBe(1);
    expect(await metric(sidecarOf(doubled), "hypercore_ibrl_publishing_yielded")).toBe(1);
  }, { ...WITHIN, everyMs: 100 });
  expect(await metric(twin, "hypercore_ibrl_publishing_yielded")).toBe(0);

  const epoch = await metric(twin, "hypercore_ibrl_epoch");
  const silentAt = await metric(sidecarOf(doubled), "hypercore_ibrl_sequence");
  await sidecarOf(doubled).stop(); // does not take the other's service away
  for (let last = 0, seen = 0; seen < 4; ) {
    const { trust, verified } = await shown(doubled);
    if (trust !== "pinned") gaps.push(trust);
    if (verified !== undefined && verified.record.epoch === epoch && verified.record.sequence > last) [last, seen] = [verified.record.sequence, seen + 1];
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
  expect({ gaps, check: await sidecarCheck(reader.consul, doubled.name) }).toEqual({ gaps: [], check: "passing" });
  expect(silentAt).toBeGreaterThan(0);
  for (const process of both) {
    const found = await evidence(process.stateFolder, doubled.name);
    expect(found).toMatchObject({ code: 0, evidence: [{ kind: "duplicate-process", node: doubled.name, verified: true }] });
    expect(new Set(found.evidence[0]?.records.map(({ epoch: said }) => said)).size).toBe(2);
    expect(statSync(join(process.stateFolder, "evidence.json")).mode & 0o777).toBe(0o600);
  }
  await twin.stop();
}, 180_000);

/** The node's own folder and ports, with a clock that the test sets; timers stay real, as they are under a stepped clock. */
function withOwnClock(node: LocalNode): { sidecar: SidecarProcess; set: (offset: string) => void } {
  const clockFile = join(folder.path, "clock");
  writeFileSync(clockFile, "+0");
  const sidecar = new SidecarProcess({
    nodeName: node.name,
    address: node.address,
    ports: node.ports,
    consulAddr: node.consul.httpAddr,
    nomadAddr: `${node.address}:${String(node.ports.nomadHttp)}`,
    folder: join(folder.path, "twin"),
    host: { run: folder, env: withoutClusterVariables(process.env) },
    args: ARGS,
    env: { ...node.sidecarEnv, LD_PRELOAD: libfaketime(), FAKETIME_TIMESTAMP_FILE: clockFile, FAKETIME_NO_CACHE: "1", FAKETIME_DONT_FAKE_MONOTONIC: "1" },
  });
  return { sidecar, set: (offset) => writeFileSync(clockFile, offset) };
}

function libfaketime(): string {
  const found = ["x86_64-linux-gnu", "aarch64-linux-gnu"].map((triple) => `/usr/lib/${triple}/faketime/libfaketimeMT.so.1`).find((path) => existsSync(path));
  if (found === undefined) throw new Error("libfaketime is not installed: apt-get install faketime");
  return found;
}

const faults = (of: SidecarProcess, whose: string): Promise<number | undefined> => metric(of, "hypercore_ibrl_clock_faults", { whose });
const refused = async (reason: string): Promise<number> => (await metric(sidecarOf(reader), "hypercore_ibrl_records_rejected_total", { reason })) ?? Number.NaN;

test("a node whose clock is an hour off: its timers go on, its peers refuse it by the reason, the clock is named at both ends, and all heals", async () => {
  const { sidecar, set } = withOwnClock(doubled);
  doubled.sidecar = sidecar;
  await sidecar.start();
  await sidecar.waitReady();
  const healthy = () => eventually(async () => {
    expect((await shown(doubled)).trust).toBe("pinned");
    expect([await faults(sidecar, "own"), await faults(sidecarOf(reader), "peer")]).toEqual([0, 0]);
    expect(Math.abs((await metric(sidecar, "hypercore_ibrl_clock_offset_seconds")) ?? Number.NaN)).toBeLessThan(60);
  }, WITHIN);
  await healthy();
  for (const [offset, reason] of [["+3600", "issued-in-future"], ["-3600", "expired"]] as const) {
    const before = await refused(reason);
    const sequence = (await metric(sidecar, "hypercore_ibrl_sequence")) ?? Number.NaN;
    set(offset);
    await eventually(async () => {
      expect(await refused(reason)).toBeGreaterThan(before);
      expect([await faults(sidecar, "own"), await faults(sidecar, "peer"), await faults(sidecarOf(reader), "own"), await faults(sidecarOf(reader), "peer")]).toEqual([1, 0, 0, 1]);
      expect(await metric(sidecar, "hypercore_ibrl_sequence")).toBeGreaterThan(sequence + 3);
    }, WITHIN);
    expect(await sidecarCheck(reader.consul, doubled.name)).toBe("passing");
    set("+0");
    await healthy();
  }
}, 240_000);

test("a sidecar that was stopped for a while catches up with one record, not with those it missed", async () => {
  const stopped = sidecarOf(doubled);
  const [epoch, sequence] = [(await metric(stopped, "hypercore_ibrl_epoch")) ?? Number.NaN, (await metric(stopped, "hypercore_ibrl_sequence")) ?? Number.NaN];
  process.kill(stopped.pid ?? Number.NaN, "SIGSTOP");
  await new Promise((resolve) => setTimeout(resolve, 8_000)); // eight beats
  await eventually(async () => expect(await sidecarCheck(reader.consul, doubled.name)).toBe("critical"), WITHIN); // its TTL is three
  const resumedAtMs = Date.now();
  const resumed = performance.now();
  process.kill(stopped.pid ?? Number.NaN, "SIGCONT");
  await eventually(async () => {
    expect((await shown(doubled)).verified?.record.issuedAtMs).toBeGreaterThan(resumedAtMs);
    expect(await sidecarCheck(reader.consul, doubled.name)).toBe("passing");
  }, WITHIN);
  const said = (await eventPayloads(reader.consul)).flatMap((payload) => {
    const opened = open(BEACON, payload, context({ nowMs: Date.now(), node: doubled.name }));
    return opened.ok && opened.verified.record.epoch === epoch && opened.verified.record.sequence > sequence ? [opened.verified.record] : [];
  });
  const stale = said.filter(({ issuedAtMs }) => issuedAtMs < resumedAtMs - 3_000);
  expect(stale.length).toBeLessThanOrEqual(1); // it was on its way
  // A beat a second, and the few that were due at once.
  expect(said.filter(({ issuedAtMs }) => issuedAtMs >= resumedAtMs).length).toBeLessThanOrEqual((performance.now() - resumed) / 1_000 + 4);
}, 120_000);

test("an 8-byte ID with another key: the pinned one stays, the newcomer is quarantined and counted, its record kept", async () => {
  // A real pair takes 2^32 keys: the pin is given the newcomer's ID by hand.
  const namesake = `${keyHex(91).slice(0, 16)}${"ab".repeat(24)}`;
  await putByHand(reader.consul, pinKey("dc1", "old-node"), formatPin({ node: "old-node", datacenter: "dc1", publicKey: namesake, origin: "cluster" }));
  await eventually(() => expect(readFileSync(join(sidecarOf(reader).stateFolder, "pins.json"), "utf8")).toContain(namesake), WITHIN);
  const newcomer = seal(BEACON, beacon({ node: "new-node", issuedAtMs: Date.now() }), identity(91));
  await fireByHand(reader.consul, newcomer);
  await eventually(async () => {
    expect(await metric(sidecarOf(reader), "hypercore_ibrl_records_rejected_total", { reason: "id-collision" })).toBe(1);
    expect(await metric(sidecarOf(reader), "hypercore_ibrl_nodes", { trust: "id-collision" })).toBe(1);
    expect(await metric(sidecarOf(reader), "hypercore_ibrl_evidence_kept_total", { kind: "id-collision" })).toBe(1);
  }, WITHIN);
  const found = await evidence(sidecarOf(reader).stateFolder, "new-node");
  expect(found).toMatchObject({ code: 0, evidence: [{ kind: "id-collision", verified: true, pinnedKey: namesake, records: [{ sealed: Buffer.from(newcomer).toString("base64") }] }] });
}, 120_000);

test("two records with one sequence: both are kept, the peer is flagged, the earlier one stays, and a new start clears it", async () => {
  const { verified: held } = await shown(liar);
  const key = readIdentity(sidecarOf(liar).stateFolder);
  if (held === undefined || key === null) throw new Error("the liar is not shown");
  sidecarOf(liar).kill(); // its key is in other hands now
  const lies = [1, 2].map((queueDepth) => seal(BEACON, { ...held.record, issuedAtMs: Date.now(), sequence: held.record.sequence + 1_000, queueDepth }, key));
  const [first, second] = lies as [Uint8Array, Uint8Array];
  const base64 = lies.map((lie) => Buffer.from(lie).toString("base64"));
  await fireByHand(reader.consul, first);
  await eventually(async () => expect((await shown(liar)).verified?.record.sequence).toBe(held.record.sequence + 1_000), WITHIN);
  await fireByHand(reader.consul, second);
  await eventually(async () => expect(await listedNode(sidecarOf(reader), liar.name)).toMatchObject({ trust: "equivocation" }), WITHIN);
  expect(await listedNode(sidecarOf(reader), liar.name)).not.toHaveProperty("beacon");
  await eventually(async () => expect(await metric(sidecarOf(reader), "hypercore_ibrl_evidence_kept_total", { kind: "equivocation" })).toBe(1), WITHIN);

  const stateDir = sidecarOf(reader).stateFolder;
  const found = await evidence(stateDir, liar.name);
  expect(found).toMatchObject({ code: 0, evidence: [{ kind: "equivocation", verified: true, records: [{ sealed: base64[0], epoch: held.record.epoch }, { sealed: base64[1], epoch: held.record.epoch }] }] });
  const text = await runCli(["trust", "evidence", liar.name, `--state-dir=${stateDir}`], {});
  expect(text.stdout).toMatch(new RegExp(`^equivocation  ${liar.name} in dc1, seen .*: verified\n  beacon  .*\n  beacon  .*\n$`));

  // Another machine verifies it again; with one record exchanged for another there it proves nothing.
  const elsewhere = join(folder.path, "elsewhere");
  mkdirSync(elsewhere);
  copyFileSync(join(stateDir, "evidence.json"), join(elsewhere, "evidence.json"));
  expect((await evidence(elsewhere, liar.name)).code).toBe(0);
  writeFileSync(join(elsewhere, "evidence.json"), readFileSync(join(elsewhere, "evidence.json"), "utf8").replace(base64[1] ?? "", base64[0] ?? ""));
  expect(await evidence(elsewhere, liar.name)).toMatchObject({ code: 3, evidence: [{ verified: false }] });

  await sidecarOf(liar).restart();
  await eventually(async () => expect((await shown(liar)).trust).toBe("pinned"), WITHIN);
  expect((await evidence(stateDir, liar.name)).evidence).toHaveLength(1);
}, 180_000);
