/** Candidates and policies for tests of the evaluation: plain facts, every value known unless it is taken out. */
import type { Candidate } from "../../src/policy/candidate.js";
import { CandidateTable } from "../../src/policy/candidate-table.js";
import { type Decision, decideAmong, type PlacementRequest, type Policies } from "../../src/policy/decide.js";
import { JsonEvaluator } from "../../src/policy/json-evaluator.js";
import { type Needs, needsOf } from "../../src/policy/needs.js";
import type { Policy } from "../../src/policy/policy.js";
import { type PolicyFile, readPolicy } from "../../src/policy/policy-file.js";
import { NOW_MS } from "./records.js";

/** `n` gives name and key: candidate 1 is node-1 with key 01 01 …. */
export function candidate(n: number, facts: Partial<Candidate> = {}): Candidate {
  return {
    node: `node-${String(n)}`,
    nodeId: `5f3a2b1c-0000-4000-8000-${String(n).padStart(12, "0")}`,
    address: "192.0.2.1",
    datacenter: "dc1",
    trust: "pinned",
    alive: true,
    publicKey: n.toString(16).padStart(2, "0").repeat(32).slice(0, 64),
    beaconHash: "b".repeat(64),
    stateHash: "a".repeat(64),
    latencyUs: 10_000,
    latencyEstimated: false,
    jitterUs: 1_000,
    lossPpm: 0,
    queueDepth: 0,
    priceMicroUsdPerGb: 10_000,
    reputationPpm: 900_000,
    declaredReputationPpm: 1_000_000,
    capabilities: ["container", "vm"],
    workloads: 0,
    disputedLinks: 0,
    links: [],
    copies: [],
    ...facts,
  };
}

/** In Consul's catalog, and nothing more. */
export function bareCandidate(n: number): Candidate {
  return candidate(n, {
    trust: "no-sidecar", alive: undefined, publicKey: undefined, beaconHash: undefined, stateHash: undefined, latencyUs: undefined, jitterUs: undefined,
    lossPpm: undefined, queueDepth: undefined, priceMicroUsdPerGb: undefined, reputationPpm: undefined, declaredReputationPpm: undefined, capabilities: undefined,
    workloads: undefined, disputedLinks: undefined,
  });
}

/** A file as somebody writes it. Throws with the problems of a wrong one. */
export function policyFile(content: object): PolicyFile {
  const read = readPolicy(Buffer.from(JSON.stringify(content)));
  if (!read.ok) throw new Error(JSON.stringify(read.problems));
  return read.file;
}

/** Version 2, enforce, named test, unless the content says otherwise. */
export function evaluator(content: object = {}): JsonEvaluator {
  return new JsonEvaluator(policyFile({ version: 2, name: "test", mode: "enforce", ...content }));
}

/** `links` and `copies` of the candidates must stand in the order that the policies ask for them. */
export function decideOver(candidates: readonly Candidate[], policies: Policies, request: PlacementRequest = {}): Promise<Decision> {
  return decideAmong(new CandidateTable(candidates, needsOfPolicies(policies, request)), policies, request, NOW_MS);
}

function needsOfPolicies({ cluster, spawn }: Policies, { job }: PlacementRequest): Needs {
  return needsOf([cluster?.policy, spawn?.policy].filter((policy): policy is Policy => policy !== undefined), job);
}
