/** NodeViews to candidates: facts of verified records only, with their hashes; links, copies and disputes of the cluster. */
import type { SignedLinkHalf } from "../../src/beacon/record.js";
import { candidatesOf } from "../../src/policy/candidates.js";
import { decide } from "../../src/policy/decide.js";
import type { Needs } from "../../src/policy/needs.js";
import { evaluator } from "../harness/candidates.js";
import { bareView, fullView } from "../harness/node-views.js";
import { identity, NOW_MS, verifiedState, workload } from "../harness/records.js";

const NOTHING: Needs = { targets: [], copies: [], disputedLinks: false };
const at = { nowMs: NOW_MS };
const keyOf = (key: number) => Buffer.from(identity(key).publicKey).toString("hex");

function half(peer: number, p50Us: number): SignedLinkHalf {
  return {
    peerKey: keyOf(peer), peer: `node-${String(peer)}`, startMs: NOW_MS - 60_000, endMs: NOW_MS - 1_000, sent: 100, received: 99,
    rtt: { minUs: p50Us, p50Us, p95Us: p50Us, p99Us: p50Us }, duplicates: 0, reordered: 0, longestBurst: 1,
  };
}

/** A view whose state has these links, and one running allocation of each of these jobs. */
function view(key: number, { links = [], jobs = [], datacenter = "dc1" }: { links?: SignedLinkHalf[]; jobs?: string[]; datacenter?: string } = {}) {
  const node = `node-${String(key)}`;
  const workloads = jobs.map((job, i) => ({ ...workload(i), job }));
  return fullView({ name: node, key, view: { datacenter, state: verifiedState({ node, links, workloads }, identity(key)) } });
}

test("a believed node's facts are its records', with their hashes", () => {
  const node = fullView({ without: ["jitterUs"] });
  expect(candidatesOf([node], NOTHING, at)).toEqual([{
    node: "node-1", nodeId: node.id, address: node.address, datacenter: "dc1", trust: "pinned", alive: true,
    publicKey: keyOf(1), beaconHash: node.beacon?.hash, stateHash: node.state?.hash,
    latencyUs: 12_350, latencyEstimated: false, jitterUs: undefined, lossPpm: 0, queueDepth: 3, priceMicroUsdPerGb: 10_000,
    reputationPpm: 1_000_000, declaredReputationPpm: 1_000_000, capabilities: ["container", "vm"], workloads: 2, disputedLinks: undefined, links: [], copies: [],
  }]);
});

test.each([bareView("node-9"), fullView({ name: "node-9", view: { trust: "pin-conflict" } })])("a node that is not believed has no facts, whatever its view holds (%#)", (node) => {
  const [candidate] = candidatesOf([node], NOTHING, at);
  const { latencyUs, queueDepth, priceMicroUsdPerGb, reputationPpm, declaredReputationPpm, capabilities, beaconHash, publicKey } = candidate ?? {};
  expect([latencyUs, queueDepth, priceMicroUsdPerGb, reputationPpm, declaredReputationPpm, capabilities, beaconHash, publicKey]).toEqual(Array(8).fill(undefined));
});

test("links lead to a node or to the nearest node of a service; the node itself is at 0, an unprobed one unknown", () => {
  const nodes = [view(1), view(2), view(3, { links: [half(1, 4_000), half(2, 1_000)] }), view(4)];
  const needs: Needs = { ...NOTHING, targets: [{ node: "node-1" }, { service: "db" }, { service: "nowhere" }] };
  const [first, , third, fourth] = candidatesOf(nodes, needs, { ...at, services: new Map([["db", ["node-1", "node-2"]]]) });
  expect(first?.links[0]).toEqual({ state: "here", latencyUs: 0, lossPpm: 0 });
  expect(third?.links).toEqual([
    { state: "unconfirmed", latencyUs: 4_000, lossPpm: 10_000 },
    { state: "unconfirmed", latencyUs: 1_000, lossPpm: 10_000 },
    { state: "unknown", latencyUs: undefined, lossPpm: undefined },
  ]);
  expect(fourth?.links[0]).toMatchObject({ state: "unknown", latencyUs: undefined });
});

test("two ends that contradict each other are one dispute of each", () => {
  const nodes = [view(1, { links: [half(2, 1_000)] }), view(2, { links: [half(1, 9_000)] }), view(3)];
  expect(candidatesOf(nodes, { ...NOTHING, disputedLinks: true }, at).map(({ disputedLinks }) => disputedLinks)).toEqual([1, 1, 0]);
});

test("copies are counted on the node, in its datacenter, or within a distance", () => {
  const nodes = [view(1, { jobs: ["web-1", "db"] }), view(2, { jobs: ["web-2"], links: [half(1, 1_000), half(3, 1_000)] }), view(3, { links: [half(1, 9_000)] }), view(4, { jobs: ["web-1"], datacenter: "dc2" }), fullView({ name: "node-5", key: 5, workloads: null })];
  const needs: Needs = { ...NOTHING, copies: [{ by: "node", jobs: ["web-*"] }, { by: "datacenter", jobs: ["web-*"] }, { by: "link", nearerThanUs: 2_000, jobs: ["db"] }] };
  expect(candidatesOf(nodes, needs, at).map(({ copies }) => copies)).toEqual([[1, 2, 1], [1, 2, 1], [0, 2, 0], [1, 1, undefined], [undefined, undefined, undefined]]);
});

test("decide: from NodeViews to the best node, near its data and away from its own copies", async () => {
  const nodes = [view(1, { jobs: ["db"] }), view(2, { links: [half(1, 1_000)], jobs: ["web"] }), view(3, { links: [half(1, 3_000)] }), view(4, { links: [half(1, 9_000)] })];
  const spawn = evaluator({ rules: { links: [{ service: "postgres", max_latency_ms: 5 }], anti_affinity: {} }, scoring: { link_weight: 1 } });
  const decision = await decide({ nodes, policies: { spawn }, nowMs: NOW_MS, request: { job: "web" }, services: new Map([["postgres", ["node-1"]]]) });
  expect(decision.all().map(({ candidate: { node }, place }) => [node, place])).toEqual([["node-1", 1], ["node-3", 2], ["node-2", undefined], ["node-4", undefined]].sort(byPlaceThenKey(nodes)));
});

/** The excluded go by key, which is not the order of the names. */
function byPlaceThenKey(nodes: ReturnType<typeof view>[]) {
  const key = (name: unknown) => nodes.find((node) => node.name === name)?.beacon?.key.hex ?? "";
  return ([a, placeA]: unknown[], [b, placeB]: unknown[]) => Number(placeA ?? 99) - Number(placeB ?? 99) || (key(a) < key(b) ? -1 : 1);
}
