/** A real agent with ACLs that deny by default: tokens, their file, and the permission that is missing. */
import { randomUUID } from "node:crypto";
import { rename, writeFile } from "node:fs/promises";
import { join } from "node:path";
import type { ConsulApi } from "../../src/sidecar/consul-api.js";
import { usageKey } from "../../src/beacon/usage-document.js";
import { UsagePublisher } from "../../src/sidecar/traffic/usage-publisher.js";
import { runCli } from "../harness/built-cli.js";
import { policyOf } from "../harness/cluster.js";
import { PERIOD_MS, START_MS, statement } from "../harness/usage.js";
import { type OneAgent, START_WITHIN_MS, startOneAgent } from "./one-agent.js";

const MANAGEMENT = randomUUID();

describe("ACL tokens on a real agent", () => {
  let one: OneAgent;
  let serial = 0;

  beforeAll(async () => {
    one = await startOneAgent(() => ({
      acl: { enabled: true, default_policy: "deny", tokens: { initial_management: MANAGEMENT, agent: MANAGEMENT } },
    }));
  }, START_WITHIN_MS);
  afterAll(() => one?.stop(), 60_000);

  /** The secret of a new token that has these rules. */
  async function tokenWith(rules: string): Promise<string> {
    const access = ["-http-addr", one.agent.httpAddr, "-token", MANAGEMENT];
    const name = `policy-${(serial += 1)}`;
    await one.consul("acl", "policy", "create", ...access, "-name", name, "-rules", rules);
    const made = await one.consul("acl", "token", "create", ...access, "-policy-name", name, "-format", "json");
    return (JSON.parse(made) as { SecretID: string }).SecretID;
  }

  const connectWith = (token: string): ConsulApi => one.connect({ CONSUL_HTTP_TOKEN: token });

  const service = {
    id: "ibrl-beacon",
    name: "ibrl-beacon",
    address: "127.0.0.1",
    port: 0,
    tags: [],
    meta: {},
    check: { id: "ibrl-beacon", name: "TTL", ttlMs: 60_000, deregisterAfterMs: 60_000 },
  };
  const refusals: [string, (api: ConsulApi) => Promise<unknown>, string | RegExp][] = [
    ["agent.self", (api) => api.self(), /^agent:read on "contract-1"/],
    ["registering", (api) => api.registerService(service), 'service:write on "ibrl-beacon"'],
    ["writing a key", (api) => api.kvPut("ibrl/v1/x", "y"), 'key:write on "ibrl/v1/x"'],
    ["deleting a key", (api) => api.kvDelete("ibrl/v1/x"), 'key:write on "ibrl/v1/x"'],
    ["a transaction", (api) => api.kvTxn([{ set: "ibrl/v1/x", value: "y" }, { delete: "ibrl/v1/z" }]), 'key:write on "ibrl/v1/x"'],
    ["reading a key", (api) => api.kvGet("ibrl/v1/x"), 'key:read on "ibrl/v1/x"'],
    ["firing an event", (api) => api.fireEvent("ibrl", new Uint8Array(1)), 'event:write on "ibrl"'],
  ];

  it.each(refusals)("names the permission that is missing for %s", async (what, call, permission) => {
    const named = { code: "permission", transient: false, fields: expect.objectContaining({ status: what === "a transaction" ? 409 : 403, permission: expect.stringMatching(permission) }) };
    await expect(call(connectWith(await tokenWith('key_prefix "other/" { policy = "read" }')))).rejects.toMatchObject(named);
  });

  it("works with exactly the rules that it names", async () => {
    const read = 'agent_prefix "" { policy = "read" } node_prefix "" { policy = "read" }';
    const write = 'service "ibrl-beacon" { policy = "write" } key_prefix "ibrl/" { policy = "write" } event "ibrl" { policy = "write" }';
    const rules = `${read} ${write}`;
    const api = connectWith(await tokenWith(rules));
    for (const [, call] of refusals) await expect(call(api)).resolves.not.toThrow();
    await api.passTtl("ibrl-beacon", "ok");
    await expect(api.events("ibrl")).resolves.toMatchObject({ value: [expect.objectContaining({ name: "ibrl" })] });
  });

  it("statements of usage wait for the rule that they need, which is named, and are written once it is there", async () => {
    const rules = policyOf("sidecar", "node-1").split("\n");
    const without = rules.filter((line) => !line.includes("ibrl/v1/usage/"));
    expect(without).toHaveLength(rules.length - 1);
    const [poor, rich] = [connectWith(await tokenWith(without.join("\n"))), connectWith(await tokenWith(rules.join("\n")))];
    let api = poor;
    const told: unknown[] = [];
    const publisher = new UsagePublisher({
      consul: { kvList: (...args) => api.kvList(...args), kvPut: (...args) => api.kvPut(...args), kvDelete: (...args) => api.kvDelete(...args) },
      clock: { monoMs: () => 0 }, everyMs: () => 0, mayWrite: () => true, keep: () => 2,
      health: { up: () => told.push("up"), down: (error) => told.push(error) },
    });
    const of = (n: number) => statement({ periodStartMs: START_MS + n * PERIOD_MS, untilMs: START_MS + (n + 1) * PERIOD_MS });
    const keys = async (): Promise<string[]> => (await rich.kvList("ibrl/v1/usage/")).value.map(({ key }) => key);
    const offer = () => publisher.offer({ node: "node-1", datacenter: "dc1" }, new AbortController().signal);
    publisher.take(of(0));
    await offer();
    expect(told).toEqual([expect.objectContaining({ code: "permission", fields: expect.objectContaining({ permission: `key:write on "${usageKey(of(0).record)}"` }) as unknown })]);
    expect(await keys()).toEqual([]);
    api = rich;
    await offer();
    expect(told.at(-1)).toBe("up");
    // The newest periods stay, older ones go.
    publisher.take(of(1));
    publisher.take(of(2));
    await offer();
    expect(await keys()).toEqual([of(1), of(2)].map(({ record }) => usageKey(record)));
  });

  it("does not let events that were withheld pass for none", async () => {
    await connectWith(MANAGEMENT).fireEvent("secret", new Uint8Array(1));
    const api = connectWith(await tokenWith('event "other" { policy = "read" }'));
    await expect(api.events("secret")).rejects.toMatchObject({ code: "permission", fields: { permission: 'event:read on "secret"' } });
    await expect(api.events("")).resolves.toMatchObject({ value: [], filteredByAcl: true });
  });

  it("marks a catalog that the token sees in part", async () => {
    const api = connectWith(await tokenWith('key_prefix "other/" { policy = "read" }'));
    await expect(api.nodes()).resolves.toMatchObject({ value: [], filteredByAcl: true });
    expect((await connectWith(MANAGEMENT).nodes()).filteredByAcl).toBeUndefined();
  });

  it("says that a token is unknown, without repeating it", async () => {
    const token = randomUUID();
    const error = await connectWith(token).nodes().catch((reason: unknown) => reason);
    expect(error).toMatchObject({ code: "permission", message: expect.stringContaining("does not know the ACL token") });
    expect(`${String(error)} ${JSON.stringify(error)}`).not.toContain(token);
  });

  describe("the policies that `hypercore acl render` prints", () => {
    const render = (...args: string[]) => runCli(["acl", "render", ...args]);

    it("let a placer hold the lock of placement and keep decisions and policies, and no other sidecar", async () => {
      const session = async (token: string) => fetch(`${one.agent.httpUrl}/v1/session/create`, { method: "PUT", headers: { "X-Consul-Token": token } });
      const [placer, sidecar] = await Promise.all(["placer", "sidecar"].map(async (role) => tokenWith((await render("--role", role, "--node", "contract-1")).stdout)));
      expect((await session(sidecar ?? "")).status).toBe(403);
      const { ID } = (await (await session(placer ?? "")).json()) as { ID: string };
      for (const key of ["ibrl/v1/decisions/x", "ibrl/v1/policies/names/x", "ibrl/v1/policies/bytes/x"]) {
        await expect(connectWith(sidecar ?? "").kvPut(key, "y")).rejects.toMatchObject({ code: "permission", fields: { permission: `key:write on "${key}"` } });
        await expect(connectWith(placer ?? "").kvPut(key, "y")).resolves.toBe(true);
      }
      const lock = `${one.agent.httpUrl}/v1/kv/ibrl/v1/placement/dc1/lock?acquire=${ID}`;
      const taken = await fetch(lock, { method: "PUT", headers: { "X-Consul-Token": placer ?? "" } });
      expect([taken.status, await taken.text()]).toEqual([200, "true"]);
    }, 60_000);

    it("let a reader read, and write nothing", async () => {
      const api = connectWith(await tokenWith((await render("--role", "reader")).stdout));
      await expect(api.nodes()).resolves.toMatchObject({ value: [{ node: "contract-1" }] });
      await expect(api.kvList("ibrl/v1/")).resolves.not.toThrow();
      for (const name of ["registering", "writing a key", "firing an event"]) {
        const [, call] = refusals.find(([what]) => what === name) ?? [];
        await expect(call?.(api)).rejects.toMatchObject({ code: "permission" });
      }
    }, 60_000);

    it.each([
      [["--role", "sidecar"], "the policy takes the name of a node"],
      [["--node", 'x" {'], "is no name of a node"],
      [["--node", "x", "--datacenter", "a/b"], "is no name of a datacenter"],
    ])("ask for names: %j exits 2", async (args, message) => {
      const { code, stdout, stderr } = await render(...args);
      expect({ code, stdout, stderr: stderr.replace(/\s+(›\s+)?/g, " ") }).toEqual({ code: 2, stdout: "", stderr: expect.stringContaining(message) });
    });
  });

  describe("from a file", () => {
    const rules = 'key_prefix "ibrl/" { policy = "write" }';
    const path = () => join(one.folder, `token-${serial}`);

    it("is read, with its newline, and wins over CONSUL_HTTP_TOKEN", async () => {
      const file = path();
      await writeFile(file, `${await tokenWith(rules)}\n`);
      const api = one.connect({ CONSUL_HTTP_TOKEN: randomUUID(), CONSUL_HTTP_TOKEN_FILE: file });
      await expect(api.kvPut("ibrl/file", "1")).resolves.toBe(true);
    });

    it("leaves the word to CONSUL_HTTP_TOKEN where it is empty", async () => {
      const file = path();
      await writeFile(file, "\n");
      const api = one.connect({ CONSUL_HTTP_TOKEN: MANAGEMENT, CONSUL_HTTP_TOKEN_FILE: file });
      await expect(api.kvPut("ibrl/file", "2")).resolves.toBe(true);
    });

    it("is read again when it is replaced, and kept while it is gone", async () => {
      const file = path();
      const [weak, strong] = [await tokenWith('key_prefix "other/" { policy = "read" }'), await tokenWith(rules)];
      await writeFile(file, weak);
      const api = one.connect({ CONSUL_HTTP_TOKEN_FILE: file });
      await expect(api.kvPut("ibrl/file", "3")).rejects.toMatchObject({ code: "permission" });
      await writeFile(`${file}.new`, strong);
      await rename(`${file}.new`, file);
      await expect(api.kvPut("ibrl/file", "4")).resolves.toBe(true);
      await rename(file, `${file}.gone`);
      await expect(api.kvPut("ibrl/file", "5")).resolves.toBe(true);
    });

    it("is named where it cannot be read, and used once it is there", async () => {
      const file = join(one.folder, "later");
      const api = one.connect({ CONSUL_HTTP_TOKEN_FILE: file });
      await expect(api.self()).rejects.toMatchObject({ code: "permission", message: expect.stringContaining(`CONSUL_HTTP_TOKEN_FILE: cannot read ${file} (ENOENT)`) });
      await writeFile(file, MANAGEMENT);
      await expect(api.self()).resolves.toMatchObject({ nodeName: "contract-1" });
    });

    it("is named where it holds something else, which is not repeated", async () => {
      const file = join(one.folder, "odd");
      await writeFile(file, "two words");
      const error = await one.connect({ CONSUL_HTTP_TOKEN_FILE: file }).self().catch((reason: unknown) => reason);
      expect(error).toMatchObject({ code: "permission", message: expect.stringContaining("CONSUL_HTTP_TOKEN_FILE") });
      expect(String(error)).not.toContain("two words");
    });
  });
});
