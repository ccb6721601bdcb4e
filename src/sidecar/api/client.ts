/**
 * The gRPC client of the command line. It takes nothing on trust: each node of a listing is verified here
 * (view-of.ts). Plain text for a sidecar on this host, mTLS for any other.
 */
import { setImmediate as nextTurn } from "node:timers/promises";
import { Client, Metadata, type MethodDefinition, type ServiceError } from "@grpc/grpc-js";
import { DEFAULT_SKEW_MS } from "../../beacon/envelope.js";
import { KeyAdmission } from "../../beacon/keys.js";
import type { NodeView } from "../../beacon/node-view.js";
import { believedRecords, reputationsFrom, withReputations } from "../../beacon/reputation-views.js";
import type { cluster } from "../../proto/messages.js";
import { ApiError, apiErrorOf } from "./api-error.js";
import { ClusterServiceDefinition } from "./service-definition.js";
import { channelOptions, type ClientTls, credentialsFor } from "./client-tls.js";
import { viewOf } from "./view-of.js";
import { moreExactly } from "./wrong-port.js";

export interface CallOptions {
  /** HOST:PORT of a sidecar's gRPC. */
  address: string;
  /** Of the call; verification comes after it. */
  timeoutMs?: number;
  /** Plain text without. */
  tls?: ClientTls | undefined;
  /** What the caller shows (caller.ts); in plain text only to a loopback address. */
  headers?: Readonly<Record<string, string>>;
  signal?: AbortSignal;
}

export interface ListOptions extends CallOptions {
  /** Keys admitted earlier: judging a new one takes milliseconds, so a watcher keeps its own between listings. */
  keys?: KeyAdmission;
  /** Unix milliseconds; the system's clock unless a test brings another. */
  nowMs?: () => number;
  skewMs?: number;
}

type States = cluster.services.api.NodesStateResponse.$Properties;

/** 10,000 nodes with ten workloads each are some 25 MB; a server that sends more than this is not asked to. */
const MAX_ANSWER_BYTES = 256 * 1024 * 1024;
const DEFAULT_TIMEOUT_MS = 10_000;
/** Verified between two turns of the event loop, so that a signal is heard. */
const BATCH = 32;

export interface Listing {
  /** In the server's order, with scores computed here. */
  views: NodeView[];
  /** SHA-256 of the scores as the server computed them, in hex; undefined where it does not say. */
  servedReputationSha256?: string;
}

/** In the server's order. Rejects with ApiError, code `cancelled` where the signal aborted. */
export async function listNodes(options: ListOptions): Promise<NodeView[]> {
  return (await listCluster(options)).views;
}

/** As listNodes. */
export async function listCluster(options: ListOptions): Promise<Listing> {
  const { address, signal, keys = new KeyAdmission(), nowMs = Date.now, skewMs = DEFAULT_SKEW_MS } = options;
  const { states, reputation_sha256: served }: States = await callSidecar(ClusterServiceDefinition.List, {}, options);
  const views: NodeView[] = [];
  for (const message of states ?? []) {
    if (views.length % BATCH === 0) await nextTurn();
    if (signal?.aborted === true) throw new ApiError("cancelled", address, `the listing from ${address} was cancelled`);
    views.push(viewOf(message, { keys, nowMs: nowMs(), skewMs }));
  }
  const scored = withReputations(views, reputationsFrom(believedRecords(views)));
  return served === undefined || served === null || served === "" ? { views: scored } : { views: scored, servedReputationSha256: served };
}

/** Rejects with ApiError. */
export async function callSidecar<Q, S>(method: MethodDefinition<Q, S>, request: Q, options: CallOptions): Promise<S> {
  const { address, timeoutMs = DEFAULT_TIMEOUT_MS, tls, headers = {}, signal } = options;
  const metadata = new Metadata();
  for (const [name, value] of Object.entries(headers)) metadata.set(name, value);
  const client = new Client(address, credentialsFor(address, tls), { ...channelOptions(address, tls), "grpc.max_receive_message_length": MAX_ANSWER_BYTES });
  try {
    return await new Promise<S>((resolve, reject) => {
      const done = (error: ServiceError | null, answer?: S) => {
        signal?.removeEventListener("abort", cancel);
        if (error === null) resolve(answer as S);
        else reject(apiErrorOf(address, error, error));
      };
      const pending = client.makeUnaryRequest(method.path, method.requestSerialize, method.responseDeserialize, request, metadata, { deadline: Date.now() + timeoutMs }, done);
      const cancel = () => pending.cancel();
      if (signal?.aborted === true) cancel();
      else signal?.addEventListener("abort", cancel, { once: true });
    });
  } catch (error) {
    throw error instanceof ApiError ? await moreExactly(error, tls !== undefined) : error;
  } finally {
    client.close();
  }
}
