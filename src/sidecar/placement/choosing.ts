/**
 * Who may run a workload, in the order of the policies: believed nodes that Consul calls healthy and Nomad calls
 * eligible. A spawn's policy never loosens the cluster's. The best are looked at again one by one, just before use.
 */
import { isBelieved, type NodeView } from "../../beacon/node-view.js";
import type { ServiceNodes } from "../../policy/candidates.js";
import type { DecideInput, Decision, PlacementRequest, Policies } from "../../policy/decide.js";
import type { Evaluator } from "../../policy/evaluator.js";
import { NoMatchError, requireMatch } from "../../policy/no-match.js";
import { type OpenedPolicy, openPolicy } from "../../policy/open-policy.js";
import { type WasmHostOptions, WasmPolicyError } from "../../policy/wasm-host.js";
import { type Decisions, type MadeDecision, NotJoinedError } from "../decisions.js";
import { invalid, PlacementError } from "../placement-error.js";
import { servicesIn } from "../service-nodes.js";
import type { Budget } from "./failures.js";
import type { NomadNodes } from "./nomad-nodes.js";
import type { Recheck } from "./recheck.js";
import type { Driver } from "./reference.js";

export interface ChoosingDeps {
  nodes: (signal: AbortSignal) => Promise<NodeView[]>;
  nomadNodes: NomadNodes;
  recheck: Recheck;
  decisions: Decisions;
  /** Nodes that run a Consul service. */
  servicesOf: (names: readonly string[], options: { signal: AbortSignal }) => Promise<ServiceNodes>;
  /** The cluster's policy; undefined where it has none. */
  clusterPolicy: () => Evaluator | undefined;
  wasm: Partial<WasmHostOptions>;
  nowMs: () => number;
}

export interface Chosen {
  decisionId: string;
  /** The decision in JSON, for the answer. */
  decision: unknown;
  /** Puts the decision where it can be found: before anything is done by it. */
  keep: (budget: Budget) => Promise<void>;
  /** Best first. `problem` looks again: why it cannot be used after all, or undefined. */
  candidates: { node: NodeView; problem: (budget: Budget) => Promise<string | undefined> }[];
}

/** Where neither cluster nor spawn has a policy: any believed node, the best by equal weights first. */
const NO_POLICY = Buffer.from(JSON.stringify({ version: 2, name: "none", mode: "permissive" }));

export class Choosing {
  constructor(private readonly deps: ChoosingDeps) {}

  /** Rejects with PlacementError `no-match` or `invalid`, with NomadError and with ConsulError. `most` bounds the candidates. */
  async choose(request: PlacementRequest, driver: Driver, policy: Uint8Array | undefined, most: number, budget: Budget): Promise<Chosen> {
    const { nodes, nomadNodes, recheck, decisions } = this.deps;
    const [views, eligible] = await Promise.all([nodes(budget.signal), nomadNodes.eligible(budget)]);
    const among = new Set(views.filter((view) => whyNot(view, driver, eligible) === undefined).map(({ name }) => name));
    if (among.size === 0) throw new PlacementError("no-match", `nobody can be chosen: ${views.length === 0 ? "no node is known yet" : whyNobody(views, driver, eligible)}`);
    const { id, decision, sealed } = await this.#decide({ nodes: views, among, request }, policy, budget.signal);
    const byName = new Map(views.map((view) => [view.name, view]));
    return {
      decisionId: id,
      decision: shown(sealed.document, decision),
      keep: ({ signal }) => decisions.keep(sealed, { signal }),
      candidates: decision.best(most).flatMap(({ candidate }) => {
        const node = byName.get(candidate.node);
        const nodeId = eligible.get(candidate.node);
        if (node === undefined || nodeId === undefined) return [];
        const problem = async (at: Budget) =>
          (await recheck.problem(node, at.signal)) ?? (await nomadNodes.problem(node.name, nodeId, driver, at));
        return [{ node, problem }];
      }),
    };
  }

  async #decide(asked: Pick<DecideInput, "nodes" | "among" | "request">, policy: Uint8Array | undefined, signal: AbortSignal): Promise<MadeDecision> {
    const { clusterPolicy, decisions, servicesOf, nowMs } = this.deps;
    const cluster = clusterPolicy();
    const spawn = policy !== undefined ? evaluatorOf(openPolicy(policy, "spawn", this.deps.wasm)) : cluster === undefined ? evaluatorOf(openPolicy(NO_POLICY, "none")) : undefined;
    const policies: Policies = { ...(cluster === undefined ? {} : { cluster }), ...(spawn === undefined ? {} : { spawn }) };
    try {
      const services = await servicesOf(servicesIn(policies), { signal });
      const made = await decisions.make({ ...asked, policies, services, nowMs: nowMs() });
      requireMatch(made.decision);
      return made;
    } catch (error) {
      // A module that gives no verdicts says no.
      if (error instanceof NoMatchError || error instanceof WasmPolicyError) throw new PlacementError("no-match", error.message, { cause: error });
      if (error instanceof NotJoinedError) throw new PlacementError("unavailable", error.message, { cause: error });
      throw error;
    } finally {
      await spawn?.close?.();
    }
  }
}

/** As the answer of a spawn has it: the signed document, and the order for people. */
function shown(document: string, decision: Decision): Record<string, unknown> {
  const order = decision.all().map(({ candidate: { node }, place, status, scorePpm }) => ({ node, place: place ?? null, status, scorePpm }));
  return { ...(JSON.parse(document) as Record<string, unknown>), order };
}

function evaluatorOf(opened: OpenedPolicy): Evaluator {
  if (opened.ok) return opened.evaluator;
  throw invalid("policy", opened.problems.map(({ path, message }) => (path === "" ? message : `${path} ${message}`)).join("; "));
}

/** Undefined: policies may choose it. */
function whyNot({ name, trust, alive, beacon }: NodeView, driver: Driver, eligible: ReadonlyMap<string, string>): string | undefined {
  if (!isBelieved(trust)) return trust;
  if (alive !== true) return "not healthy in Consul";
  if (beacon === undefined) return "no beacon";
  if (!eligible.has(name)) return "Nomad has no eligible client there";
  return beacon.record.capabilities.includes(driver) ? undefined : `no driver ${driver}`;
}

function whyNobody(views: readonly NodeView[], driver: Driver, eligible: ReadonlyMap<string, string>): string {
  return views.map((view) => `${view.name}: ${whyNot(view, driver, eligible) ?? "can"}`).join("; ");
}
