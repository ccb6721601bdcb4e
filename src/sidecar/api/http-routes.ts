/**
 * What each path answers: the ancestor's `/list`, `/spawn`, `/stop`, `/logs`, and `/metrics`, `/healthz`, `/readyz`.
 * Success is 200 {"response": …}, failure {"error": "…"}, 400 unless HTTP has a better word. No sockets here.
 */
import type { Registry } from "prom-client";
import { ancestorJson } from "./ancestor-json.js";
import type { ClusterReader, Readiness } from "./cluster-reader.js";
import { messageOf } from "./contract.js";
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

interface Route {
  methods: readonly Method[];
  /** Said beside 405, where a client of the ancestor would wonder. */
  whyNot?: string;
  answer: (context: RouteContext, signal: AbortSignal) => Answer | Promise<Answer>;
}

const READ: readonly Method[] = ["GET", "HEAD"];
const CHANGES_BY_POST = "it changes the cluster, and any web page can make a browser send a GET";

const ROUTES: ReadonlyMap<string, Route> = new Map<string, Route>([
  ["/list", { methods: [...READ, "POST"], answer: list }],
  ["/spawn", { methods: ["POST"], whyNot: CHANGES_BY_POST, answer: () => errorAnswer(501, NOT_YET.Spawn) }],
  ["/stop", { methods: ["POST"], whyNot: CHANGES_BY_POST, answer: () => errorAnswer(501, NOT_YET.Stop) }],
  ["/logs", { methods: [...READ, "POST"], answer: () => errorAnswer(501, NOT_YET.Logs) }],
  ["/metrics", { methods: READ, answer: metrics }],
  ["/healthz", { methods: READ, answer: () => json(200, { status: "alive" }) }],
  ["/readyz", { methods: READ, answer: ready }],
]);

/** Path names for metrics: bounded, whatever clients ask for. */
export function routeName(path: string): string {
  return ROUTES.has(path) ? path : "other";
}

/** `path` is without the query. Never rejects. */
export async function answerFor(method: string, path: string, context: RouteContext, signal: AbortSignal): Promise<Answer> {
  const route = ROUTES.get(path);
  if (route === undefined) return errorAnswer(404, `no such path; there are ${[...ROUTES.keys()].join(", ")}`);
  if (!route.methods.some((allowed) => allowed === method)) {
    const allow = route.methods.join(", ");
    const why = route.whyNot === undefined ? "" : `: ${route.whyNot}`;
    return { ...errorAnswer(405, `${path} takes ${allow}${why}`), allow };
  }
  try {
    return await route.answer(context, signal);
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
  return json(200, { response: ancestorJson({ states: views.map(messageOf) }) });
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
