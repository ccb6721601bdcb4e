/**
 * The last look at a chosen node before work is sent there: Consul's word and the node's signed state, both read with
 * `consistent`, since a listing may be some seconds old and a stale read older without bound. And where its sidecar can be
 * reached over mTLS, whether it answers.
 */
import { parseStateDocument, SERVICE_NAME, stateKey } from "../../beacon/documents.js";
import { DEFAULT_SKEW_MS, open, STATE } from "../../beacon/envelope.js";
import type { KeyAdmission } from "../../beacon/keys.js";
import type { NodeView } from "../../beacon/node-view.js";
import type { Clock } from "../clock.js";
import type { ConsulApi } from "../consul-api.js";
import type { PeerAnswers } from "../peer-answers.js";

export class Recheck {
  constructor(
    private readonly consul: Pick<ConsulApi, "serviceInstances" | "kvGet">,
    private readonly keys: KeyAdmission,
    private readonly clock: Clock,
    /** Absent where this sidecar has no certificate to show. */
    private readonly answers?: PeerAnswers,
  ) {}

  /** Why the node cannot be chosen after all; undefined where it can. Rejects with ConsulError. */
  async problem(view: NodeView, signal: AbortSignal): Promise<string | undefined> {
    const options = { consistency: "consistent", signal } as const;
    const [{ value: instances }, { value: entry }] = await Promise.all([
      this.consul.serviceInstances(SERVICE_NAME, options),
      this.consul.kvGet(stateKey(view.name), options),
    ]);
    const instance = instances.find(({ node }) => node === view.name);
    if (instance === undefined) return "its sidecar is no longer in Consul's catalog";
    const failing = instance.checks.find(({ status }) => status !== "passing");
    if (failing !== undefined) return `Consul's check ${failing.id} is ${failing.status}`;
    const document = entry === null ? null : parseStateDocument(entry.value);
    if (document === null) return "it has no signed state in KV";
    const opened = open(STATE, document.sealed, { keys: this.keys, nowMs: this.clock.nowMs(), skewMs: DEFAULT_SKEW_MS, datacenter: view.datacenter, node: view.name });
    if (!opened.ok) return `its signed state: ${opened.reason}: ${opened.detail}`;
    if (opened.verified.key.hex !== view.beacon?.key.hex) return "its state is signed by another key than its beacon";
    return instance.port === 0 ? undefined : this.answers?.({ host: instance.address, port: instance.port }, opened.verified, signal);
  }
}
