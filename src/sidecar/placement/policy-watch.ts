/**
 * Looks, some seconds apart, at how the nodes stand to the policies that workloads run by: the cluster's, and each spawn's
 * own once, however many run by it. What is seen is in memory: a new mover begins to count again.
 */
import { createHash } from "node:crypto";
import type { Logger } from "pino";
import type { NodeView } from "../../beacon/node-view.js";
import type { ServiceNodes } from "../../policy/candidates.js";
import { decide, type Policies } from "../../policy/decide.js";
import type { Evaluator } from "../../policy/evaluator.js";
import { openPolicy } from "../../policy/open-policy.js";
import { type WasmHostOptions, WasmPolicyError } from "../../policy/wasm-host.js";
import type { Clock } from "../clock.js";
import { ConsulError } from "../consul-api.js";
import { servicesIn } from "../service-nodes.js";
import { PolicyBreaks } from "./policy-breaks.js";
import { PolicyGains } from "./policy-gains.js";

const LOOK_MS = 5_000;
const MAX_GAP_MS = 4 * LOOK_MS;

export interface PolicyWatchDeps {
  nodes: () => Promise<NodeView[]>;
  servicesOf: (names: readonly string[], options: { signal: AbortSignal }) => Promise<ServiceNodes>;
  clusterPolicy: () => Evaluator | undefined;
  wasm: Partial<WasmHostOptions>;
  clock: Clock;
  logger: Logger;
}

interface Watched {
  /** Undefined: it cannot be read, as where somebody else changed the job. */
  spawn: Evaluator | undefined;
  policies: Policies;
  breaks: PolicyBreaks;
  gains: PolicyGains;
}

export class PolicyWatch {
  readonly #watched = new Map<string, Watched>();
  #lookedAtMs = -Infinity;

  constructor(private readonly deps: PolicyWatchDeps) {}

  /** `inUse`: the own policies of the spawns; undefined for one that has none. False: it is not time yet. */
  async look(inUse: readonly (Uint8Array | undefined)[], signal: AbortSignal): Promise<boolean> {
    const { nodes, servicesOf, clock, logger } = this.deps;
    const monoMs = clock.monoMs();
    if (monoMs - this.#lookedAtMs < LOOK_MS) return false;
    this.#lookedAtMs = monoMs;
    const byKey = new Map(inUse.map((policy) => [keyOf(policy), policy]));
    for (const [key, { spawn }] of this.#watched) if (!byKey.has(key)) this.#drop(key, spawn);
    for (const [key, policy] of byKey) if (!this.#watched.has(key)) this.#watched.set(key, this.#opened(policy));
    const judged = [...this.#watched.values()].filter(({ policies }) => policies.cluster !== undefined || policies.spawn !== undefined);
    if (judged.length === 0) return true;
    const views = await nodes();
    for (const { policies, breaks, gains } of judged) {
      try {
        const services = await servicesOf(servicesIn(policies), { signal });
        const decision = await decide({ nodes: views, policies, nowMs: clock.nowMs(), services });
        breaks.look(decision, { monoMs, maxGapMs: MAX_GAP_MS });
        gains.look(decision, { monoMs, maxGapMs: MAX_GAP_MS });
      } catch (error) {
        if (!(error instanceof WasmPolicyError || error instanceof ConsulError)) throw error;
        logger.debug({ err: error }, "whether nodes keep a policy is not known");
      }
    }
    return true;
  }

  of(policy: Uint8Array | undefined): Pick<Watched, "breaks" | "gains"> | undefined {
    return this.#watched.get(keyOf(policy));
  }

  /** Ends the modules that it holds. */
  forget(): void {
    for (const [key, { spawn }] of this.#watched) this.#drop(key, spawn);
    this.#lookedAtMs = -Infinity;
  }

  #opened(policy: Uint8Array | undefined): Watched {
    const cluster = this.deps.clusterPolicy();
    const opened = policy === undefined ? undefined : openPolicy(policy, "spawn", this.deps.wasm);
    const spawn = opened?.ok === true ? opened.evaluator : undefined;
    return { spawn, policies: { ...(cluster === undefined ? {} : { cluster }), ...(spawn === undefined ? {} : { spawn }) }, breaks: new PolicyBreaks(), gains: new PolicyGains() };
  }

  #drop(key: string, spawn: Evaluator | undefined): void {
    this.#watched.delete(key);
    void spawn?.close?.().catch((error: unknown) => this.deps.logger.debug({ err: error }, "a policy module did not end"));
  }
}

function keyOf(policy: Uint8Array | undefined): string {
  return policy === undefined ? "" : createHash("sha256").update(policy).digest("hex");
}
