/**
 * What a job of ours says of itself, in its Nomad meta: where it came from, and which decision put it where it is. The
 * job is the only record of a placement, so that a sidecar that was killed in between loses nothing, and any placer can
 * go on. Nomad shows meta to the task as NOMAD_META_… variables; env is not in it, since it may hold secrets.
 */
import { NAME_RULE, type WorkloadSource } from "../beacon/record.js";

/** Jobs of ours begin so; the rest is made from the request ID. */
export const JOB_PREFIX = "ibrl-";

export interface JobMeta {
  source: WorkloadSource;
  orderHash: string;
  /** The spawn's own policy file. */
  policy?: Uint8Array;
  /** Absent in jobs of somebody who did not know it: they are not moved. */
  placed?: Placed;
}

/** Where it is and how it came there. */
export interface Placed {
  /** Consul's name of the node. */
  node: string;
  /** Unix milliseconds, by the clock of who placed it. */
  atMs: number;
  /** Moves one after another, none of which lasted; 0 for a spawn's own placement. */
  moves: number;
  /** Nodes that it was on during these. */
  tried: readonly string[];
  /** A client that is cut off ends it after so long; 0 where a second copy may live. */
  stopAfterMs: number;
  /** What its tasks then get to end by themselves. */
  killMs: number;
}

/** Nomad's default, and that of the templates. */
export const DEFAULT_KILL_MS = 5_000;

const KEYS = {
  requestId: "ibrl_request_id",
  decisionId: "ibrl_decision_id",
  generation: "ibrl_generation",
  order: "ibrl_order",
  orderHash: "ibrl_order_hash",
  overlap: "ibrl_allow_overlap",
  policy: "ibrl_policy",
  placed: "ibrl_placed",
} as const;

export function metaOf({ source, orderHash, policy, placed }: JobMeta): Record<string, string> {
  const { imageRef, cores, memoryMb, ports } = source;
  return {
    [KEYS.requestId]: source.requestId,
    [KEYS.decisionId]: source.decisionId,
    [KEYS.generation]: String(source.generation),
    [KEYS.order]: JSON.stringify({ imageRef, cores, memoryMb, ports }),
    [KEYS.orderHash]: orderHash,
    [KEYS.overlap]: String(source.allowOverlap),
    ...(policy === undefined ? {} : { [KEYS.policy]: Buffer.from(policy).toString("base64") }),
    ...(placed === undefined ? {} : { [KEYS.placed]: JSON.stringify(placed) }),
  };
}

/** What a signed state can carry and a terminal can show. */
export const IMAGE_REF = /^[\x21-\x7e]{1,1024}$/;
export const REQUEST_ID = /^[A-Za-z0-9][A-Za-z0-9._:-]{0,63}$/;
const DECISION_ID = /^[0-9a-f]{32}$/;
export const MAX_PORTS = 64;
const MAX_TRIED = 64;

/** Undefined for a job that is not ours, whatever its name. */
export function readMeta(meta: ReadonlyMap<string, string>): JobMeta | undefined {
  const [requestId, decisionId, orderHash, order] = [KEYS.requestId, KEYS.decisionId, KEYS.orderHash, KEYS.order].map((key) => meta.get(key));
  const generation = Number(meta.get(KEYS.generation));
  if (requestId === undefined || decisionId === undefined || orderHash === undefined || order === undefined) return undefined;
  if (!REQUEST_ID.test(requestId) || !DECISION_ID.test(decisionId) || !isCount(generation) || generation < 1) return undefined;
  const asked = readOrder(order);
  if (asked === undefined) return undefined;
  const policy = meta.get(KEYS.policy);
  const placed = readPlaced(meta.get(KEYS.placed));
  return {
    source: { requestId, decisionId, generation, ...asked, allowOverlap: meta.get(KEYS.overlap) === "true" },
    orderHash,
    ...(policy === undefined ? {} : { policy: Buffer.from(policy, "base64") }),
    ...(placed === undefined ? {} : { placed }),
  };
}

/** Anybody who may submit jobs may write this, so nothing is taken as it comes. */
function readOrder(text: string): Pick<WorkloadSource, "imageRef" | "cores" | "memoryMb" | "ports"> | undefined {
  try {
    const { imageRef, cores, memoryMb, ports } = JSON.parse(text) as Record<string, unknown>;
    if (typeof imageRef !== "string" || !IMAGE_REF.test(imageRef) || !isCount(cores) || !isCount(memoryMb)) return undefined;
    if (!Array.isArray(ports) || ports.length > MAX_PORTS) return undefined;
    const pairs = ports.map((pair: unknown) => pair as Record<string, unknown> | null);
    if (!pairs.every((pair) => isPort(pair?.["host"]) && isPort(pair?.["workload"]))) return undefined;
    return { imageRef, cores, memoryMb, ports: pairs.map((pair) => ({ host: pair?.["host"] as number, workload: pair?.["workload"] as number })) };
  } catch {
    return undefined;
  }
}

function readPlaced(text: string | undefined): Placed | undefined {
  try {
    // Who wrote no killMs knew the default only.
    const { node, atMs, moves, tried, stopAfterMs, killMs = DEFAULT_KILL_MS } = JSON.parse(text ?? "null") as Record<string, unknown>;
    const isName = (value: unknown): value is string => typeof value === "string" && NAME_RULE.test(value);
    if (!isName(node) || !Array.isArray(tried) || tried.length > MAX_TRIED || !tried.every(isName)) return undefined;
    if (!Number.isSafeInteger(atMs) || !isCount(moves) || !isCount(stopAfterMs) || !isCount(killMs)) return undefined;
    return { node, atMs: atMs as number, moves, tried, stopAfterMs, killMs };
  } catch {
    return undefined;
  }
}

function isPort(value: unknown): value is number {
  return isCount(value) && value >= 1 && value <= 65_535;
}

function isCount(value: unknown): value is number {
  return typeof value === "number" && Number.isInteger(value) && value >= 0 && value <= 0xffff_ffff;
}
