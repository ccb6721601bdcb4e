/** What passes between the prober's handle and its worker. Everything can be structured-cloned. */
import type { LinkSummary, ProbeSample } from "../../beacon/link-statistics.js";
import type { ExchangeRecord } from "../../beacon/link-statistics-exchange.js";
import type { KnownSender, ProbeEndpoint, ProbeSettings, ProbeTarget } from "./probe-settings.js";
import type { IncomingSession, ReflectorCounters } from "./reflector.js";
import type { SenderCounters } from "./session-sender.js";

export interface ProbePeers {
  targets: ProbeTarget[];
  senders: KnownSender[];
}

/** Starts a worker; the first thing it is given. */
export interface WorkerStart extends ProbePeers {
  settings: ProbeSettings;
}

export type ToWorker =
  | { type: "peers"; peers: ProbePeers }
  | { type: "settings"; settings: ProbeSettings }
  | { type: "stop" };

export interface OutgoingLink {
  id: string;
  /** Over the sliding windows of the headline and of the link halves, which end at the report. */
  summary: LinkSummary;
  link: LinkSummary;
  exchanges?: ExchangeRecord;
}

export interface ProbeReport {
  /** Unix milliseconds. */
  atMs: number;
  outgoing: OutgoingLink[];
  incoming: IncomingSession[];
  sender: SenderCounters;
  reflector: ReflectorCounters;
  /** Errors that the sockets gave after binding. */
  socketErrors: number;
}

export interface TargetSample {
  id: string;
  sample: ProbeSample;
}

export type FromWorker =
  | { type: "ready"; listening: ProbeEndpoint[] }
  | { type: "failed"; code: string; message: string }
  | { type: "samples"; samples: TargetSample[] }
  | { type: "report"; report: ProbeReport }
  | { type: "stopped" };
