/**
 * Decisions of this node: made, signed, and kept in Consul's KV under their own IDs. Who acts by a decision keeps it
 * first. Not how it is decided (policy/decide.ts), and not what is done by it.
 *
 *   const { id, decision, sealed } = await decisions.make({ nodes, policies, nowMs, request });
 *   const [first] = requireMatch(decision).best(1);
 *   await decisions.keep(sealed, { signal });
 */
import type { KeyObject } from "node:crypto";
import type { KeyAdmission } from "../beacon/keys.js";
import { decide, type DecideInput, type Decision } from "../policy/decide.js";
import { decisionKey, sealDecision, type SealedDecision } from "../policy/decision-document.js";
import type { Decider } from "../policy/decision-record.js";
import type { Clock } from "./clock.js";
import type { CallOptions, ConsulApi } from "./consul-api.js";

/** Of one node, the last ones. A decision has some 2 KiB and 200 bytes for each candidate, and 430 KiB at most. */
export const KEPT_DECISIONS = 100;

export interface MadeDecision {
  id: string;
  decision: Decision;
  sealed: SealedDecision;
}

export interface DecisionObserver {
  /** Made, whoever was chosen. */
  decided(decision: Decision, elapsedMs: number): void;
  /** No decision: a policy module gave no verdicts. */
  failed(error: unknown): void;
}

export class NotJoinedError extends Error {
  override readonly name = "NotJoinedError";
  readonly code = "not-joined";
  constructor() {
    super("this sidecar has not joined a cluster yet, and so decides nothing");
  }
}

export interface DecisionsDeps {
  consul: Pick<ConsulApi, "kvPut" | "kvDelete">;
  identity: { publicKey: Uint8Array; privateKey: KeyObject };
  keys: KeyAdmission;
  /** Who this node is in the cluster; undefined before it has joined one. */
  decider: () => Decider | undefined;
  /** IDs of the decisions of this node that lie in KV, oldest first, on its own disk. */
  kept: { read: () => readonly string[]; write: (ids: readonly string[]) => void };
  clock: Pick<Clock, "monoMs">;
  observer: DecisionObserver;
  /** An old decision stays where it is: nothing depends on its going. */
  onStale: (error: unknown) => void;
}

export class Decisions {
  constructor(private readonly deps: DecisionsDeps) {}

  /** Decides and signs, and keeps nothing. Rejects with NotJoinedError, RecordError or SealError, and with WasmPolicyError. */
  async make(input: DecideInput): Promise<MadeDecision> {
    const { decider, identity, keys, clock, observer } = this.deps;
    const who = decider();
    if (who === undefined) throw new NotJoinedError();
    const startedMs = clock.monoMs();
    let decision: Decision;
    try {
      decision = await decide(input);
    } catch (error) {
      observer.failed(error);
      throw error;
    }
    observer.decided(decision, clock.monoMs() - startedMs);
    const sealed = sealDecision(decision, { node: who.node, datacenter: who.datacenter }, identity, keys);
    return { id: sealed.id, decision, sealed };
  }

  /** Rejects with ConsulError: then nothing may be done by it. */
  async keep({ id, key, document }: SealedDecision, options: CallOptions = {}): Promise<void> {
    this.#change((ids) => [...ids.filter((other) => other !== id), id]);
    await this.deps.consul.kvPut(key, document, options);
    try {
      await this.#dropOld(options);
    } catch (error) {
      this.deps.onStale(error);
    }
  }

  async #dropOld(options: CallOptions): Promise<void> {
    const old = this.deps.kept.read().slice(0, -KEPT_DECISIONS);
    for (const id of old) await this.deps.consul.kvDelete(decisionKey(id), options);
    if (old.length > 0) this.#change((ids) => ids.filter((id) => !old.includes(id)));
  }

  /** Listed before it is put and struck off after it is gone: whatever of ours lies in KV stands in the list. */
  #change(of: (ids: readonly string[]) => string[]): void {
    const { kept, onStale } = this.deps;
    try {
      kept.write(of(kept.read()));
    } catch (error) {
      onStale(error);
    }
  }
}
