/**
 * This node's statements in KV, the newest periods of them: the one of the open period at most once a heartbeat, those that have
 * ended as soon as the node's share of Raft writes allows. What stands there and is too old is taken away.
 */
import { usagePrefix } from "../../beacon/documents.js";
import { usageDocument } from "../../beacon/usage-document.js";
import type { Signed } from "../../beacon/envelope.js";
import { isClosed, statementName, type UsageStatement } from "../../beacon/usage-record.js";
import type { Clock } from "../clock.js";
import type { ConsulApi } from "../consul-api.js";
import type { HealthLog } from "../health-log.js";

export interface UsagePublisherDeps {
  consul: Pick<ConsulApi, "kvList" | "kvPut" | "kvDelete">;
  clock: Pick<Clock, "monoMs">;
  everyMs: () => number;
  mayWrite: () => boolean;
  /** Periods to keep in KV. */
  keep: () => number;
  health: Pick<HealthLog, "up" | "down">;
}

export class UsagePublisher {
  readonly #statements = new Map<string, { record: UsageStatement; document: string }>();
  /** By key, what is known to stand in KV; undefined before it was read. */
  #stands: Map<string, string> | undefined;
  #openWrittenAtMs = Number.NEGATIVE_INFINITY;

  constructor(private readonly deps: UsagePublisherDeps) {}

  take(statement: Signed<UsageStatement>): void {
    this.#statements.set(statementName(statement.record), { record: statement.record, document: usageDocument(statement) });
  }

  /** Never rejects; what could not be written is written later. */
  async offer({ node, datacenter }: { node: string; datacenter: string }, signal: AbortSignal): Promise<void> {
    const { consul, mayWrite, health, keep } = this.deps;
    const prefix = usagePrefix(datacenter, node);
    try {
      if (this.#stands === undefined) {
        const { value } = await consul.kvList(prefix, { signal });
        this.#stands = new Map(value.map((entry) => [entry.key.slice(prefix.length), Buffer.from(entry.value).toString("utf8")]));
      }
      const periods = [...new Set([...this.#statements.values()].map(({ record }) => record.periodStartMs))].sort((a, b) => a - b);
      const oldest = periods.at(-keep()) ?? periods[0] ?? 0;
      for (const [name, { record, document }] of this.#statements) {
        if (record.periodStartMs < oldest) this.#statements.delete(name);
        else if (this.#isDue(record) && this.#stands.get(name) !== document) {
          if (!mayWrite()) return;
          await consul.kvPut(prefix + name, document, { signal });
          this.#stands.set(name, document);
          if (!isClosed(record)) this.#openWrittenAtMs = this.deps.clock.monoMs();
        }
      }
      for (const name of this.#stands.keys()) {
        if (!(Number(name.split("-")[0]) < oldest)) continue;
        if (!mayWrite()) return;
        await consul.kvDelete(prefix + name, { signal });
        this.#stands.delete(name);
      }
      health.up();
    } catch (error) {
      health.down(error);
    }
  }

  #isDue(record: UsageStatement): boolean {
    return isClosed(record) || (carriesAny(record) && this.deps.clock.monoMs() - this.#openWrittenAtMs >= this.deps.everyMs());
  }
}

function carriesAny({ rows, seen }: UsageStatement): boolean {
  return [...rows, ...seen].some(({ bytesIn, bytesOut }) => bytesIn + bytesOut > 0);
}
