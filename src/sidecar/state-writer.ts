/**
 * Puts this node's state into KV, with the batches of its workloads beside it. New batches go before the state that names
 * them, old ones after it, in as few transactions as Consul takes: whatever fails in between, and whoever reads, there is a
 * whole state. Nothing is remembered of what was written but that no batch is there: so what a crash left behind goes with
 * the next write, and what somebody changed or deleted is written again.
 */
import { batchesPrefix, stateDocument, stateKey } from "../beacon/documents.js";
import type { Verified } from "../beacon/envelope.js";
import type { NodeState } from "../beacon/record.js";
import { batchDocuments } from "../beacon/workload-batches.js";
import { type CallOptions, type ConsulApi, ConsulError, type KvOperation } from "./consul-api.js";
import { applyInOrder } from "./kv-transactions.js";

export class StateWriter {
  /** Whose batches are known not to be there. */
  #bare: string | undefined;

  constructor(private readonly consul: Pick<ConsulApi, "kvPut" | "kvDelete" | "kvList" | "kvTxn">) {}

  /** Consul may be another one: what is there is looked at again. */
  forget(): void {
    this.#bare = undefined;
  }

  /** Rejects with ConsulError. */
  async write(state: Verified<NodeState>, options: CallOptions = {}): Promise<void> {
    const { node } = state.record;
    const documents = batchDocuments(state);
    const there = this.#bare === node ? new Map<string, string>() : await this.#batchesOf(node, options);
    this.#bare = undefined;
    await applyInOrder(this.consul, [
      ...[...documents].filter(([key, value]) => there.get(key) !== value).map(([key, value]): KvOperation => ({ set: key, value })),
      { set: stateKey(node), value: stateDocument(state) },
      ...[...there.keys()].filter((key) => !documents.has(key)).map((key): KvOperation => ({ delete: key })),
    ], options);
    if (documents.size === 0) this.#bare = node;
  }

  /** The state first: who reads in between finds none, and not one without its batches. */
  async remove(node: string, options: CallOptions = {}): Promise<void> {
    const batches = this.#bare === node ? [] : [...(await this.#batchesOf(node, options)).keys()];
    await applyInOrder(this.consul, [stateKey(node), ...batches].map((key) => ({ delete: key })), options);
  }

  async #batchesOf(node: string, options: CallOptions): Promise<Map<string, string>> {
    try {
      const { value } = await this.consul.kvList(batchesPrefix(node), options);
      return new Map(value.map((entry) => [entry.key, Buffer.from(entry.value).toString("utf8")]));
    } catch (error) {
      // Who may not list may not write either, and the write's own error names what is missing.
      if (error instanceof ConsulError && error.code === "permission") return new Map();
      throw error;
    }
  }
}
