/**
 * The node's service in its local agent, and the TTL check that says it lives. Re-registering may reset a TTL check
 * to critical (consul #868, #4904, #17538), so the TTL is passed right after; an agent that lost the check says so
 * on the next pass, and is given it again.
 */
import { SERVICE_NAME, serviceMeta, serviceTags } from "../beacon/documents.js";
import type { Verified } from "../beacon/envelope.js";
import type { Beacon } from "../beacon/record.js";
import { type ConsulApi, ConsulError, type ServiceRegistration } from "./consul-api.js";

/** Constant: a check whose output changes costs a Raft write (consul-limits: numbers go into metrics). */
const TTL_OUTPUT = "sidecar is running";
/** Consul's least is a minute; a node that is gone for a day is not coming back as it was. */
const DEREGISTER_AFTER_MS = 86_400_000;

export class Registration {
  readonly checkId = `service:${SERVICE_NAME}`;

  constructor(
    private readonly consul: Pick<ConsulApi, "registerService" | "deregisterService" | "passTtl">,
    private readonly beatMs: number,
    /** Where peers reach gRPC over mTLS at this address; 0: nowhere. */
    private readonly grpcPort: (address: string) => number = () => 0,
  ) {}

  /** Rejects with ConsulError. */
  async register(beacon: Verified<Beacon>, address: string, signal: AbortSignal): Promise<void> {
    const service: ServiceRegistration = {
      id: SERVICE_NAME,
      name: SERVICE_NAME,
      address,
      port: this.grpcPort(address),
      tags: serviceTags(beacon.record),
      meta: serviceMeta(beacon),
      check: { id: this.checkId, name: "IBRL sidecar", ttlMs: this.ttlMs, deregisterAfterMs: DEREGISTER_AFTER_MS },
    };
    await this.consul.registerService(service, { signal });
    await this.consul.passTtl(this.checkId, TTL_OUTPUT, { signal });
  }

  /** Three beats: one lost beat and one slow one do not flap the check. */
  get ttlMs(): number {
    return 3 * this.beatMs;
  }

  /** False when the agent does not know the check: it restarted empty, or somebody removed the service. */
  async pass(signal: AbortSignal): Promise<boolean> {
    try {
      await this.consul.passTtl(this.checkId, TTL_OUTPUT, { signal });
      return true;
    } catch (error) {
      if (error instanceof ConsulError && error.code === "not-found") return false;
      throw error;
    }
  }

  async deregister(signal: AbortSignal): Promise<void> {
    await this.consul.deregisterService(SERVICE_NAME, { signal });
  }
}
