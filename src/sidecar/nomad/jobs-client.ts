/** NomadJobs over HTTP. Specification: Nomad's HTTP API, seen on 1.10.5. */
import { NomadError, type NomadCallOptions } from "../nomad-api.js";
import type { BlockingCallOptions, JobDocument, NomadJobs } from "../nomad-jobs.js";
import { DEFAULT_NOMAD_LIMITS, type NomadCall, NomadCalls, type NomadLimits } from "./calls.js";
import { decodeDocument, decodeEligible, decodeIndexed, decodeJobAllocations, decodeJobs, decodePlan, decodePorts, decodeRegistered, decodeSchedulable, decodeStopsOnClient } from "./decode-jobs.js";
import type { NomadSettings } from "./settings.js";

const READ = "namespace:read-job";
const SUBMIT = "namespace:submit-job";
/** Nomad adds a sixteenth of the wait, at most, to spread the answers of a blocking query. */
const WAIT_SPREAD = 17 / 16;

/** The longest that a timer of Node can run: 24 days. */
const NEVER_MS = 0x7fff_ffff;

/** Reads the certificate files, so it may reject with NomadSettingsError. It opens no connection. */
export async function createNomadJobs(settings: NomadSettings, limits: NomadLimits = DEFAULT_NOMAD_LIMITS): Promise<NomadJobs> {
  return new JobsClient(await NomadCalls.create(settings, limits), limits);
}

class JobsClient implements NomadJobs {
  constructor(
    private readonly calls: NomadCalls,
    private readonly limits: NomadLimits,
  ) {}

  eligibleNodeIds(options: NomadCallOptions = {}) {
    return this.calls.get({ operation: "nodes", rules: "node:read", path: "/v1/nodes" }, decodeEligible, options);
  }

  node(nodeId: string, options: BlockingCallOptions = {}) {
    return this.#blocking({ operation: "node", rules: "node:read", path: `/v1/node/${encodeURIComponent(nodeId)}` }, decodeSchedulable, options);
  }

  stopsOnClient(nodeId: string, options: NomadCallOptions = {}) {
    return this.calls.get({ operation: "node allocations", rules: READ, path: `/v1/node/${encodeURIComponent(nodeId)}/allocations` }, decodeStopsOnClient, options);
  }

  async job(jobId: string, options: NomadCallOptions = {}) {
    return (await this.document(jobId, options))?.job ?? null;
  }

  async document(jobId: string, options: NomadCallOptions = {}) {
    try {
      return await this.calls.get({ operation: "job", rules: READ, path: of(jobId) }, decodeDocument, options);
    } catch (error) {
      if (error instanceof NomadError && error.code === "not-found") return null;
      throw error;
    }
  }

  jobs(prefix: string, options: NomadCallOptions = {}) {
    return this.calls.get({ operation: "jobs", rules: "namespace:list-jobs", path: "/v1/jobs", query: { prefix, meta: "true" } }, decodeJobs, options);
  }

  plan(job: JobDocument, options: NomadCallOptions = {}) {
    const call: NomadCall = { operation: "plan", rules: SUBMIT, method: "PUT", path: `${of(job.ID)}/plan`, body: { Job: job, Diff: true } };
    return this.calls.get(call, decodePlan, options);
  }

  register(job: JobDocument, expectedIndex: number, options: NomadCallOptions = {}) {
    const body = { Job: job, EnforceIndex: true, JobModifyIndex: expectedIndex };
    return this.calls.get({ operation: "register", rules: SUBMIT, method: "PUT", path: "/v1/jobs", body }, decodeRegistered, options);
  }

  async stop(jobId: string, options: NomadCallOptions & { purge?: boolean } = {}) {
    const query = { purge: String(options.purge ?? false) };
    await this.calls.get({ operation: "stop", rules: SUBMIT, method: "DELETE", path: of(jobId), query }, () => undefined, options);
  }

  jobAllocations(jobId: string, options: BlockingCallOptions = {}) {
    const call: NomadCall = { operation: "job allocations", rules: READ, path: `${of(jobId)}/allocations` };
    return this.#blocking(call, (value, next) => ({ index: decodeIndexed(next), allocations: decodeJobAllocations(value) }), options);
  }

  allocationsOf(jobPrefix: string, options: NomadCallOptions = {}) {
    const query = { filter: `JobID matches ${JSON.stringify(`^${jobPrefix}`)}`, task_states: "false" };
    return this.calls.get({ operation: "allocations", rules: READ, path: "/v1/allocations", query }, decodeJobAllocations, options);
  }

  allocationsByPrefix(prefix: string, options: NomadCallOptions = {}) {
    const query = { prefix, task_states: "false" };
    return this.calls.get({ operation: "allocations", rules: READ, path: "/v1/allocations", query }, decodeJobAllocations, options);
  }

  ports(allocationId: string, options: NomadCallOptions = {}) {
    return this.calls.get({ operation: "allocation", rules: READ, path: `/v1/allocation/${encodeURIComponent(allocationId)}` }, decodePorts, options);
  }

  logs({ allocationId, task, stream, follow, lastBytes }: Parameters<NomadJobs["logs"]>[0], options: NomadCallOptions = {}) {
    const query = {
      task, type: stream, plain: "true", follow: String(follow),
      ...(lastBytes === undefined ? { origin: "start" } : { origin: "end", offset: String(lastBytes) }),
    };
    const call: NomadCall = { operation: "logs", rules: "namespace:read-logs", path: `/v1/client/fs/logs/${encodeURIComponent(allocationId)}`, query };
    // Nomad begins its answer with the first bytes of the log, and a quiet workload has none for hours.
    return this.calls.stream(call, follow ? { ...options, timeoutMs: NEVER_MS } : options);
  }

  #blocking<T>(call: NomadCall, decode: (value: unknown, next: string | undefined) => T, options: BlockingCallOptions): Promise<T> {
    const { index, waitMs = 0 } = options;
    if (index === undefined) return this.calls.get(call, decode, options);
    const timeoutMs = (options.timeoutMs ?? this.limits.timeoutMs) + waitMs * WAIT_SPREAD;
    return this.calls.get({ ...call, query: { index, wait: `${String(waitMs)}ms` } }, decode, { ...options, timeoutMs });
  }
}

function of(jobId: string): string {
  return `/v1/job/${encodeURIComponent(jobId)}`;
}
