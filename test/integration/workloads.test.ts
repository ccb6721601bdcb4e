/** Spawn, Stop, List and Logs on a real Nomad: by command line, gRPC and HTTP; in the order of the policy, and once. */
import { execFile } from "node:child_process";
import { createHash } from "node:crypto";
import { chmodSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { promisify } from "node:util";
import { Ajv2020 } from "ajv/dist/2020.js";
import { batchesPrefix, NODES_PREFIX, parseStateDocument, stateKey } from "../../src/beacon/documents.js";
import { open, openStatement, STATE } from "../../src/beacon/envelope.js";
import { KeyAdmission } from "../../src/beacon/keys.js";
import { PROOF } from "../../src/beacon/proof-codec.js";
import { type ProofFile, proofFileText } from "../../src/beacon/proof-file.js";
import { batchKeys, withStoredBatches } from "../../src/beacon/workload-batches.js";
import type { LocalCluster, LocalNode } from "../../src/dev/local-cluster.js";
import { projectRoot } from "../../src/dev/project-root.js";
import { decisionKey, openDecision } from "../../src/policy/decision-document.js";
import { cluster as wire } from "../../src/proto/messages.js";
import { callSidecar } from "../../src/sidecar/api/client.js";
import { EventsDefinition } from "../../src/sidecar/api/service-definition.js";
import { type LogChunk, type SpawnAnswer, type SpawnRequest, WorkloadClient } from "../../src/sidecar/api/workload-client.js";
import { createNomadJobs } from "../../src/sidecar/nomad/jobs-client.js";
import { nomadSettingsFrom } from "../../src/sidecar/nomad/settings.js";
import { jobOf } from "../../src/sidecar/placement/job.js";
import { type JsonObject, loadTemplates } from "../../src/sidecar/placement/job-template.js";
import { readReference } from "../../src/sidecar/placement/reference.js";
import { readSpawn } from "../../src/sidecar/spawn-order.js";
import { plainEnvironment, runCli } from "../harness/built-cli.js";
import { eventually, startTestCluster, stopTestCluster } from "../harness/cluster.js";
import { listedNode, metric, sidecarOf } from "../harness/observe.js";
import { putByHand } from "../harness/tampering.js";

const START_MS = 600_000; // the programs may have to be built first
const TEST_MS = 120_000;
/** node-1 is the cheapest. */
const PRICES = ["0.001", "0.002", "0.003"];
const CHEAPEST = { version: 2, name: "cheapest", mode: "enforce", scoring: { price_weight: 1 } };
const policy = Buffer.from(JSON.stringify(CHEAPEST));
const EXEC_RUNS = process.geteuid?.() === 0 && process.platform === "linux";

let cluster: LocalCluster;
let folder: string;
let clients: WorkloadClient[] = [];

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), "ibrl-workloads-"));
  writeFileSync(join(folder, "cheapest.json"), policy);
  cluster = await startTestCluster({
    nomad: true,
    // The machine may have it.
    nomadConfig: () => ({ client: { options: { "driver.denylist": "mock_driver,docker" } } }),
    // node-3 serves its callers, and changes nothing.
    sidecarArgs: (index) => ["--beat=500ms", "--heartbeat-min=2s", "--proof-interval=1s", `--beacon-price=${PRICES[index] ?? ""}`, ...(index === 2 ? ["--no-placer"] : [])],
  });
  clients = cluster.nodes.map((node, index) => new WorkloadClient(environment(index)["IBRL_GRPC_ADDR"] ?? "", { apiToken: apiToken(node) }));
  // Nomad fingerprints drivers one after another, and a beacon says so at its next beat.
  await eventually(async () => {
    const { nodes } = JSON.parse((await cli("cluster", "metrics", "--json")).stdout) as { nodes: { capabilities: string[] | null }[] };
    expect(nodes.filter(({ capabilities }) => capabilities?.includes("raw_exec") && (!EXEC_RUNS || capabilities.includes("exec")))).toHaveLength(3);
  }, { timeoutMs: 60_000 });
}, START_MS);

afterAll(async () => {
  for (const client of clients) client.close();
  await stopTestCluster(cluster);
  rmSync(folder, { recursive: true, force: true });
}, TEST_MS);

const environment = (index = 0): Record<string, string> => cluster.environment(index);
const cli = (...args: string[]) => runCli(args, environment());
const node = (index: number): LocalNode => cluster.nodes[index] as LocalNode;
const nomad = <T>(path: string): Promise<T> => node(0).nomad?.getJson<T>(path) as Promise<T>;
const apiToken = (of: LocalNode): string => readFileSync(of.sidecar?.apiTokenFile ?? "", "utf8").trim();
const client = (index: number): WorkloadClient => clients[index] as WorkloadClient;
const allocations = (jobId: string) => nomad<{ ID: string; ClientStatus: string; DesiredStatus: string }[]>(`/v1/job/${jobId}/allocations`);
const jobs = () => nomad<{ ID: string; Status: string; JobModifyIndex: number }[]>("/v1/jobs?prefix=ibrl-");
const registered = async () => (await jobs()).map(({ ID, JobModifyIndex }) => `${ID} ${String(JobModifyIndex)}`).sort();

async function proofVerify(address: string, workload_id: string, proof_hash: string) {
  const { ClusterEvent, ProofVerification } = wire.services.api;
  const asked = { type_url: "type.googleapis.com/cluster.services.api.ProofVerification", value: ProofVerification.encode({ workload_id, proof_hash }).finish() };
  const { wrappedMessage } = await callSidecar(EventsDefinition.Dispatch, { event: ClusterEvent.PROOF_VERIFY, wrappedMessage: asked }, { address });
  return ProofVerification.decode(wrappedMessage?.value ?? new Uint8Array());
}

/** What runs programs of this host in the test: `node -e SCRIPT`. */
const script = (source: string, driver = "raw_exec"): string => `${driver}://${encodeURI(process.execPath)}?arg=-e&arg=${encodeURIComponent(source)}`;
const shell = (source: string, driver = "raw_exec"): string => `${driver}:///bin/sh?arg=-c&arg=${encodeURIComponent(source)}`;
const SLEEP = shell("sleep 600");

function spawn(request: SpawnRequest, at = 0, timeoutMs = 60_000): Promise<SpawnAnswer> {
  return client(at).spawn({ image_ref: SLEEP, cores: 1, memory: 32, policy, ...request }, timeoutMs);
}

async function post(index: number, path: string, body: object) {
  const answer = await fetch(`http://${node(index).sidecar?.httpAddr ?? ""}${path}`, { method: "POST", headers: { "content-type": "application/json", authorization: `Bearer ${apiToken(node(index))}` }, body: JSON.stringify(body) });
  return { status: answer.status, body: (await answer.json()) as { response?: Record<string, unknown>; error?: string } };
}

test("spawned by the command line: on the policy's best node, behind a URL that answers, in the listing; until it is stopped", async () => {
  const web = script('require("http").createServer((_, answer) => answer.end("hello " + process.env.GREETED)).listen(process.env.NOMAD_PORT_p80, process.env.NOMAD_IP_p80)');
  expect((await cli("policy", "put", join(folder, "cheapest.json"))).code).toBe(0);
  const { code, stdout, stderr } = await cli("cluster", "spawn", `--image-ref=${web}`, "--ports", "28555:80,auto:81", "--cpu=1", "--mem=64", "--env", "GREETED=you", "--policy", "cheapest", "--json");
  expect({ code, stderr }).toEqual({ code: 0, stderr: "" });
  const answer = JSON.parse(stdout) as { id: string; url: string; allocationId: string; decision: { decision: { id: string } } };
  expect(answer).toMatchObject({ status: "running", node: "node-1", passedOver: [], decision: { order: [{ node: "node-1", place: 1 }, { node: "node-2" }, { node: "node-3" }] } });
  expect(await eventually(async () => (await fetch(answer.url)).text())).toBe("hello you");

  // Pinned, and named by a decision that anybody can verify.
  const decisionId = answer.decision.decision.id;
  expect(await nomad(`/v1/job/${answer.id}`)).toMatchObject({
    Constraints: [{ LTarget: "${attr.unique.consul.name}", RTarget: "node-1", Operand: "=" }],
    Meta: { ibrl_decision_id: decisionId, ibrl_generation: "1" },
    TaskGroups: [{ Disconnect: { Replace: false } }],
  });
  const kept = await node(0).consul.getText(`/v1/kv/${decisionKey(decisionId)}?raw`);
  expect(openDecision(decisionId, Buffer.from(kept), new KeyAdmission())).toMatchObject({ ok: true, signed: { record: { node: "node-1", job: answer.id } } });

  const workload = { id: answer.id, allocation_id: answer.allocationId, decision_id: decisionId, generation: 1, source_request: { cores: 1, memory: 64, image_ref: web, ports: { 28_555: 80 } } };
  await eventually(async () => {
    const listed = (await (await fetch(`http://${node(2).sidecar?.httpAddr ?? ""}/list`)).json()) as { response: { states: { node: { name: string }; workloads?: unknown[] }[] } };
    expect(listed.response.states.find((state) => state.node.name === "node-1")?.workloads).toMatchObject([workload]);
  });
  // Its node may have signed that it is on its way a moment before.
  await eventually(async () => expect((await cli("cluster", "list")).stdout).toContain(`${answer.id}/work  running`));
  const explained = (await cli("cluster", "explain", answer.id)).stdout;
  expect(explained).toContain(`Decision ${decisionId}\n`);
  expect(explained).toContain("  replay    the same bytes\n");
  expect((await cli("cluster", "why-not", "node-2", answer.id)).stdout).toContain("node-2 is number 2; node-1 is first.\n");

  expect(await cli("cluster", "stop", "--id", answer.id)).toEqual({ code: 0, stdout: `stopped ${answer.id} on node-1\n`, stderr: "" });
  await eventually(async () => expect(await fetch(answer.url).then(() => "answers", () => "gone")).toBe("gone"));
  expect((await cli("cluster", "stop", "--id", answer.allocationId.slice(0, 8))).code).toBe(0);
}, TEST_MS);

test("a dry run has the decision and Nomad's plan, and changes nothing", async () => {
  const decisions = () => node(0).consul.getJson<string[]>(`/v1/kv/${decisionKey("")}?keys`);
  const before = [await registered(), await decisions()];
  const answer = await spawn({ dry_run: true, request_id: "dry" });
  expect(answer).toMatchObject({ status: "planned", node: "node-1", url: "", allocation_id: "" });
  expect(JSON.parse(Buffer.from(answer.plan ?? []).toString())).toMatchObject({ FailedTGAllocs: null, Annotations: { DesiredTGUpdates: { work: { Place: 1 } } } });
  expect(JSON.parse(Buffer.from(answer.decision ?? []).toString())).toMatchObject({ decision: { chosen: "node-1" }, order: [{}, {}, {}] });
  // A module decides too. This one asks for a reputation, which nobody has in a cluster of three.
  const module = readFileSync(join(projectRoot(), "nomad/policies/wasm/high-trust.wasm"));
  await expect(spawn({ dry_run: true, policy: module })).rejects.toMatchObject({ code: "no-match", message: expect.stringContaining("node-1: module: ") as string });
  expect([await registered(), await decisions()]).toEqual(before);
}, TEST_MS);

test("one request, sent six times at once to two sidecars and once more: one job, one allocation; under its ID nothing else", async () => {
  const answers = await Promise.all([0, 1, 0, 1, 0, 1].map((at) => spawn({ request_id: "six" }, at)));
  answers.push(await spawn({ request_id: "six" }, 1));
  expect(new Set(answers.map(({ id, allocation_id: allocation, node: at }) => `${id ?? ""} ${allocation ?? ""} ${at ?? ""}`)).size).toBe(1);
  const id = answers[0]?.id ?? "";
  expect(await allocations(id)).toHaveLength(1);
  await expect(spawn({ request_id: "six", memory: 33 })).rejects.toMatchObject({ code: "conflict" });
  await client(1).stop(id, 60_000);
  await expect(spawn({ request_id: "six" })).rejects.toMatchObject({ code: "conflict", message: expect.stringContaining("was stopped") as string });
}, TEST_MS);

test("what cannot run on the best node runs on the next: its memory is taken there, or the driver fails there", async () => {
  const [{ ID = "" } = {}] = (await nomad<{ ID: string; Name: string }[]>("/v1/nodes")).filter(({ Name }) => Name === "node-1");
  const { NodeResources } = await nomad<{ NodeResources: { Memory: { MemoryMB: number } } }>(`/v1/node/${ID}`);
  const memory = Math.ceil(0.6 * NodeResources.Memory.MemoryMB); // asked for, not used
  const first = await spawn({ memory });
  const second = await spawn({ memory });
  expect([first.node, second.node]).toEqual(["node-1", "node-2"]);
  expect(second.passed_over).toMatchObject([{ node: "node-1", reason: expect.stringContaining("memory exhausted") as string }]);

  // A program that node-2 alone has.
  const programs = join(folder, "node-2");
  mkdirSync(programs);
  writeFileSync(join(programs, "run"), "#!/bin/sh\nexec sleep 600\n");
  chmodSync(join(programs, "run"), 0o755);
  const third = await spawn({ image_ref: `raw_exec://${folder}/%24%7Bnode.unique.name%7D/run` });
  expect(third).toMatchObject({ status: "running", node: "node-2", passed_over: [{ node: "node-1", reason: expect.stringContaining("Driver Failure") as string }] });
  expect(await nomad(`/v1/job/${third.id ?? ""}`)).toMatchObject({ Meta: { ibrl_generation: "2" } });
  expect((await allocations(third.id ?? "")).filter(({ DesiredStatus }) => DesiredStatus === "run")).toHaveLength(1);
  for (const { id } of [first, second, third]) await client(0).stop(id ?? "", 60_000);
  // The placer signs what it saw of the others: that it ran there. Of itself, where it failed, it says nothing.
  await eventually(async () => {
    const states = await Promise.all(["node-1", "node-2"].map((name) => listedNode(sidecarOf(node(0)), name)));
    const [placers, others] = states.map(({ sealed_state: sealed = "" }) => open(STATE, Buffer.from(sealed, "base64"), { keys: new KeyAdmission(), nowMs: Date.now(), skewMs: 60_000, datacenter: "dc1" }));
    if (placers?.ok !== true || others?.ok !== true) throw new Error("no state");
    expect(placers.verified.record.workOutcomes?.find(({ peerKey }) => peerKey === others.verified.key.hex)).toEqual({ peerKey: others.verified.key.hex, ran: expect.any(Number) as number, failed: 0 });
    expect(placers.verified.record.workOutcomes?.some(({ peerKey }) => peerKey === placers.verified.key.hex)).toBe(false);
  }, { timeoutMs: 30_000 });

  // Nobody has it: nothing is left of the job.
  await expect(spawn({ image_ref: "raw_exec:///nowhere/run", request_id: "nobody" })).rejects.toMatchObject({ code: "nobody-runs-it", message: expect.stringMatching(/node-1: .*node-2: .*node-3: /) as string });
  await expect(spawn({ image_ref: "raw_exec:///nowhere/run", request_id: "nobody" })).rejects.toMatchObject({ code: "nobody-runs-it" });
  expect((await jobs()).filter(({ Status }) => Status !== "dead")).toEqual([]);
}, TEST_MS);

test("whom Nomad does not place on, or Consul does not call healthy, is not asked; with nobody left the answer says why", async () => {
  const [first] = (await nomad<{ ID: string; Name: string }[]>("/v1/nodes")).filter(({ Name }) => Name === "node-1");
  const eligibility = async (value: string) => {
    const answer = await fetch(`${node(0).nomad?.httpUrl ?? ""}/v1/node/${first?.ID ?? ""}/eligibility`, { method: "POST", body: JSON.stringify({ Eligibility: value }) });
    expect(answer.ok).toBe(true);
  };
  const maintenance = (on: boolean) => node(1).consul.request(`/v1/agent/maintenance?enable=${String(on)}`, { method: "PUT" });
  await eligibility("ineligible");
  await maintenance(true);
  try {
    // The listing may be a moment old; the last look is not.
    expect(await spawn({ dry_run: true })).toMatchObject({ node: "node-3" });
    await expect(spawn({ image_ref: "nginx:1.27" })).rejects.toMatchObject({ code: "no-match", message: expect.stringContaining("node-3: no driver docker") as string });
    const strict = Buffer.from(JSON.stringify({ ...CHEAPEST, rules: { max_price_per_gb: 0.0005 } }));
    await expect(spawn({ policy: strict })).rejects.toMatchObject({ code: "no-match", message: expect.stringContaining("cheapest") as string });
  } finally {
    await eligibility("eligible");
    await maintenance(false);
  }
}, TEST_MS);

test("of a node with 23 workloads, in three batches beside its state, the others read each of them once, from their sidecars and from Consul, until they are stopped", async () => {
  const job = (count: number) => ({
    ID: "many", Name: "many", Type: "service", Datacenters: ["*"], Constraints: [{ LTarget: "${node.unique.name}", RTarget: "node-2", Operand: "=" }],
    TaskGroups: [{ Name: "g", Count: count, Update: null, Tasks: [{ Name: "t", Driver: "raw_exec", Config: { command: "/bin/sleep", args: ["600"] }, Resources: { CPU: 20, MemoryMB: 10 } }] }],
  });
  const register = async (count: number) => expect((await fetch(`${node(0).nomad?.httpUrl ?? ""}/v1/jobs`, { method: "POST", body: JSON.stringify({ Job: job(count) }) })).ok).toBe(true);
  type Listed = { node: string; trust: string; detail: string | null; workloads: { id: string; job: string; status: string }[] | null };
  const listing = async (...from: string[]) => (JSON.parse((await runCli(["cluster", "list", "--json", ...from], environment(2))).stdout) as { nodes: Listed[] }).nodes;
  const listed = async (...from: string[]) => {
    const nodes = await listing(...from);
    expect(nodes.map(({ trust }) => trust)).toEqual(["pinned", "pinned", "pinned"]);
    return nodes.flatMap((each) => (each.workloads ?? []).filter(({ job: of }) => of === "many").map(({ id, status }) => `${each.node} ${id} ${status}`)).sort();
  };
  const isEverywhere = (wanted: () => Promise<string[]>) => eventually(async () => {
    for (const from of [[], ["--consul"]]) expect(await listed(...from)).toEqual(await wanted());
  }, { timeoutMs: 60_000, everyMs: 500 });
  const running = async () => (await allocations("many")).filter(({ ClientStatus, DesiredStatus }) => ClientStatus === "running" && DesiredStatus === "run").map(({ ID }) => `node-2 ${ID} running`).sort();
  const runs = (count: number) => eventually(async () => expect(await running()).toHaveLength(count), { timeoutMs: 60_000 });

  /** One moment of what the node has in KV: its state put together with its batches, and the batches that it does not name. */
  const stored = async () => {
    const entries = await node(0).consul.getJson<{ Key: string; Value: string }[]>(`/v1/kv/${NODES_PREFIX}node-2/?recurse`);
    const values = new Map(entries.map(({ Key, Value }) => [Key, Buffer.from(Value, "base64")]));
    const state = open(STATE, parseStateDocument(values.get(stateKey("node-2")) ?? Buffer.of())?.sealed ?? Buffer.of(), { keys: new KeyAdmission(), nowMs: Date.now(), skewMs: 60_000, datacenter: "dc1", node: "node-2" });
    if (!state.ok) throw new Error(state.detail);
    const whole = withStoredBatches(state.verified, (key) => values.get(key));
    const named = batchKeys(state.verified.record);
    const documents = new Map([...values].filter(([key]) => key.startsWith(batchesPrefix("node-2"))).map(([key, value]) => [key, value.toString()]));
    return { whole, named, documents, orphans: [...documents.keys()].filter((key) => !named.includes(key)) };
  };
  /** Each moment of a while in which the proofs of all of them, and with them all batches, change at least once. */
  const isAlwaysWhole = async (sizes: number[]) => {
    const sets = new Set<string>();
    await eventually(async () => {
      const { whole, named, documents, orphans } = await stored();
      expect({ whole: whole.ok, orphans }).toEqual({ whole: true, orphans: [] });
      expect([...documents.values()].map((text) => (JSON.parse(text) as { workloads: unknown[] }).workloads.length).sort((a, b) => b - a)).toEqual(sizes);
      sets.add(named.join());
      expect(sets.size).toBeGreaterThan(2);
    }, { timeoutMs: 60_000, everyMs: 50 });
  };

  await register(23);
  await runs(23);
  await isEverywhere(running);
  const text = (await runCli(["cluster", "list"], environment(2))).stdout;
  for (const line of await running()) expect(text.split(`${line.split(" ")[1]?.slice(0, 8) ?? ""}  many/g`)).toHaveLength(2);
  await isAlwaysWhole([10, 10, 3]);
  const { whole } = await stored();
  expect(whole.ok && whole.verified.record.workloads?.every(({ proof }) => proof !== undefined)).toBe(true);
  expect(await listedNode(sidecarOf(node(0)), "node-2")).toMatchObject({ workloads: Array.from({ length: 23 }, () => ({ proof: { hypervisor_type: "raw_exec" } })), workload_batches: [expect.any(String), expect.any(String), expect.any(String)] });

  // A batch that somebody edits, while its node cannot write: none of its workloads is believed, and who reads says why.
  const incomplete = async () => (await metric(sidecarOf(node(2)), "hypercore_ibrl_records_rejected_total", { reason: "incomplete", carrier: "kv" })) ?? Number.NaN;
  const before = await incomplete();
  sidecarOf(node(1)).pause();
  try {
    await sleep(500); // a write that was under way is there
    const [[key = "", value = ""] = []] = (await stored()).documents;
    await putByHand(node(0).consul, key, value.replace(/"bytes": ".{12}/, '"bytes": "AAAAAAAAAAAA'));
    await eventually(async () => {
      for (const from of [[], ["--consul"]]) expect((await listing(...from)).find(({ node: name }) => name === "node-2")).toMatchObject({ trust: "pinned", workloads: null });
    });
    expect((await listing("--consul")).find(({ node: name }) => name === "node-2")?.detail).toMatch(/^its state in KV: incomplete: batch \d of the workloads has other bytes than those that were signed$/);
    expect(await incomplete()).toBe(before + 1);
  } finally {
    sidecarOf(node(1)).resume();
  }
  await isEverywhere(running);

  await register(22); // one is stopped
  await runs(22);
  await isEverywhere(running);
  await isAlwaysWhole([10, 10, 2]);
  await register(9);
  await runs(9);
  await isEverywhere(running);
  expect(await stored()).toMatchObject({ whole: { ok: true }, named: [], documents: new Map() });
  await fetch(`${node(0).nomad?.httpUrl ?? ""}/v1/job/many`, { method: "DELETE" });
  await isEverywhere(async () => []);
}, 2 * TEST_MS);

test("logs: by stream, by allocation, and followed until the workload ends", async () => {
  const flag = join(folder, "end");
  const talk = shell(`echo out; echo err >&2; while [ ! -e ${flag} ]; do sleep 0.1; done; echo bye; exec sleep 600`);
  const { id = "", allocation_id: allocation = "" } = await spawn({ image_ref: talk });
  await eventually(async () => expect(await cli("cluster", "logs", "--id", id ?? "")).toEqual({ code: 0, stdout: "out\n", stderr: "err\n" }));
  expect(await client(1).logs({ id: (allocation ?? "").slice(0, 8), stream: "stderr", task: "main" }, 10_000)).toMatchObject({ logs: "err\n", stdout: "", stderr: "err\n" });
  await expect(client(1).logs({ id, task: "other" }, 10_000)).rejects.toMatchObject({ code: "not-found", message: expect.stringContaining("main") as string });

  const chunks: LogChunk[] = [];
  const following = (async () => {
    for await (const chunk of client(2).follow({ id }, new AbortController().signal)) chunks.push(chunk);
  })();
  const said = (stream: string) => chunks.filter((chunk) => chunk.stream === stream).map(({ data }) => Buffer.from(data ?? []).toString()).join("");
  await eventually(() => expect([said("stdout"), said("stderr")]).toEqual(["out\n", "err\n"]));
  const followed = cli("cluster", "logs", "--id", id ?? "", "-f");
  const errorsAlone = cli("cluster", "logs", "--id", id ?? "", "-f", "--stream=stderr", "--task=main");
  writeFileSync(flag, "");
  await eventually(() => expect(said("stdout")).toBe("out\nbye\n"));
  await client(0).stop(id ?? "", 60_000);
  await following; // it ends by itself, and so do these
  expect(await followed).toEqual({ code: 0, stdout: "out\nbye\n", stderr: "err\n" });
  expect(await errorsAlone).toEqual({ code: 0, stdout: "", stderr: "err\n" });
  expect(chunks.every((chunk) => chunk.allocation_id === allocation && chunk.task === "main")).toBe(true);
}, TEST_MS);

test("logs of a workload with two tasks, by an operator's template, are each task's own", async () => {
  const packaged = loadTemplates(join(projectRoot(), "nomad/templates")).get("raw_exec") as { TaskGroups: [JsonObject & { Tasks: [JsonObject] }] };
  const [{ Tasks: [main], ...group }] = packaged.TaskGroups;
  const second = { ...main, Name: "second", Config: { command: "/bin/sh", args: ["-c", "echo second out; echo second err >&2; sleep 600"] } };
  const reference = readReference(shell("echo main out; sleep 600"));
  const order = readSpawn({ image_ref: "x", cores: 1, memory: 32 }, () => "two-tasks");
  const source = { requestId: order.requestId, decisionId: "0".repeat(32), generation: 1, imageRef: "x", cores: 1, memoryMb: 32, ports: [], allowOverlap: true };
  const job = jobOf({ template: { ...packaged, TaskGroups: [{ ...group, Tasks: [main, second] }] }, reference, order, meta: { source, orderHash: "x" }, node: "node-1", stopOnClientAfterMs: 30_000 });
  expect((await fetch(`${node(0).nomad?.httpUrl ?? ""}/v1/jobs`, { method: "POST", body: JSON.stringify({ Job: job }) })).ok).toBe(true);
  const logs = async (...of: string[]) => {
    const { code, stdout, stderr } = await cli("cluster", "logs", "--id", job.ID, ...of);
    return [code, stdout, stderr];
  };
  await eventually(async () => expect([await logs(), await logs("--task=second"), await logs("--task=second", "--stream=stderr")]).toEqual([[0, "main out\n", ""], [0, "second out\n", "second err\n"], [0, "", "second err\n"]]), { timeoutMs: 60_000 });
  const [code, stdout, stderr] = await logs("--task=third");
  expect([code, stdout, String(stderr).replaceAll(/\s+›?\s*/g, " ")]).toEqual([1, "", expect.stringContaining("has no task third; it has main, second")]); // it is broken into lines
  await client(0).stop(job.ID, 60_000);
}, TEST_MS);

test("31: a reader of logs that stops reading keeps nothing of them in the sidecar, however much is written", async () => {
  const written = join(folder, "written");
  const chunk = 2 * 1024 * 1024;
  const talk = script(`const { writeSync, writeFileSync } = require("fs"); const line = "x".repeat(1023) + "\\n"; const part = line.repeat(${String(chunk / 1024)}); let n = 0; const more = () => { for (let at = 0; at < part.length;) at += writeSync(1, part.slice(at)); writeFileSync(${JSON.stringify(written)}, String(++n)); setTimeout(more, 20); }; more();`);
  const { id = "" } = await spawn({ image_ref: talk, memory: 128 });
  const sidecar = node(2).sidecar;
  const rssBytes = () => Number(/VmRSS:\s+(\d+) kB/.exec(readFileSync(`/proc/${String(sidecar?.pid)}/status`, "utf8"))?.[1]) * 1024;
  const parts = () => Number(readFileSync(written, "utf8"));
  const leaving = new AbortController();
  const chunks = client(2).follow({ id }, leaving.signal)[Symbol.asyncIterator]();
  expect((await chunks.next()).value).toMatchObject({ stream: "stdout", task: "main" });
  await eventually(() => parts() > 2);
  const [from, before] = [parts(), rssBytes()];
  let most = 0;
  await eventually(() => {
    most = Math.max(most, rssBytes());
    return (parts() - from) * chunk > 200e6;
  }, { timeoutMs: 60_000, everyMs: 50 });
  expect(most - before).toBeLessThan(64e6);
  expect((await chunks.next()).done).toBe(false); // it goes on where the reader does
  leaving.abort();
  await chunks.return?.(undefined).catch(() => {});
  await client(0).stop(id ?? "", 60_000);
}, TEST_MS);

test("a workload that was never here is NOT_FOUND at once, and so is a foreign job", async () => {
  const job = { ID: "foreign", Name: "foreign", Type: "batch", Datacenters: ["*"], TaskGroups: [{ Name: "g", Tasks: [{ Name: "t", Driver: "raw_exec", Config: { command: "/bin/true" } }] }] };
  await fetch(`${node(0).nomad?.httpUrl ?? ""}/v1/jobs`, { method: "POST", body: JSON.stringify({ Job: job }) });
  for (const id of ["ibrl-0123456789abcdef0123", "0123abcd", "foreign"]) {
    await expect(client(0).stop(id, 5_000)).rejects.toMatchObject({ code: "not-found" });
    await expect(client(0).logs({ id }, 5_000)).rejects.toMatchObject({ code: "not-found" });
    await expect(client(0).follow({ id }, AbortSignal.timeout(5_000)).next()).rejects.toMatchObject({ code: "not-found" });
  }
  expect(await nomad("/v1/job/foreign")).toMatchObject({ Stop: false });
}, TEST_MS);

test("a driver that --job-drivers does not name is refused, and the ones that it names are told", async () => {
  const message = expect.stringMatching(/image_ref.*qemu is not allowed here; --job-drivers allows docker, exec, raw_exec, java$/) as string;
  await expect(spawn({ image_ref: "qemu:///opt/thing" })).rejects.toMatchObject({ code: "invalid", message });
}, TEST_MS);

test("over HTTP as the ancestor has it; a sidecar that does not place says who does", async () => {
  const spawned = await post(0, "/spawn", { cores: 1, memory: 32, image_ref: shell("echo over HTTP; sleep 600"), ports: { 28_557: 80 }, dry_run: false, env: [] });
  expect(spawned).toMatchObject({ status: 200, body: { response: { url: expect.stringMatching(/^http:\/\/127\.0\.0\.\d:28557$/) as string } } });
  const id = String(spawned.body.response?.["id"]);
  await eventually(async () => expect((await post(2, `/logs?id=${id}`, {})).body.response?.["logs"]).toBe("over HTTP\n"));
  const got = await fetch(`http://${node(1).sidecar?.httpAddr ?? ""}/logs?id=${id}`, { headers: { authorization: `Bearer ${apiToken(node(1))}` } });
  expect(await got.json()).toMatchObject({ response: { logs: "over HTTP\n" } });
  expect(await post(2, `/stop?id=${id}`, {})).toMatchObject({ status: 409, body: { error: expect.stringMatching(/--placer.*node-1 \(127\.0\.0\.1\)/) as string } });
  expect(await post(1, `/stop?id=${id}`, {})).toMatchObject({ status: 200, body: { response: { name: expect.stringMatching(/^node-/) as string } } });
}, TEST_MS);

test("26: what is out of range is refused by its field and range over gRPC, HTTP and the command line alike, and nothing is registered", async () => {
  const before = await registered();
  const bad: [request: object, flags: string[], problem: RegExp][] = [
    [{ ports: { 0: 80 } }, ["--ports=0:80"], /ports: the host port 0 is not an integer from 1 to 65535/],
    [{ ports: { "-1": 80 } }, ["--ports=-1:80"], /ports: the host port (-1|4294967295) is not an integer from 1 to 65535/],
    [{ ports: { 70_000: 80 } }, ["--ports=70000:80"], /ports: the host port 70000 is not an integer from 1 to 65535/],
    [{ ports: { 80: 70_000 } }, ["--ports=80:70000"], /ports: the workload port 70000 is not an integer from 1 to 65535/],
    [JSON.parse('{ "ports": { "__proto__": 80 } }') as object, ["--ports=__proto__:80"], /ports(: the host port ("__proto__"|0) is not an integer from 1 to 65535| "__proto__:80": write HOST:WORKLOAD)/],
    [{ cores: 0 }, ["--cpu=0"], /cores 0 is not an integer from 1 to 512/],
    [{ memory: 2 ** 32 }, ["--mem=4294967296"], /memory (4294967296|0) is not an integer from 10 to 4194304 \(megabytes\)/],
    [{ env: ["NOVALUE"] }, ["--env=NOVALUE"], /env "NOVALUE": write NAME=value/],
    [{ env: ["__proto__=x"] }, ["--env=__proto__=x"], /env "__proto__": .*none of __proto__/],
    [{ image_ref: "" }, ["--image-ref="], /image_ref is missing: name an image/],
    [{ image_ref: "x".repeat(1_025) }, [`--image-ref=${"x".repeat(1_025)}`], /image_ref has 1 to 1024 characters/],
  ];
  for (const [request, flags, problem] of bad) {
    const message = expect.stringMatching(problem) as string;
    const whole = { image_ref: SLEEP, cores: 1, memory: 32, ...request };
    await expect(client(0).spawn(whole as SpawnRequest, 5_000)).rejects.toMatchObject({ code: "invalid", message });
    expect(await post(0, "/spawn", whole)).toMatchObject({ status: 400, body: { error: message } });
    const image = flags[0]?.startsWith("--image-ref") === true ? [] : [`--image-ref=${SLEEP}`];
    const { code, stderr } = await cli("cluster", "spawn", ...image, ...flags);
    expect([code, stderr.replaceAll(/\s+›?\s*/g, " ")]).toEqual([2, message]); // it is broken into lines
  }
  expect(await registered()).toEqual(before);
}, TEST_MS);

(EXEC_RUNS ? test : test.skip)("exec runs in its own file system, as nobody (needs root on Linux)", async () => {
  const { id = "", status } = await spawn({ image_ref: shell("cat /proc/self/status /etc/hostname; sleep 600", "exec") });
  expect(status).toBe("running");
  await eventually(async () => {
    const { stdout, stderr } = await client(0).logs({ id }, 10_000);
    expect([stdout, stderr]).toEqual([expect.stringMatching(/^Uid:\t65534\t/m), expect.stringContaining("/etc/hostname")]);
  });
  await client(0).stop(id ?? "", 60_000);
}, TEST_MS);

test.each(["docker", "podman", "java", "qemu"] as const)("the job for the %s driver is valid to Nomad, and its plan lacks the driver alone", async (driver) => {
  const reference = readReference(driver === "docker" ? "nginx:1.27?arg=-g" : driver === "podman" ? "podman://docker.io/library/nginx:1.27" : `${driver}:///opt/thing`);
  const order = readSpawn({ image_ref: "x", cores: 1, memory: 64, ports: { 8080: 80 }, dynamic_ports: [81], env: ["A=b"] }, () => `plan-${driver}`);
  const source = { requestId: order.requestId, decisionId: "0".repeat(32), generation: 1, imageRef: "x", cores: 1, memoryMb: 64, ports: order.ports, allowOverlap: false };
  const template = loadTemplates(join(projectRoot(), "nomad/templates")).get(driver) as JsonObject;
  const job = jobOf({ template, reference, order, meta: { source, orderHash: "x" }, node: "node-1", stopOnClientAfterMs: 30_000 });
  const validated = await fetch(`${node(0).nomad?.httpUrl ?? ""}/v1/validate/job`, { method: "POST", body: JSON.stringify({ Job: job }) });
  expect(await validated.json()).toMatchObject({ DriverConfigValidated: true, ValidationErrors: null, Error: "" });
  const plan = await (await createNomadJobs(nomadSettingsFrom({ NOMAD_ADDR: node(0).nomad?.httpUrl }))).plan(job);
  // Where this machine has the driver, the plan holds.
  expect([[], ["missing drivers"]]).toContainEqual(plan.problems);
}, TEST_MS);

test.each<[string, () => Promise<void> | void, () => Promise<void> | void]>([
  ["does not answer", () => node(0).nomad?.pause(), () => node(0).nomad?.resume()],
  // Its own agent is then gone from one sidecar, and the other's has lost its only server, and so its leader.
  ["is down", async () => void (await node(0).nomad?.stop()), async () => (await node(0).nomad?.start(), node(0).nomad?.waitReady())],
])("28: while Nomad %s a spawn is UNAVAILABLE before its deadline, at every sidecar, and so are stop and logs; repeated afterwards it is one job", async (how, fail, mend) => {
  const request_id = how.replaceAll(" ", "-");
  const standing = await spawn({});
  await fail();
  try {
    // A deadline that had passed would be the client's own error, and not the sidecar's word.
    const unavailable = { name: "PlacementError", code: "unavailable" };
    await Promise.all([0, 1].flatMap((at) => [
      expect(spawn({ request_id }, at, 4_000)).rejects.toMatchObject(unavailable),
      expect(client(at).stop(standing.id ?? "", 4_000)).rejects.toMatchObject(unavailable),
      expect(client(at).logs({ id: standing.id ?? "" }, 4_000)).rejects.toMatchObject(unavailable),
    ]));
  } finally {
    await mend();
  }
  const { id = "" } = await eventually(() => spawn({ request_id }, 1), { timeoutMs: 60_000 });
  expect((await spawn({ request_id })).id).toBe(id);
  expect(await allocations(id ?? "")).toHaveLength(1);
  expect((await allocations(standing.id ?? "")).map(({ ID }) => ID)).toEqual([standing.allocation_id]);
  for (const each of [id, standing.id]) await client(0).stop(each ?? "", 60_000);
}, TEST_MS);

test("28: Nomad that stops answering in the middle of a spawn makes it UNAVAILABLE, and the same request afterwards finds its job", async () => {
  const lost = spawn({ request_id: "middle" }, 1, 4_000).catch((error: unknown) => error);
  await eventually(async () => expect((await jobs()).some(({ Status }) => Status !== "dead")).toBe(true), { everyMs: 5 });
  node(0).nomad?.pause();
  const outcome = await lost;
  node(0).nomad?.resume();
  // It was answered in that moment, or it was not.
  if (outcome instanceof Error) expect(outcome).toMatchObject({ name: "PlacementError", code: "unavailable" });
  const { id = "" } = await eventually(() => spawn({ request_id: "middle" }, 0), { timeoutMs: 60_000 });
  expect(await allocations(id ?? "")).toHaveLength(1);
  expect((await jobs()).filter(({ Status }) => Status !== "dead")).toMatchObject([{ ID: id }]);
  await client(0).stop(id ?? "", 60_000);
}, TEST_MS);

test("29: a sidecar killed between registering and answering leaves a job that the same request finds, elsewhere and at the restarted one", async () => {
  const lost = spawn({ request_id: "killed" }, 1).catch((error: unknown) => error);
  await eventually(async () => expect((await jobs()).some(({ Status }) => Status !== "dead")).toBe(true), { everyMs: 10 });
  node(1).sidecar?.kill();
  await lost;
  const { id = "", node: at } = await spawn({ request_id: "killed" }, 0);
  expect(at).toBe("node-1");
  await node(1).sidecar?.restart();
  expect(await eventually(() => spawn({ request_id: "killed" }, 1), { timeoutMs: 60_000 })).toMatchObject({ id, node: at });
  expect(await allocations(id ?? "")).toHaveLength(1);
  expect((await jobs()).filter(({ Status }) => Status !== "dead")).toMatchObject([{ ID: id }]);
  // Once in the listing, by the decision that placed it, and the restarted one stops it.
  await eventually(async () => {
    const states = await Promise.all(["node-1", "node-2", "node-3"].map((name) => listedNode(sidecarOf(node(1)), name)));
    expect(JSON.stringify(states.map((state) => (state as { workloads?: unknown }).workloads)).split(`"id":"${id ?? ""}"`)).toHaveLength(2);
  });
  await client(1).stop(id ?? "", 60_000);
  await eventually(async () => expect((await allocations(id ?? "")).map(({ ClientStatus }) => ClientStatus)).toEqual(["complete"]));
}, TEST_MS);

test("a sidecar attests to its node, its state and a workload in it, to whom asks; to no other node's", async () => {
  const { id, node: at, allocation_id: allocation } = await spawn({ request_id: "attested" });
  const validate = new Ajv2020({ strict: true, formats: { "date-time": true } }).compile(JSON.parse(readFileSync(join(projectRoot(), "schemas/trust-attest.schema.json"), "utf8")) as object);
  const nonce = "5a".repeat(32);
  await eventually(async () => {
    for (const [type, asked] of [["NODE_IDENTITY", []], ["STATE_HASH", [`--nonce=${nonce}`]], ["WORKLOAD", [`--workload=${id ?? ""}`]]] as const) {
      const { code, stdout } = await cli("trust", "attest", `--type=${type}`, ...asked, "--json");
      const document = JSON.parse(stdout) as object;
      expect({ code, valid: validate(document), errors: validate.errors, document }).toMatchObject({ code: 0, valid: true, document: { node: at, type, trust: "pinned" } });
      if (type === "STATE_HASH") expect(document).toMatchObject({ nonce });
      if (type === "WORKLOAD") expect(document).toMatchObject({ workload: { job: id, allocation, status: "running" } });
    }
  }, { timeoutMs: 30_000 });
  expect(at).toBe("node-1");
  const elsewhere = await runCli(["trust", "attest", `--workload=${id ?? ""}`, "--json"], environment(2));
  expect(elsewhere).toMatchObject({ code: 1, stdout: expect.stringMatching(/no workload .* is in the state of node-3/) as string });
  expect(await cli("trust", "attest", "--nonce=00")).toMatchObject({ code: 2, stderr: expect.stringContaining("32 to 128 hex digits") as string });
  await client(0).stop(id ?? "", 60_000);
}, TEST_MS);

/** With `proof verify` as somebody has it who was given the file and the node's key. */
interface Proved {
  verified: boolean;
  broken: { step: string; chain: number; entry: number } | null;
  chains: {
    job: string; node: string; driver: string; decisionId: string | null; ended: string | null; restarts: number; segments: number;
    from: string; until: string; watchedMs: number; gapMs: number; gaps: { reason: string }[]; events: { type: string; exitCode: number | null }[]; root: { entry: number } | null;
  }[];
}

test("what ran on a node is proved by it, across a kill of its sidecar; a changed file names what was changed", async () => {
  const sidecar = node(0).sidecar;
  const state = { IBRL_STATE_DIR: sidecar?.stateFolder ?? "" };
  const crashing = {
    ID: "crashing", Name: "crashing", Type: "batch", Datacenters: ["*"], Constraints: [{ LTarget: "${node.unique.name}", RTarget: "node-1", Operand: "=" }],
    TaskGroups: [{
      Name: "g", RestartPolicy: { Attempts: 1, Interval: 600e9, Delay: 1e9, Mode: "fail" }, ReschedulePolicy: { Attempts: 0, Unlimited: false },
      Tasks: [{ Name: "t", Driver: "raw_exec", Config: { command: "/bin/sh", args: ["-c", "sleep 3; exit 7"] } }],
    }],
  };
  expect((await fetch(`${node(0).nomad?.httpUrl ?? ""}/v1/jobs`, { method: "POST", body: JSON.stringify({ Job: crashing }) })).ok).toBe(true);
  const { id = "", allocation_id: allocation, node: at } = await spawn({ request_id: "proved" });
  expect(at).toBe("node-1");
  const listed = async (job: string) => {
    const { proofs } = JSON.parse((await runCli(["proof", "list", "--json"], state)).stdout) as { proofs: { job: string; ended: string | null; segments: number }[] };
    return proofs.find((proof) => proof.job === job);
  };
  await eventually(async () => expect(await listed("crashing")).toMatchObject({ ended: "failed", restarts: 1 }), { timeoutMs: 60_000 });
  await eventually(async () => expect((await listed(id ?? ""))?.segments).toBeGreaterThan(1), { timeoutMs: 60_000 });

  // What another node holds of it, signed in the state, must be in whatever file is exported later.
  const newest = async () => {
    const { sealed_state: sealed = "" } = await listedNode(sidecarOf(node(2)), "node-1");
    const opened = open(STATE, Buffer.from(sealed, "base64"), { keys: new KeyAdmission(), nowMs: Date.now(), skewMs: 60_000, datacenter: "dc1", node: "node-1" });
    const proof = opened.ok ? opened.verified.record.workloads?.find((workload) => workload.id === allocation)?.proof : undefined;
    if (proof === undefined) throw new Error("no proof in the state yet");
    return proof;
  };
  const claimed = await eventually(newest, { timeoutMs: 60_000 });
  expect(claimed).toMatchObject({ driver: "raw_exec", totals: { restarts: 0 } });
  // PROOF_VERIFY says the same of it, and its registry is what a client computes that reads Consul itself.
  await eventually(async () => {
    const { verification_result, beacon_registry_hash } = await proofVerify(sidecarOf(node(2)).grpcAddr, id ?? "", (await newest()).hash);
    expect(verification_result).toBe(true);
    const { nodes } = JSON.parse((await cli("cluster", "metrics", "--consul", "--json")).stdout) as { nodes: { node: string; datacenter: string; publicKey: string; verified: boolean }[] };
    const lines = nodes.filter(({ verified }) => verified).map((each) => `${each.datacenter}/${each.node} ${each.publicKey}\n`).sort();
    expect(lines.length).toBeGreaterThan(1);
    expect(beacon_registry_hash).toBe(createHash("sha256").update(lines.join("")).digest("hex"));
  }, { timeoutMs: 60_000 });
  expect(await proofVerify(sidecarOf(node(2)).grpcAddr, id ?? "", "ab".repeat(32))).toMatchObject({ verification_result: false });

  sidecar?.kill("SIGKILL");
  await sleep(3_000); // more than two periods
  await sidecar?.restart();
  await fetch(`${node(0).nomad?.httpUrl ?? ""}/v1/job/${id ?? ""}`, { method: "DELETE" });
  await eventually(async () => expect(await listed(id ?? "")).toMatchObject({ ended: "complete" }), { timeoutMs: 60_000 });

  const key = join(folder, "node-1.pub.pem");
  writeFileSync(key, (await runCli(["identity", "export"], state)).stdout);
  const path = join(folder, "proof.json");
  const verify = async () => {
    const { code, stdout } = await runCli(["proof", "verify", path, "--trust", key, "--json"]);
    return { code, ...(JSON.parse(stdout) as Proved) };
  };
  const proved = await eventually(async () => {
    expect((await runCli(["proof", "export", id ?? "", "-o", path], state)).code).toBe(0);
    const said = await verify();
    expect(said.chains[0]?.root?.entry).toBe(said.chains[0]?.segments); // the end of it stands under the root,
    const stored = JSON.parse(await node(1).consul.getText("/v1/kv/ibrl/v1/nodes/node-1/proofs?raw")) as { sealed: string };
    expect((JSON.parse(readFileSync(path, "utf8")) as ProofFile).chains[0]?.root?.sealed).toBe(stored.sealed); // which everybody can read
    return said;
  }, { timeoutMs: 60_000 });
  expect(proved).toMatchObject({ code: 0, verified: true, chains: [{ job: id, node: "node-1", driver: "raw_exec", ended: "complete", decisionId: expect.stringMatching(/^[0-9a-f]{32}$/) as string }] });
  // With what it names: the node's own word of itself, and why the job was placed here, by the placer's key.
  expect(proved.chains[0]).toMatchObject({
    beacons: { count: expect.any(Number) as number, latest: { priceMicroUsdPerGb: 1_000 } },
    decision: { id: proved.chains[0]?.decisionId, decider: { node: "node-1" }, place: 1, candidates: expect.any(Number) as number, policies: [{ role: "spawn", name: "cheapest", sha256: createHash("sha256").update(policy).digest("hex") }] },
  });
  // The same words where there is no network at all, not even loopback.
  const alone = await promisify(execFile)("unshare", [process.geteuid?.() === 0 ? "-n" : "-Urn", process.execPath, join(projectRoot(), "bin/run.js"), "proof", "verify", path, "--trust", key], { env: plainEnvironment() });
  expect(alone.stdout).toContain(`of ${id ?? ""}/`);
  expect(alone.stdout).toMatch(/decision +[0-9a-f]{32}, \S+: the node was 1 of /);
  const [chain] = proved.chains;
  expect(chain?.gaps.map(({ reason }) => reason)).toContain("not-watched");
  expect((chain?.watchedMs ?? 0) + (chain?.gapMs ?? 0)).toBe(Date.parse(chain?.until ?? "") - Date.parse(chain?.from ?? ""));
  expect(chain?.events.filter(({ type }) => type === "Started")).toHaveLength(1);
  const file = JSON.parse(readFileSync(path, "utf8")) as ProofFile;
  const segments = (file.chains[0]?.segments ?? []).map((sealed) => {
    const opened = openStatement(PROOF, Buffer.from(sealed, "base64"), new KeyAdmission());
    if (!opened.ok) throw new Error(opened.detail);
    return opened.signed;
  });
  const records = segments.map(({ record }) => record);
  const named = segments.find(({ hash }) => hash === claimed.hash);
  expect(Buffer.from(named?.signature ?? []).toString("hex")).toBe(claimed.signature);
  expect(new Set(records.map(({ epoch }) => epoch)).size).toBe(2);
  // A shell and its sleep, by Nomad's own measuring.
  const spans = records.flatMap((record) => record.spans);
  expect(spans.some(({ memoryBytes = 0, cpuPpm }) => memoryBytes > 100_000 && memoryBytes < 100_000_000 && cpuPpm !== undefined)).toBe(true);

  const [entries] = file.chains.map(({ segments }) => segments);
  entries?.splice(1, 1);
  writeFileSync(path, proofFileText(file));
  expect(await verify()).toMatchObject({ code: 3, verified: false, broken: { step: "chain", chain: 1, entry: 2 } });

  expect((await runCli(["proof", "export", "crashing", "-o", path], state)).code).toBe(0);
  expect((await verify()).chains).toMatchObject([{ ended: "failed", restarts: 1, decisionId: null }]);
  expect((await verify()).chains[0]?.events.filter(({ type }) => type === "Terminated")).toMatchObject([{ exitCode: 7 }, { exitCode: 7 }]);
}, 2 * TEST_MS);
