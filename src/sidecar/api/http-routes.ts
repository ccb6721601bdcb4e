/**
 * What each path answers: the ancestor's `/list`, `/spawn`, `/stop`, `/logs`, and `/metrics`, `/healthz`, `/readyz`.
 * Success is 200 {"response": …}, failure {"error": "…"}, 400 unless HTTP has a better word. No sockets here.
 */
import type { Registry } from "prom-client";
import { ancestorJson } from "./ancestor-json.js";
import type { ClusterReader, Readiness } from "./cluster-reader.js";
import { listMessageOf } from "./contract.js";
import { type Answer, errorAnswer, jsonAnswer } from "./http-answer.js";
import type { Workloads } from "../workloads.js";
import { type Change, logs, spawn, stop } from "./http-workloads.js";

export interface RouteContext {
  reader: ClusterReader;
  readiness: Readiness;
  registry: Registry;
  workloads: Workloads;
}

export type Method = "GET" | "HEAD" | "POST";

export type Route = {
  methods: readonly Method[];
  /** Said beside 405, where a client of the ancestor would wonder. */
  whyNot?: string;
} & (
  | { read: (context: RouteContext, signal: AbortSignal) => Answer | Promise<Answer> }
  | { change: (workloads: Workloads, change: Change, signal: AbortSignal) => Promise<Answer> }
);

const READ: readonly Method[] = ["GET", "HEAD"];
const CHANGES_BY_POST = "it changes the cluster, and any web page can make a browser send a GET";

const ROUTES: ReadonlyMap<string, Route> = new Map<string, Route>([
  ["/list", { methods: [...READ, "POST"], read: list }],
  ["/spawn", { methods: ["POST"], whyNot: CHANGES_BY_POST, change: spawn }],
  ["/stop", { methods: ["POST"], whyNot: CHANGES_BY_POST, change: stop }],
  ["/logs", { methods: ["GET", "POST"], change: logs }], // for known callers, as if it were a change
  ["/metrics", { methods: READ, read: metrics }],
  ["/healthz", { methods: READ, read: () => jsonAnswer(200, { status: "alive" }) }],
  ["/readyz", { methods: READ, read: ready }],
]);

/** Path names for metrics: bounded, whatever clients ask for. */
export function routeName(path: string): string {
  return ROUTES.has(path) ? path : "other";
}

/** `path` is without the query. */
export function routeFor(method: string, path: string): { route: Route } | { refusal: Answer } {
  const route = ROUTES.get(path);
  if (route === undefined) return { refusal: errorAnswer(404, `no such path; there are ${[...ROUTES.keys()].join(", ")}`) };
  if (route.methods.some((allowed) => allowed === method)) return { route };
  const allow = route.methods.join(", ");
  const why = route.whyNot === undefined ? "" : `: ${route.whyNot}`;
  return { refusal: { ...errorAnswer(405, `${path} takes ${allow}${why}`), allow } };
}

/** Never rejects: what an answer throws is a 400 with its words. */
export async function attempt(answer: () => Answer | Promise<Answer>): Promise<Answer> {
  try {
    return await answer();
  } catch (failure) {
    const text = failure instanceof Error ? failure.message : String(failure);
    return { ...errorAnswer(400, text), failure };
  }
}

async function list({ reader }: RouteContext, signal: AbortSignal): Promise<Answer> {
  const views = await reader.list({ signal });
  return jsonAnswer(200, { response: ancestorJson(listMessageOf(views)) });
}

async function metrics({ registry }: RouteContext): Promise<Answer> {
  return { status: 200, body: await registry.metrics(), contentType: registry.contentType };
}

function ready({ readiness }: RouteContext): Answer {
  const status = readiness.status();
  return jsonAnswer(status.ready ? 200 : 503, status);
}
