/**
 * IBRL on a Consul as operators run it: ACLs that deny by default, TLS both ways, encrypted gossip, and for each sidecar
 * a token with the policy of nomad/acl/. Fault test 7: each rule missing in turn, the token revoked, expired, replaced.
 */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import type { LocalCluster, LocalNode } from "../../src/dev/local-cluster.js";
import { builtProject, type Finished, runCli } from "../harness/built-cli.js";
import { eventually, SHIPPED_RULES, startTestCluster, stopTestCluster } from "../harness/cluster.js";
import { listed, metric, sidecarOf } from "../harness/observe.js";
import { makeToken, refusals, replaceTokenFile, revoke, rulesOf, setRules } from "../harness/secured.js";

const WITHIN = { timeoutMs: 60_000 };
const NAMES = ["node-1", "node-2", "node-3", "node-4", "node-5"];
/** Rules are taken from the first three; this one looks on, and the last one's token expires. */
const ONLOOKER = 3;
const EXPIRING = 4;
let cluster: LocalCluster;

beforeAll(async () => {
  builtProject();
  cluster = await startTestCluster({
    nodes: 5,
    secured: SHIPPED_RULES,
    // Agents hold tokens and policies for 30 s unless told: a missing rule is to be seen sooner.
    consulConfig: () => ({ acl: { token_ttl: "1s", policy_ttl: "1s" } }),
    sidecarArgs: () => ["--beat=1s", "--heartbeat-min=3s", "--validity-min=300s"],
  });
  // A minute is Consul's least: by the last test it is over.
  await replaceTokenFile(cluster, nodeAt(EXPIRING), (await makeToken(cluster, nodeAt(EXPIRING), "60s")).SecretID);
}, 240_000);
afterAll(() => stopTestCluster(cluster), 60_000);

function nodeAt(index: number): LocalNode {
  const node = cluster.nodes[index];
  if (node === undefined) throw new RangeError(`no node ${String(index)}`);
  return node;
}

const cli = (env: Record<string, string>, ...args: string[]): Promise<Finished> => runCli(["cluster", "metrics", "--strict", "--json", ...args], env);
const verified = ({ stdout }: Finished): string[] =>
  (JSON.parse(stdout) as { nodes: { node: string; verified: boolean }[] }).nodes.filter((node) => node.verified).map(({ node }) => node);

/** Also asks for the listing, which is what reads nodes and states. */
async function believed(by: LocalNode): Promise<string[]> {
  return (await listed(sidecarOf(by))).filter(({ trust, beacon }) => trust === "pinned" && beacon !== undefined).map(({ node }) => node.name);
}

describe("the listing works whole", () => {
  test("every sidecar believes every node: catalog, KV and events", async () => {
    await eventually(async () => {
      for (const node of cluster.nodes) {
        const states = await listed(sidecarOf(node));
        expect(states.map((state) => [state.node.name, state.trust, state.alive, state.sealed_state !== undefined])).toEqual(NAMES.map((name) => [name, "pinned", true, true]));
        expect(await metric(sidecarOf(node), "hypercore_ibrl_records_accepted_total", { carrier: "event" })).toBeGreaterThan(0);
        expect(refusals(node)).toEqual({});
      }
    }, WITHIN);
  });

  test("the command line reads it from a sidecar, and from Consul with the reader's token and the certificates", async () => {
    for (const source of [[], ["--consul"]]) {
      const result = await cli(cluster.environment(), ...source);
      expect({ code: result.code, stderr: result.stderr, verified: verified(result) }).toEqual({ code: 0, stderr: "", verified: NAMES });
    }
  });

  test.each([
    ["the token", "CONSUL_HTTP_TOKEN_FILE", "permission", /agent:read/],
    ["the authority", "CONSUL_CACERT", "unreachable", /certificate/],
    ["the client's certificate", "CONSUL_CLIENT_CERT", "usage", /CONSUL_CLIENT_CERT/],
  ])("without %s it says so", async (_, variable, code, message) => {
    const { [variable]: _taken, ...env } = cluster.environment();
    const { stdout } = await cli(env, "--consul");
    expect(JSON.parse(stdout)).toMatchObject({ error: { code, message: expect.stringMatching(message) } });
  });
});

const PLANES = ["check", "service", "kv", "event"] as const;

interface Missing {
  /** How the rule begins. */
  rule: string;
  at: number;
  /** All that the sidecar says it is refused. */
  refused: Record<string, string>;
  /** Planes that go on being written. */
  goOn: readonly (typeof PLANES)[number][];
  /** A pin is written when a sidecar joins. */
  atJoin?: true;
}

/** Each rule once; three at a time, each at another node. Rotations have no caller yet. */
const ROUNDS: Missing[][] = [
  [
    { rule: 'agent "node-2"', at: 1, refused: { consul: 'agent:read on "node-2"' }, goOn: PLANES },
    {
      rule: 'node_prefix ""', at: 0, goOn: PLANES,
      refused: { "consul catalog": 'node:read, or service:read on "ibrl-beacon"', "consul listing": "node:read" },
    },
    {
      rule: 'service "ibrl-beacon"', at: 2, goOn: ["kv", "event"],
      refused: {
        "plane service": 'service:write on "ibrl-beacon"',
        "plane check": 'service:write on "ibrl-beacon"',
        "consul catalog": 'node:read, or service:read on "ibrl-beacon"',
      },
    },
  ],
  [
    {
      rule: 'key_prefix "ibrl/v1/" ', at: 0, goOn: PLANES,
      refused: { "consul pins": 'key:list on "ibrl/v1/pins/dc1/"', "consul listing": 'key:list on "ibrl/v1/nodes/"' },
    },
    { rule: 'key_prefix "ibrl/v1/nodes/', at: 1, refused: { "plane kv": 'key:write on "ibrl/v1/nodes/node-2/state"' }, goOn: ["check", "service", "event"] },
    { rule: 'event "ibrl"', at: 2, refused: { "plane event": 'event:write on "ibrl"' }, goOn: ["check", "service", "kv"] },
  ],
  [{ rule: 'key "ibrl/v1/pins/', at: 1, refused: { "plane pin": 'key:write on "ibrl/v1/pins/dc1/node-2"' }, goOn: PLANES, atJoin: true }],
];

// What work that is carried needs, of which there is none here, test/contract/consul-acl.test.ts has.
test("the rounds have every rule of the policy once, but for those that carried work and a rotation of the key need", () => {
  const covered = ROUNDS.flat().map(({ rule, at }) => rulesOf(nodeAt(at).name).findIndex((line) => line.startsWith(rule)));
  const uncovered = rulesOf("node-2").filter((_, i) => !covered.includes(i));
  expect(uncovered).toEqual([expect.stringContaining("ibrl/v1/usage/"), expect.stringContaining("ibrl/v1/rotations/")]);
  expect(new Set(covered).size).toBe(covered.length);
});

const writes = (node: LocalNode) => Promise.all(PLANES.map(async (plane) => [plane, (await metric(sidecarOf(node), "hypercore_ibrl_plane_writes_total", { plane })) ?? 0] as const));

describe.each(ROUNDS.map((rows) => ({ rows })))("fault test 7: rules missing", ({ rows }) => {
  beforeAll(async () => {
    for (const { rule, at, atJoin } of rows) {
      await setRules(cluster, nodeAt(at), rulesOf(nodeAt(at).name).filter((line) => !line.startsWith(rule)));
      if (atJoin) await sidecarOf(nodeAt(at)).restart();
    }
  }, 120_000);

  test.each(rows)("$rule: the error names the permission, and the rest goes on", async ({ at, refused, goOn }) => {
    const node = nodeAt(at);
    await eventually(async () => {
      await believed(node);
      // The prober reads the same states, at a time of its own.
      const { "consul states for probing": _, ...said } = refusals(node);
      expect(said).toEqual(refused);
    }, WITHIN);
    const before = new Map(await writes(node));
    await eventually(async () => {
      for (const [plane, count] of await writes(node)) if (goOn.includes(plane)) expect([plane, count > (before.get(plane) ?? Infinity)]).toEqual([plane, true]);
    }, WITHIN);
    // What it reads no more it still knows, and its peers still believe it.
    expect(await believed(node)).toEqual(NAMES);
    expect(await believed(nodeAt(ONLOOKER))).toEqual(NAMES);
  }, 150_000);

  describe("put back", () => {
    beforeAll(async () => {
      for (const { at } of rows) await setRules(cluster, nodeAt(at), rulesOf(nodeAt(at).name));
    });

    test.each(rows)("$rule: it recovers without a restart", async ({ at }) => {
      const node = nodeAt(at);
      const { pid } = sidecarOf(node);
      await eventually(async () => {
        await believed(node);
        expect(refusals(node)).toEqual({});
      }, WITHIN);
      expect(sidecarOf(node).pid).toBe(pid);
    }, 90_000);
  });
});

describe("fault test 7: the token", () => {
  const UNKNOWN = expect.stringContaining("does not know the ACL token");
  /** Every plane and every read is refused, and none of them says more than that the token is gone. */
  async function refusedAltogether(node: LocalNode): Promise<void> {
    await eventually(async () => {
      await believed(node);
      const said = refusals(node);
      expect(said).toMatchObject({ consul: UNKNOWN, "plane check": UNKNOWN, "plane kv": UNKNOWN, "plane event": UNKNOWN });
      expect(Object.values(said)).toEqual(Object.values(said).map(() => UNKNOWN));
    }, { timeoutMs: 120_000 });
    expect(sidecarOf(node).running).toBe(true);
    expect(await believed(node)).toEqual(NAMES);
  }
  async function recovered(node: LocalNode): Promise<void> {
    await eventually(async () => {
      await believed(node);
      expect(refusals(node)).toEqual({});
      expect((await listed(sidecarOf(nodeAt(0)))).find((state) => state.node.name === node.name)).toMatchObject({ trust: "pinned", alive: true, beacon: {} });
    }, WITHIN);
  }

  test("replaced in its file it is used at once; revoked it is named as unknown; a new one in the file, and all is well", async () => {
    const node = nodeAt(1);
    const made = await makeToken(cluster, node);
    await replaceTokenFile(cluster, node, made.SecretID);
    await recovered(node);
    await revoke(cluster, made); // missed only if it is the one in use
    await refusedAltogether(node);
    await replaceTokenFile(cluster, node, (await makeToken(cluster, node)).SecretID);
    await recovered(node);
    expect(await sidecarOf(node).getText("/metrics")).not.toContain(made.SecretID);
    expect(sidecarOf(node).logTail(100_000)).not.toContain(made.SecretID);
  }, 240_000);

  test("expired it is the same", async () => {
    const node = nodeAt(EXPIRING);
    await refusedAltogether(node);
    await replaceTokenFile(cluster, node, (await makeToken(cluster, node)).SecretID);
    await recovered(node);
  }, 240_000);
});

test("no secret of a sidecar is in its log, its command line, what it serves, or what the commands print", async () => {
  const node = nodeAt(ONLOOKER);
  const { stateFolder, apiTokenFile, pid } = sidecarOf(node);
  const env: Record<string, string> = { ...cluster.environment(ONLOOKER), IBRL_STATE_DIR: stateFolder };
  const files = [cluster.security?.tokenFile(node.name) ?? "", apiTokenFile, join(stateFolder, "identity.pem"), join(stateFolder, "probe.key"), env["CONSUL_HTTP_TOKEN_FILE"] ?? ""];
  // Of PEM files the key itself, without what every key begins with.
  const secrets = files.map((file) => readFileSync(file, "utf8").trim().split("\n").filter((line) => !line.startsWith("-----")).join("").slice(-32));
  expect(secrets.filter((secret) => secret.length < 32)).toEqual([]);
  const commands = [["cluster", "metrics"], ["cluster", "list"], ["cluster", "links"], ["trust", "list"], ["trust", "show", node.name], ["trust", "attest"], ["identity", "show"], ["proof", "list"]];
  const printed = await Promise.all(commands.map(async (args) => {
    const { code, stdout, stderr } = await runCli([...args, "--json"], env);
    expect({ args, code, stderr }).toMatchObject({ args, code: 0 });
    return stdout + stderr;
  }));
  const seen = {
    log: sidecarOf(node).logTail(1_000_000),
    processTitle: readFileSync(`/proc/${String(pid)}/cmdline`, "utf8"),
    metrics: await sidecarOf(node).getText("/metrics"),
    listing: JSON.stringify(await listed(sidecarOf(node))),
    commands: printed.join(),
  };
  for (const [where, text] of Object.entries(seen)) {
    expect(text).not.toBe("");
    expect({ where, found: secrets.filter((secret) => text.includes(secret)).length }).toEqual({ where, found: 0 });
  }
}, 90_000);
