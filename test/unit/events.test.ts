/** Events.Dispatch over real gRPC: POLICY_QUERY from what was signed, and a status for all that is not answered. */
import { createHash } from "node:crypto";
import { pino } from "pino";
import type { NodeView } from "../../src/beacon/node-view.js";
import { checkAttestation } from "../../src/beacon/attestation.js";
import { KeyAdmission } from "../../src/beacon/keys.js";
import { decide } from "../../src/policy/decide.js";
import { sealDecision } from "../../src/policy/decision-document.js";
import { cluster, ibrl } from "../../src/proto/messages.js";
import { ApiError } from "../../src/sidecar/api/api-error.js";
import { callSidecar } from "../../src/sidecar/api/client.js";
import { beaconAttestEvent, policyQueryEvent, proofVerifyEvent } from "../../src/sidecar/api/grpc-events.js";
import { GrpcApi } from "../../src/sidecar/api/grpc-server.js";
import { EventsDefinition } from "../../src/sidecar/api/service-definition.js";
import { Attestor } from "../../src/sidecar/attestor.js";
import { registryHash } from "../../src/beacon/registry-hash.js";
import { ProofChecks } from "../../src/sidecar/proof-checks.js";
import { PolicyQueries } from "../../src/sidecar/policy-queries.js";
import { evaluator } from "../harness/candidates.js";
import { bareView, fullView } from "../harness/node-views.js";
import { context, identity, NOW_MS, verifiedBeacon, verifiedState, workload } from "../harness/records.js";
import { someGuard } from "../harness/some-guard.js";
import { someWorkloads } from "../harness/some-workloads.js";

const { BeaconAttestation, ClusterEvent, PolicyContext, PolicyQuery, ProofVerification } = cluster.services.api;
const keys = new KeyAdmission();
const logger = pino({ level: "silent" });
const OWN = { id: "base@0123456789abcdef", tags: ["eu"], enforcement: "enforce" } as const;
const THEIRS = { ...OWN, id: "other@0123456789abcdef" };
const spawnPolicy = evaluator({ name: "near", mode: "permissive", tags: ["fast"] });
const kept = new Map<string, Uint8Array>();
const attested = verifiedState({ node: "node-1", workloads: [workload(3)] }, identity(1));
let own: typeof OWN | undefined = OWN;
let api: GrpcApi;
let address: string;

/** node-1 runs one job by two decisions, one after the other. */
async function nodes() {
  const plain = fullView({ name: "node-1", key: 1 });
  const made = async (policies: Parameters<typeof decide>[0]["policies"], second: number) =>
    sealDecision(await decide({ nodes: [plain], policies, nowMs: NOW_MS + second }), { node: "node-1", datacenter: "dc1" }, identity(1), keys);
  const [first, last] = [await made({ spawn: evaluator({ name: "old" }) }, 0), await made({ cluster: evaluator({ name: "base" }), spawn: spawnPolicy }, 1)];
  for (const { id, document } of [first, last]) if (!kept.has(id)) kept.set(id, Buffer.from(document));
  const by = (decisionId: string, generation: number) => ({ requestId: "r", decisionId, generation, imageRef: "i", cores: 1, memoryMb: 1, ports: [], allowOverlap: false });
  const workloads = [{ ...workload(1), job: "ibrl-1", source: by(last.id, 2) }, { ...workload(2), job: "ibrl-1", source: by(first.id, 1) }, workload(3), { ...workload(4), job: "proved", proof: { hash: "c0".repeat(32), signature: "ab".repeat(64), issuedAtMs: NOW_MS, driver: "exec", totals: { watchedMs: 1, gapMs: 0, restarts: 0 } } }];
  return [{ ...plain, state: verifiedState({ node: "node-1", policy: THEIRS, workloads }, identity(1)) }, bareView("node-2")];
}

beforeAll(async () => {
  const views = await nodes();
  const attestor = new Attestor({ sealed: () => ({ beacon: verifiedBeacon({ node: "node-1" }), state: attested }), identity: identity(1), clock: { nowMs: () => NOW_MS, monoMs: () => 0 }, onSigned: () => {} });
  const queries = new PolicyQueries({ own: () => own, nodes: async () => views, stored: { decision: async (id) => kept.get(id) }, keys });
  api = new GrpcApi({
    bind: { host: "127.0.0.1", port: 0 }, insecureBind: false, guard: someGuard(), reader: { list: async () => views }, workloads: someWorkloads(), logger,
    events: new Map([beaconAttestEvent(attestor), policyQueryEvent(queries), proofVerifyEvent(new ProofChecks(async () => views, { monoMs: () => 0 }, () => {}))]),
  });
  address = `127.0.0.1:${String((await api.start()).port)}`;
});
afterAll(() => api.close(100));

function dispatch(message: cluster.services.api.ClusterMessage.$Properties) {
  return callSidecar(EventsDefinition.Dispatch, message, { address });
}
const anyOf = (type: string, value: Uint8Array) => ({ type_url: `type.googleapis.com/cluster.services.api.${type}`, value });
async function query(asked: cluster.services.api.PolicyQuery.$Properties) {
  const { event, wrappedMessage } = await dispatch({ event: ClusterEvent.POLICY_QUERY, wrappedMessage: anyOf("PolicyQuery", PolicyQuery.encode(asked).finish()) });
  expect({ event, type: wrappedMessage?.type_url }).toEqual({ event: ClusterEvent.POLICY_QUERY, type: "type.googleapis.com/cluster.services.api.PolicyContext" });
  const { policy_id: id, tags, enforcement_level: enforcement } = PolicyContext.decode(wrappedMessage?.value ?? new Uint8Array());
  return { id, tags, enforcement };
}

test("a query is answered with the sidecar's own policy, a node's as it signs it, and a workload's as its last decision has it", async () => {
  expect(await query({})).toEqual(OWN);
  expect(await query({ policy_type: "cluster", context: { node: "node-1" } })).toEqual(THEIRS);
  const near = { id: `near@${spawnPolicy.identity.hash.slice(0, 16)}`, tags: ["fast"], enforcement: "permissive" };
  for (const workload_id of ["ibrl-1", workload(1).id]) expect(await query({ workload_id })).toEqual(near);
  expect(await query({ workload_id: "ibrl-1", policy_type: "spawn" })).toEqual(near);
  expect(await query({ workload_id: "ibrl-1", policy_type: "cluster" })).toMatchObject({ id: expect.stringMatching(/^base@/) as string, enforcement: "enforce" });
  expect(await query({ workload_id: workload(2).id })).toMatchObject({ id: expect.stringMatching(/^old@/) as string });
});

test("what is not known is said so, and what is no question is refused", async () => {
  own = undefined;
  const refused: [cluster.services.api.PolicyQuery.$Properties, string, string][] = [
    [{}, "invalid", "has no cluster policy"],
    [{ context: { node: "node-2" } }, "invalid", "no node that this sidecar believes"],
    [{ workload_id: "ibrl-9" }, "invalid", "no workload"],
    [{ workload_id: workload(3).id }, "invalid", "no workload"],
    [{ workload_id: workload(2).id, policy_type: "cluster" }, "invalid", "has no cluster policy"],
    [{ policy_type: "rego" }, "invalid", "neither cluster nor spawn"],
    [{ policy_type: "spawn" }, "invalid", "workload_id is missing"],
  ];
  for (const [asked, code, message] of refused) await expect(query(asked)).rejects.toMatchObject({ code, message: expect.stringContaining(message) as string });
  own = OWN;
  for (const [id, value] of kept) kept.set(id, Buffer.from(Buffer.from(value).toString().replace('"chosen": "node-1"', '"chosen": "node-2"')));
  await expect(query({ workload_id: "ibrl-1" })).rejects.toMatchObject({ code: "protocol", message: expect.stringContaining("fails verification") as string });
});

async function attest(type: string, attestation_data: Uint8Array) {
  const { wrappedMessage } = await dispatch({ event: ClusterEvent.BEACON_ATTEST, wrappedMessage: anyOf("BeaconAttestation", BeaconAttestation.encode({ attestation_type: type, attestation_data }).finish()) });
  return BeaconAttestation.decode(wrappedMessage?.value ?? new Uint8Array());
}

test("BEACON_ATTEST is answered with a sealed attestation that repeats the nonce; what is no question is refused", async () => {
  const nonce = Buffer.alloc(32, 7);
  const { node_id, attestation_type, attestation_data } = await attest("WORKLOAD", ibrl.v1.AttestationRequest.encode({ nonce, workload: "web-3" }).finish());
  expect({ node_id, attestation_type }).toEqual({ node_id: attested.record.nodeId, attestation_type: "WORKLOAD" });
  const asked = { type: "WORKLOAD", nonce: nonce.toString("hex"), workload: "web-3" } as const;
  expect(checkAttestation(attestation_data, asked, context({ keys, node: "node-1" }), attested)).toMatchObject({ ok: true });
  await expect(attest("STATE_HASH", new Uint8Array())).rejects.toMatchObject({ code: "invalid", message: expect.stringContaining("nonce") as string });
  await expect(attest("STATE_HASH", Uint8Array.of(0x0a, 0xff))).rejects.toMatchObject({ code: "invalid", message: expect.stringContaining("is no AttestationRequest") as string });
  await expect(attest("WORKLOAD", ibrl.v1.AttestationRequest.encode({ nonce, workload: "db" }).finish())).rejects.toMatchObject({ message: expect.stringContaining('no workload "db"') as string });
});

test("other events, other types and other bytes are refused with what is answered", async () => {
  const wrong: [cluster.services.api.ClusterMessage.$Properties, string, string][] = [
    [{ event: ClusterEvent.SPAWN }, "unimplemented", "SPAWN is not answered here; what is: BEACON_ATTEST, POLICY_QUERY"],
    [{ event: 99 as never }, "unimplemented", "99 is not answered here"],
    [{ event: ClusterEvent.POLICY_QUERY }, "invalid", "it takes cluster.services.api.PolicyQuery"],
    [{ event: ClusterEvent.POLICY_QUERY, wrappedMessage: anyOf("PolicyContext", new Uint8Array()) }, "invalid", "it takes cluster.services.api.PolicyQuery"],
    [{ event: ClusterEvent.POLICY_QUERY, wrappedMessage: anyOf("PolicyQuery", Uint8Array.of(0x0a, 0xff)) }, "invalid", "is no PolicyQuery"],
  ];
  for (const [message, code, text] of wrong) {
    const error: unknown = await dispatch(message).catch((reason: unknown) => reason);
    expect(error).toBeInstanceOf(ApiError);
    expect(error).toMatchObject({ code, message: expect.stringContaining(text) as string });
  }
});

describe("PROOF_VERIFY", () => {
  const PROOF = { hash: "c0".repeat(32), signature: "ab".repeat(64), issuedAtMs: NOW_MS, driver: "exec", totals: { watchedMs: 1, gapMs: 0, restarts: 0 } };

  async function verify(asked: cluster.services.api.ProofVerification.$Properties) {
    const { wrappedMessage } = await dispatch({ event: ClusterEvent.PROOF_VERIFY, wrappedMessage: anyOf("ProofVerification", ProofVerification.encode(asked).finish()) });
    expect(wrappedMessage?.type_url).toBe("type.googleapis.com/cluster.services.api.ProofVerification");
    return ProofVerification.decode(wrappedMessage?.value ?? new Uint8Array());
  }

  test("true for the newest proof that the node signed, by allocation or job, and false for any other hash", async () => {
    const [first] = await nodes();
    for (const workload_id of [workload(4).id, "proved"]) {
      expect(await verify({ workload_id, proof_hash: PROOF.hash.toUpperCase() })).toMatchObject({ workload_id, verification_result: true, beacon_registry_hash: registryHash([first as NodeView]) });
      expect(await verify({ workload_id, proof_hash: "d1".repeat(32) })).toMatchObject({ verification_result: false });
    }
    expect(await verify({ workload_id: workload(3).id, proof_hash: PROOF.hash })).toMatchObject({ verification_result: false });
  });

  test.each([
    [{ workload_id: "gone", proof_hash: PROOF.hash }, "gone"],
    [{ workload_id: "", proof_hash: PROOF.hash }, "workload_id"],
    [{ workload_id: "proved", proof_hash: "c0" }, "proof_hash"],
  ])("%j is refused: %s", async (asked, message) => {
    await expect(verify(asked)).rejects.toMatchObject({ code: "invalid", message: expect.stringContaining(message) as string });
  });
});

test("the registry's hash is over the lines of who is believed, in whatever order they come, and what any shell computes", () => {
  const views = [fullView({ name: "node-2", key: 2 }), fullView({ name: "node-10", key: 3 }), { ...fullView({ name: "node-3", key: 4 }), trust: "pin-conflict" as const }, bareView("node-4")];
  const lines = views.slice(0, 2).map((view) => `${view.datacenter}/${view.name} ${view.beacon?.key.hex ?? ""}\n`).sort();
  const expected = createHash("sha256").update(lines.join("")).digest("hex");
  expect([registryHash(views), registryHash([...views].reverse())]).toEqual([expected, expected]);
});
