/** A real Nomad with mutual TLS and ACLs: who is let in, what an error names, and what a narrow token must not turn into zero. */
import { execFile } from "node:child_process";
import { mkdir, readFile, writeFile } from "node:fs/promises";
import { hostname } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { findBinary } from "../../src/dev/binaries.js";
import { NomadAgent } from "../../src/dev/nomad-agent.js";
import { defaultAddressing, type NodeEndpoints, type PortSet, reservePorts } from "../../src/dev/ports.js";
import { waitFor } from "../../src/dev/readiness.js";
import { RunFolder } from "../../src/dev/run-folder.js";
import { withoutClusterVariables } from "../../src/dev/local-cluster.js";
import { projectRoot } from "../../src/dev/project-root.js";
import { createNomadClient } from "../../src/sidecar/nomad/client.js";
import { createNomadMetadata } from "../../src/sidecar/nomad/metadata-client.js";
import { createNomadJobs } from "../../src/sidecar/nomad/jobs-client.js";
import { nomadSettingsFrom } from "../../src/sidecar/nomad/settings.js";
import { metaOf } from "../../src/sidecar/node-metadata.js";
import { nomadTls } from "../harness/nomad-tls.js";
import { NomadError } from "../../src/sidecar/nomad-api.js";
import { type LocalNomad, readLocalNomad } from "../../src/sidecar/readings/local-nomad.js";
import { workloadsOf } from "../../src/sidecar/readings/workloads.js";

const START_MS = 600_000; // the program may have to be built first
const SEEN_MS = 60_000;
const quiet = { note: () => {}, step: () => ({ update: () => {}, done: () => {}, fail: () => {} }) };
const NARROW = 'agent { policy = "read" }\nnode { policy = "read" }\n';
const FULL = `${NARROW}namespace "*" { policy = "read" }\n`;
const JOB = `job "sleeper" {
  type = "batch"
  group "sleepers" {
    task "sleep" {
      driver = "raw_exec"
      config {
        command = "sleep"
        args    = ["600"]
      }
    }
  }
}`;

let run: RunFolder;
let ports: PortSet;
let agent: NomadAgent;
let binary: string;
let tls: Record<string, string>;
let managementToken: string;

beforeAll(async () => {
  binary = (await findBinary("nomad", { env: process.env, progress: quiet })).path;
  ports = await reservePorts(1, defaultAddressing(), 5);
  run = RunFolder.create("hypercore-nomad-secured");
  const { address, ports: own } = ports.endpoints[0] as NodeEndpoints;
  const folder = join(run.path, "node-1");
  await mkdir(folder);
  const { config, env } = await nomadTls(binary, folder, [address]);
  tls = { NOMAD_ADDR: `https://${address}:${String(own.nomadHttp)}`, ...env };
  agent = new NomadAgent({
    nodeName: "node-1",
    address,
    ports: own,
    bootstrapExpect: 1,
    client: true,
    serverSerf: [],
    serverRpc: [`${address}:${String(own.nomadRpc)}`],
    consul: { address: `${address}:${String(own.consulHttp)}` }, // nobody listens there: a Nomad without Consul
    datacenter: "dc1",
    binary,
    folder,
    host: { run, env: withoutClusterVariables(process.env) },
    extraConfig: { acl: { enabled: true }, tls: config },
  });
  await agent.start();
  managementToken = await waitFor("ACLs", async () => secretOf(await nomad({}, "acl", "bootstrap", "-json")), { timeoutMs: SEEN_MS });
}, START_MS);

afterAll(async () => {
  await agent?.stop();
  await run?.remove();
  ports?.release();
}, SEEN_MS);

/** Nomad's own command line, with the same variables as our client. */
async function nomad(env: Record<string, string>, ...args: string[]): Promise<string> {
  const all = { ...withoutClusterVariables(process.env), ...tls, ...env };
  return (await promisify(execFile)(binary, args, { env: all })).stdout;
}

function secretOf(json: string): string {
  return (JSON.parse(json) as { SecretID: string }).SecretID;
}

async function tokenFor(policy: string, rules: string): Promise<string> {
  const file = join(run.path, `${policy}.hcl`);
  await writeFile(file, rules);
  const env = { NOMAD_TOKEN: managementToken };
  await nomad(env, "acl", "policy", "apply", policy, file);
  return secretOf(await nomad(env, "acl", "token", "create", "-json", `-policy=${policy}`));
}

async function read(env: Record<string, string>): Promise<LocalNomad> {
  const client = await createNomadClient(nomadSettingsFrom({ ...tls, ...env }));
  return readLocalNomad(client, { hostname: hostname() });
}

async function failure(env: Record<string, string | undefined>): Promise<NomadError> {
  const client = await createNomadClient(nomadSettingsFrom({ ...tls, ...env }));
  const error = await client.self().catch((e: unknown) => e);
  expect(error).toBeInstanceOf(NomadError);
  return error as NomadError;
}

test("without a token the error names the rule that is missing", async () => {
  const { code, fields } = await failure({});
  expect([code, fields.permission]).toEqual(["permission", "agent:read"]);
});

test("a token that nobody gave is refused, and is not repeated", async () => {
  const token = "5ec2e700-0000-4000-8000-000000000000";
  const { code, message } = await failure({ NOMAD_TOKEN: token });
  expect([code, message.includes(token)]).toEqual(["permission", false]);
});

test.each([
  ["a certificate for another name", { NOMAD_TLS_SERVER_NAME: "server.elsewhere.nomad" }],
  ["an authority that is not ours", { NOMAD_CACERT: undefined }],
  ["no client certificate", { NOMAD_CLIENT_CERT: undefined, NOMAD_CLIENT_KEY: undefined }],
])("with %s there is no connection, which is not the absence of Nomad", async (_, env) => {
  const { code, absent } = await failure(env);
  expect([code, absent]).toEqual(["unreachable", false]);
});

test("a name that does not match passes where verification is turned off", async () => {
  const env = { NOMAD_TLS_SERVER_NAME: "server.elsewhere.nomad", NOMAD_SKIP_VERIFY: "true", NOMAD_TOKEN: managementToken };
  // A client that has just started is not known to its server at once, nor its host's name.
  await waitFor("the node", async () => ((await read(env)).node.value?.name === "node-1" ? true : undefined), { timeoutMs: SEEN_MS });
});

test("a token without read-job leaves workloads unknown where there are some; with it they are seen", async () => {
  const narrow = { NOMAD_TOKEN: await tokenFor("narrow", NARROW) };
  const full = { NOMAD_TOKEN: await tokenFor("full", FULL) };
  expect(workloadsOf((await read(narrow)).allocations)).toEqual({ value: [] });

  const file = join(run.path, "sleeper.hcl");
  await writeFile(file, JOB);
  const management = { NOMAD_TOKEN: managementToken };
  // The node may still be fingerprinting raw_exec: the evaluation then waits, so the command must not.
  await nomad(management, "job", "run", "-detach", file);
  await waitFor("running", async () => {
    const { value } = workloadsOf((await read(full)).allocations);
    return value?.some(({ status }) => status === "running") ? true : undefined;
  }, { timeoutMs: SEEN_MS });

  const hidden = await read(narrow);
  expect(hidden.node.value?.drivers.get("raw_exec")).toEqual({ detected: true, healthy: true });
  expect(hidden.allocations.reason).toBe("nomad-allocations-hidden");
  // Evaluations are refused outright, so they need no count to compare with.
  expect([hidden.evaluations.value, hidden.evaluations.reason]).toEqual([undefined, "nomad-permission"]);
  expect((await read(full)).evaluations.value).toBeDefined();

  await nomad(management, "job", "stop", "-purge", "-detach", "sleeper");
  // Until the client has let go of it, so that no mount of Nomad's stays behind in our folder.
  await waitFor("nothing hidden", async () => {
    await nomad(management, "system", "gc");
    return (await read(narrow)).allocations.value?.length === 0 ? true : undefined;
  }, { timeoutMs: SEEN_MS, everyMs: 1_000 });
}, 2 * SEEN_MS);

test("the node's metadata takes node:write, which the sidecar's policy does not have and nomad-metadata.hcl adds", async () => {
  const shipped = async (name: string) => readFile(join(projectRoot(), "nomad/acl", name), "utf8");
  const [sidecar, metadata] = [await shipped("nomad-sidecar.hcl"), await shipped("nomad-metadata.hcl")];
  const tokens = [await tokenFor("sidecar", sidecar), await tokenFor("sidecar-metadata", metadata)];
  const [refused, allowed] = await Promise.all(tokens.map(async (token) => createNomadMetadata(nomadSettingsFrom({ ...tls, NOMAD_TOKEN: token }))));
  const local = await read({ NOMAD_TOKEN: tokens[0] ?? "" });
  const id = local.node.value?.id ?? "";
  const meta = metaOf({ latency: { us: 1_234, source: "measured" } });
  await expect(refused?.(id, meta)).rejects.toMatchObject({ code: "permission", fields: { permission: "node:write" } });
  await allowed?.(id, meta);
  const management = { NOMAD_TOKEN: managementToken };
  expect((JSON.parse(await nomad(management, "node", "meta", "read", "-json", `-node-id=${id}`)) as { Dynamic: object }).Dynamic).toEqual({ "unique.ibrl.latency_ms": "1.234" });
  await allowed?.(id, metaOf(undefined));
  expect((JSON.parse(await nomad(management, "node", "meta", "read", "-json", `-node-id=${id}`)) as { Dynamic: object }).Dynamic).toEqual({});
}, 2 * SEEN_MS);

test("a placer's token, as shipped, plans, registers, follows and stops in its namespace, and in no other", async () => {
  const management = { NOMAD_TOKEN: managementToken };
  await nomad(management, "namespace", "apply", "apps");
  const rules = (await readFile(join(projectRoot(), "nomad/acl/nomad-placer.hcl"), "utf8")).replace('namespace "default"', 'namespace "apps"');
  const env = { ...tls, NOMAD_TOKEN: await tokenFor("placer", rules), NOMAD_REGION: "global" };
  const [apps, elsewhere] = await Promise.all(["apps", "default"].map(async (name) => createNomadJobs(nomadSettingsFrom({ ...env, NOMAD_NAMESPACE: name }))));
  const job = { ID: "ibrl-secured", Name: "ibrl-secured", Type: "service", Datacenters: ["*"], TaskGroups: [{ Name: "work", Count: 1, Disconnect: { StopOnClientAfter: 30e9, Replace: false }, Tasks: [{ Name: "main", Driver: "raw_exec", Config: { command: "/bin/sh", args: ["-c", "echo said; sleep 600"] } }] }] };
  await expect(elsewhere?.register(job, 0)).rejects.toMatchObject({ code: "permission", fields: { permission: "namespace:submit-job" } });
  await expect(elsewhere?.plan(job)).rejects.toMatchObject({ code: "permission" });

  expect((await apps?.plan(job))?.problems).toEqual([]);
  const index = await apps?.register(job, 0);
  // Only from where the job stands.
  await expect(apps?.register(job, 0)).rejects.toMatchObject({ code: "conflict" });
  expect(await apps?.job("ibrl-secured")).toMatchObject({ namespace: "apps", modifyIndex: index, stopped: false });
  expect(await apps?.jobs("ibrl-")).toMatchObject([{ id: "ibrl-secured", namespace: "apps" }]);
  await expect(elsewhere?.job("ibrl-secured")).rejects.toMatchObject({ code: "permission" });
  const [allocation] = await waitFor("running", async () => {
    const { allocations = [] } = (await apps?.jobAllocations("ibrl-secured")) ?? {};
    return allocations[0]?.clientStatus === "running" ? allocations : undefined;
  }, { timeoutMs: SEEN_MS });
  // What failover asks of a node that is gone.
  expect(await apps?.stopsOnClient(allocation?.nodeId ?? "")).toEqual({ newestAtMs: allocation?.createdAtMs, shortestStopMs: 30_000 });
  expect(await apps?.node(allocation?.nodeId ?? "")).toMatchObject({ status: "ready", eligible: true, statusChangedAtMs: expect.any(Number) as number });
  await waitFor("its words", async () => {
    let said = "";
    for await (const chunk of (await apps?.logs({ allocationId: allocation?.id ?? "", task: "main", stream: "stdout", follow: false })) ?? []) said += Buffer.from(chunk).toString();
    return said === "said\n" ? true : undefined;
  }, { timeoutMs: SEEN_MS });
  await apps?.stop("ibrl-secured", { purge: true });
  expect(await apps?.job("ibrl-secured")).toBeNull();
  await waitFor("its task ended", async () => {
    await nomad(management, "system", "gc");
    return (await apps?.jobAllocations("ibrl-secured"))?.allocations.length === 0 ? true : undefined;
  }, { timeoutMs: SEEN_MS, everyMs: 500 });
}, 2 * SEEN_MS);
