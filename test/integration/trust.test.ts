/**
 * The three modes on one real cluster: node-1 believes the operator's list, node-2 pins, node-3 is open. What operators do
 * is done by the commands; what attackers do, by hand in KV. A pin rewritten to another key: pins.test.ts.
 */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { allowListKey, pinKey } from "../../src/beacon/documents.js";
import type { LocalCluster, LocalNode } from "../../src/dev/local-cluster.js";
import { builtProject, type Finished, runCli } from "../harness/built-cli.js";
import { eventually, policyOf, runsSecured, SHIPPED_RULES, startTestCluster, stopTestCluster } from "../harness/cluster.js";
import { listed, listedNode, metric, sidecarOf } from "../harness/observe.js";
import { deleteByHand, kvText, putByHand } from "../harness/tampering.js";

/** Pins are read with each heartbeat, some 6 s here; the list when it changes. */
const WITHIN = { timeoutMs: 60_000 };
const LIST = allowListKey("dc1");
let folder: string;
let keyFile: string;
let operatorKey: string;
let cluster: LocalCluster;
let byList: LocalNode;
let byPins: LocalNode;
let open: LocalNode;

const run = (...args: string[]): Promise<Finished> => runCli(args, cluster.environment());
async function succeeds<T>(...args: string[]): Promise<T> {
  const { code, stdout, stderr } = await run(...args, "--json");
  expect({ code, stdout: code === 0 ? "" : stdout, stderr: code === 0 ? "" : stderr }).toEqual({ code: 0, stdout: "", stderr: "" });
  return JSON.parse(stdout) as T;
}
const allow = (...args: string[]) => succeeds<{ serial: number; changes: { node: string; before: string | null; after: string | null }[] }>("trust", "allow", "--key-file", keyFile, ...args);
/** Node name to trust, as the node's sidecar serves it. */
const seenBy = async (node: LocalNode): Promise<Record<string, string>> => Object.fromEntries((await listed(sidecarOf(node))).map(({ node: { name }, trust }) => [name, trust]));
const showsBeacon = async (reader: LocalNode, name: string): Promise<boolean> => (await listedNode(sidecarOf(reader), name)).beacon !== undefined;
const strictFromConsul = () => run("cluster", "metrics", "--strict", "--consul", "--trust-mode=allow-list", `--operator-key=${keyFile}.pub`);

beforeAll(async () => {
  builtProject();
  folder = mkdtempSync(join(tmpdir(), "ibrl-operator-"));
  keyFile = join(folder, "operator.pem");
  const made = await runCli(["trust", "allow", "--new-key", "--key-file", keyFile, "--json"]);
  ({ operatorKey } = JSON.parse(made.stdout) as { operatorKey: string });
  const modes = [["--trust-mode=allow-list", `--operator-key=${operatorKey}`], [], ["--trust-mode=open"]];
  cluster = await startTestCluster({ sidecarArgs: (index) => ["--beat=2s", "--heartbeat-min=6s", ...(modes[index] ?? [])], ...(runsSecured && { secured: { ...SHIPPED_RULES, reader: policyOf("operator") } }) });
  [byList, byPins, open] = cluster.nodes as [LocalNode, LocalNode, LocalNode];
  await eventually(async () => expect(await seenBy(byPins)).toEqual({ "node-1": "pinned", "node-2": "pinned", "node-3": "pinned" }), WITHIN);
}, 240_000);
afterAll(async () => {
  await stopTestCluster(cluster);
  rmSync(folder, { recursive: true, force: true });
}, 60_000);

test("without a list the allow-list reader believes nobody, and the open one shows all and believes nobody", async () => {
  await eventually(async () => {
    expect(await seenBy(byList)).toEqual({ "node-1": "unlisted", "node-2": "unlisted", "node-3": "unlisted" });
    expect(await seenBy(open)).toEqual({ "node-1": "unverified", "node-2": "unverified", "node-3": "unverified" });
  }, WITHIN);
  const asked = await run("cluster", "metrics", `--grpc-addr=${sidecarOf(open).grpcAddr}`);
  expect(asked.stdout.match(/Beacon ID: +[0-9a-f]{16} \(unverified\)\n/g)).toHaveLength(3);
  expect(asked.stderr).toContain("warning: node-1: unverified: open mode");
  for (const { beacon } of await listed(sidecarOf(open))) expect(beacon).toBeUndefined(); // the ancestor's clients know no label
  expect(await metric(sidecarOf(open), "hypercore_ibrl_trust_mode", { mode: "open" })).toBe(1);
}, 90_000);

test("allowed nodes are believed, and a sidecar that is not on the list is not, until it is allowed by the command", async () => {
  const { changes } = await allow("node-1", "node-2");
  expect(changes.map(({ node, before }) => [node, before])).toEqual([["node-1", null], ["node-2", null]]);
  await eventually(async () => expect(await seenBy(byList)).toEqual({ "node-1": "pinned", "node-2": "pinned", "node-3": "unlisted" }), WITHIN);
  expect([await showsBeacon(byList, "node-2"), await showsBeacon(byList, "node-3")]).toEqual([true, false]);
  const strict = await strictFromConsul();
  expect(strict).toMatchObject({ code: 3, stderr: expect.stringMatching(/warning: node-3: unlisted: node-3 is not on the allow-list, serial 1\n--strict: verification failed for node-3\n$/) });

  const text = await run("trust", "allow", "node-3", "--key-file", keyFile);
  expect(text).toMatchObject({ code: 0, stderr: "", stdout: expect.stringMatching(/^Allow-list of dc1, serial 2, .*\n {2}\+ node-3 {2}beacon ID [0-9a-f]{16} {2}key [0-9a-f]{64}\n3 nodes are on it\. Written to /) });
  await eventually(async () => expect(await seenBy(byList)).toMatchObject({ "node-3": "pinned" }), WITHIN);
  expect((await strictFromConsul()).code).toBe(0);
  await eventually(async () => expect(await metric(sidecarOf(byList), "hypercore_ibrl_allow_list_serial")).toBe(2));
}, 120_000);

test("an older list that is put back in KV does not count for who has seen the newer, nor after a restart", async () => {
  const newest = await kvText(byList.consul, LIST);
  await allow("--remove=node-3");
  await eventually(async () => expect(await seenBy(byList)).toMatchObject({ "node-3": "unlisted" }), WITHIN);
  await putByHand(byList.consul, LIST, newest);
  const refused = (): boolean => sidecarOf(byList).logTail(400).split("\n").some((line) => line.includes("allow-list refused") && line.includes("superseded"));
  await eventually(refused, WITHIN);
  await sidecarOf(byList).restart();
  await eventually(async () => expect(await seenBy(byList)).toEqual({ "node-1": "pinned", "node-2": "pinned", "node-3": "unlisted" }), WITHIN);
  // The operator is not fooled either: the list that was signed last is what is edited.
  const { serial, changes } = await allow("node-3");
  expect({ serial, changed: changes.map(({ node }) => node) }).toEqual({ serial: 4, changed: ["node-3"] });
  await eventually(async () => expect(await seenBy(byList)).toMatchObject({ "node-3": "pinned" }), WITHIN);
}, 150_000);

test("a pin deleted by hand comes back where its node runs, and is a conflict where it does not", async () => {
  const pin = await kvText(byPins.consul, pinKey("dc1", "node-1"));
  await deleteByHand(byPins.consul, pinKey("dc1", "node-1"));
  await eventually(async () => expect(await kvText(byPins.consul, pinKey("dc1", "node-1"))).toBe(pin), WITHIN);

  sidecarOf(open).kill();
  await sidecarOf(open).exited;
  await deleteByHand(byPins.consul, pinKey("dc1", "node-3"));
  await eventually(async () => expect(await seenBy(byPins)).toMatchObject({ "node-1": "pinned", "node-3": "pin-conflict" }), WITHIN);
  expect(await showsBeacon(byPins, "node-3")).toBe(false);
  const shown = await succeeds<Record<string, unknown>>("trust", "show", "node-3", `--grpc-addr=${sidecarOf(byPins).grpcAddr}`);
  expect(shown).toMatchObject({ node: { trust: "pin-conflict", detail: expect.stringMatching(/gone from KV/) }, pin: { publicKey: null }, list: { serial: 4, signedBy: operatorKey } });
}, 120_000);

test("a node that lost its key: unpinned where it was seen, allowed again, and believed by its new key", async () => {
  const unpin = ["trust", "unpin", "node-3", "--only-here"];
  expect(await succeeds(...unpin, `--state-dir=${sidecarOf(byPins).stateFolder}`)).toMatchObject({ kv: null, host: { before: expect.stringMatching(/^[0-9a-f]{64}$/) } });
  await sidecarOf(open).restart({ wipe: true });
  await eventually(async () => expect(await seenBy(byPins)).toMatchObject({ "node-3": "pinned" }), WITHIN);
  // The record by the listed key stands at node-1 until it ends; who reads now meets the new key alone.
  await eventually(async () => expect(await strictFromConsul()).toMatchObject({ code: 3, stderr: expect.stringMatching(/node-3: pin-conflict/) }), WITHIN);
  const newKey = (JSON.parse(await kvText(byPins.consul, pinKey("dc1", "node-3"))) as { publicKey: string }).publicKey;
  const { changes } = await allow("node-3");
  expect(changes).toEqual([{ node: "node-3", before: expect.stringMatching(/^[0-9a-f]{64}$/), after: newKey }]);
  await eventually(async () => {
    const { nodes } = await succeeds<{ nodes: { node: string; trust: string; publicKey: string }[] }>("trust", "list");
    expect(nodes.map(({ node, trust }) => [node, trust])).toEqual([["node-1", "pinned"], ["node-2", "pinned"], ["node-3", "pinned"]]);
    expect(nodes[2]?.publicKey).toBe(newKey);
  }, WITHIN);
}, 150_000);
