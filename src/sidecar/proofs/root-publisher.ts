/**
 * The root over the newest segments of all kept chains, signed, on the disk, and in KV: who read it there knows later
 * whether a chain was replaced. Written when a segment is new, at most once a heartbeat.
 */
import { proofRootKey } from "../../beacon/documents.js";
import { seal } from "../../beacon/envelope.js";
import { merkleRoot } from "../../beacon/merkle.js";
import { PROOF_AGGREGATE } from "../../beacon/proof-codec.js";
import type { Clock } from "../clock.js";
import type { ConsulApi } from "../consul-api.js";
import type { HealthLog } from "../health-log.js";
import type { Signing } from "./allocation-chain.js";

export class RootPublisher {
  readonly #newest: Map<string, string>;
  #changed = false;
  #writtenAtMs = Number.NEGATIVE_INFINITY;

  constructor(
    private readonly deps: {
      consul: Pick<ConsulApi, "kvPut">;
      folder: {
        /** By allocation, the hash of its newest segment on the disk. */
        newest(): [string, string][];
        writeRoot(root: { sealed: Uint8Array; leaves: readonly string[] }): void;
      };
      clock: Pick<Clock, "nowMs" | "monoMs">;
      everyMs: () => number;
      /** Within the node's share of Raft writes. */
      mayWrite: () => boolean;
      health: Pick<HealthLog, "up" | "down">;
    },
  ) {
    this.#newest = new Map(deps.folder.newest());
  }

  take(allocation: string, hash: string): void {
    if (this.#newest.get(allocation) === hash) return;
    this.#newest.set(allocation, hash);
    this.#changed = true;
  }

  drop(allocation: string): void {
    this.#changed = this.#newest.delete(allocation) || this.#changed;
  }

  /** Never rejects; what could not be written is written with the next one. */
  async offer({ node, datacenter, epoch, identity }: Signing, signal: AbortSignal): Promise<void> {
    const { consul, folder, clock, everyMs, mayWrite, health } = this.deps;
    if (!this.#changed || clock.monoMs() - this.#writtenAtMs < everyMs() || !mayWrite()) return;
    const leaves = [...this.#newest].sort(([a], [b]) => (a < b ? -1 : 1)).map(([, hash]) => hash);
    const root = Buffer.from(merkleRoot(leaves.map((hash) => Buffer.from(hash, "hex")))).toString("hex");
    this.#changed = false;
    this.#writtenAtMs = clock.monoMs();
    try {
      const sealed = seal(PROOF_AGGREGATE, { node, datacenter, epoch, issuedAtMs: clock.nowMs(), count: leaves.length, root }, identity);
      folder.writeRoot({ sealed, leaves });
      await consul.kvPut(proofRootKey(node), JSON.stringify({ v: 1, count: leaves.length, root, sealed: Buffer.from(sealed).toString("base64") }, null, 1), { signal });
      health.up();
    } catch (error) {
      this.#changed = true;
      health.down(error);
    }
  }
}
