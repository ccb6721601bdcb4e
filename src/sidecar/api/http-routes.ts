/**
 * What each path answers: the ancestor's `/list`, `/spawn`, `/stop`, `/logs`, and `/metrics`, `/healthz`, `/readyz`.
 * Success is 200 {"response": …}, failure {"error": "…"}, 400 unless HTTP has a better word. No sockets here.
 */
import type { Registry } from "prom-client";
import { ancestorJson } from "./ancestor-json.js";
import type { ClusterReader, Readiness } from "./cluster-reader.js";
import type { Caller } from "./caller.js";
import { listMessageOf } from "./contract.js";
import { NOT_YET } from "./not-yet.js";

export interface RouteContext {
  reader: ClusterReader;
  readiness: Readiness;
  registry: Registry;
}

export interface Answer {
  status: number;
  body: string;
  contentType?: string;
  allow?: string;
  /** What went wrong inside, for the log. */
  failure?: unknown;
}

export type Method = "GET" | "HEAD" | "POST";

/** A change that the guards let through: POST, JSON, of no other origin, by somebody known. */
export interface Change {
  caller: Caller;
  body: Buffer;
  query: URLSearchParams;
}

export type Route = {
  methods: readonly Method[];
  /** Said beside 405, where a client of the ancestor would wonder. */
  whyNot?: string;
} & (
  | { read: (context: RouteContext, signal: AbortSignal) => Answer | Promise<Answer> }
  | { change: (context: RouteContext, change: Change, signal: AbortSignal) => Answer | Promise<Answer> }
);

const READ: readonly Method[] = ["GET", "HEAD"];
const CHANGES_BY_POST = "it changes the cluster, and any web page can make a browser send a GET";

const ROUTES: ReadonlyMap<string, Route> = new Map<string, Route>([
  ["/list", { methods: [...READ, "POST"], read: list }],
  ["/spawn", { methods: ["POST"], whyNot: CHANGES_BY_POST, change: () => errorAnswer(501, NOT_YET.Spawn) }],
  ["/stop", { methods: ["POST"], whyNot: CHANGES_BY_POST, change: () => errorAnswer(501, NOT_YET.Stop) }],
  ["/logs", { methods: [...READ, "POST"], read: () => errorAnswer(501, NOT_YET.Logs) }],
  ["/metrics", { methods: READ, read: metrics }],
  ["/healthz", { methods: READ, read: () => json(200, { status: "alive" }) }],
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

export function errorAnswer(status: number, error: string): Answer {
  return json(status, { error });
}

async function list({ reader }: RouteContext, signal: AbortSignal): Promise<Answer> {
  const views = await reader.list({ signal });
  return json(200, { response: ancestorJson(listMessageOf(views)) });
}

async function metrics({ registry }: RouteContext): Promise<Answer> {
  return { status: 200, body: await registry.metrics(), contentType: registry.contentType };
}

function ready({ readiness }: RouteContext): Answer {
  const status = readiness.status();
  return json(status.ready ? 200 : 503, status);
}

function json(status: number, value: object): Answer {
  return { status, body: `${JSON.stringify(value)}\n`, contentType: "application/json; charset=utf-8" };
}
