/**
 * A spawn as it was asked for, checked: values of any type come in, from protobuf, from JSON or from a command line, and
 * what is wrong is named with its range. Not what becomes of it (placement/).
 */
import { createHash } from "node:crypto";
import { IMAGE_REF, MAX_PORTS, REQUEST_ID } from "./job-meta.js";
import { invalid } from "./placement-error.js";

export interface PortPair {
  host: number;
  workload: number;
}

export interface SpawnOrder {
  /** See placement/reference.ts. */
  imageRef: string;
  cores: number;
  memoryMb: number;
  /** Sorted by host port. */
  ports: readonly PortPair[];
  /** Workload ports for which Nomad chooses the host's. Sorted. */
  dynamicPorts: readonly number[];
  /** NAME=value */
  env: readonly string[];
  dryRun: boolean;
  /** A policy file's bytes. */
  policy?: Uint8Array;
  /** The same ID is the same workload, however often it is sent. */
  requestId: string;
  /** A second copy may live for a while when the first is moved. */
  allowOverlap: boolean;
}

/** As the carriers have it; nothing is believed of the types. */
export type RawSpawn = Partial<Record<"image_ref" | "cores" | "memory" | "ports" | "dynamic_ports" | "env" | "dry_run" | "policy" | "request_id" | "allow_overlap", unknown>>;

export const SPAWN_LIMITS = { cores: 512, memoryMb: 4_194_304, ports: MAX_PORTS, env: 256, envBytes: 32_768, policyBytes: 65_536 } as const;
/** Nomad's least. */
const MIN_MEMORY_MB = 10;
const ENV_NAME = /^[A-Za-z_][A-Za-z0-9_]*$/;
/** Names that an object treats as its own workings. */
const NO_NAMES: ReadonlySet<string> = new Set(["__proto__", "constructor", "prototype"]);

/** Throws PlacementError `invalid`. `newId` makes a request ID where none was given. */
export function readSpawn(raw: RawSpawn, newId: () => string): SpawnOrder {
  const order: SpawnOrder = {
    imageRef: imageRefOf(raw.image_ref),
    cores: integer("cores", raw.cores, 1, SPAWN_LIMITS.cores),
    memoryMb: integer("memory", raw.memory, MIN_MEMORY_MB, SPAWN_LIMITS.memoryMb, " (megabytes)"),
    ports: portsOf(raw.ports),
    dynamicPorts: list("dynamic_ports", raw.dynamic_ports, SPAWN_LIMITS.ports).map((port) => integer("dynamic_ports", port, 1, 65_535)).sort((a, b) => a - b),
    env: envOf(raw.env),
    dryRun: flag("dry_run", raw.dry_run),
    requestId: requestIdOf(raw.request_id, newId),
    allowOverlap: flag("allow_overlap", raw.allow_overlap),
  };
  const workloadPorts = [...order.ports.map(({ workload }) => workload), ...order.dynamicPorts];
  if (new Set(workloadPorts).size < workloadPorts.length) throw invalid("ports", "give a workload port twice; each takes one host port");
  const policy = policyOf(raw.policy);
  if (policy !== undefined) order.policy = policy;
  return order;
}

/** Of what makes two requests the same one; a dry run places nothing and is none. Hex SHA-256. */
export function orderHash({ imageRef, cores, memoryMb, ports, dynamicPorts, env, policy, allowOverlap }: SpawnOrder): string {
  const policyText = policy === undefined ? "" : Buffer.from(policy).toString("base64");
  return createHash("sha256").update(JSON.stringify([imageRef, cores, memoryMb, ports, dynamicPorts, env, policyText, allowOverlap])).digest("hex");
}

function imageRefOf(value: unknown): string {
  if (typeof value !== "string" || value === "") throw invalid("image_ref", "is missing: name an image, such as nginx:1.27, or exec:///usr/bin/python3?arg=-V");
  if (!IMAGE_REF.test(value)) throw invalid("image_ref", "has 1 to 1024 characters of ASCII and no space; write others as %XX");
  return value;
}

function requestIdOf(value: unknown, newId: () => string): string {
  if (value === undefined || value === null || value === "") return newId();
  if (typeof value !== "string" || !REQUEST_ID.test(value)) throw invalid("request_id", `must match ${String(REQUEST_ID)}`);
  return value;
}

/** Host port to workload port: an object with decimal keys. */
function portsOf(value: unknown): PortPair[] {
  if (value === undefined || value === null) return [];
  if (typeof value !== "object" || Array.isArray(value)) throw invalid("ports", 'is an object of host port to workload port, such as {"8080": 80}');
  const entries = Object.entries(value);
  if (entries.length > SPAWN_LIMITS.ports) throw invalid("ports", `has at most ${String(SPAWN_LIMITS.ports)} entries`);
  return entries
    .map(([host, workload]) => ({
      host: integer("ports: the host port", /^-?\d{1,15}$/.test(host) ? Number(host) : host, 1, 65_535),
      workload: integer("ports: the workload port", workload, 1, 65_535),
    }))
    .sort((a, b) => a.host - b.host);
}

function envOf(value: unknown): string[] {
  const env = list("env", value, SPAWN_LIMITS.env).map((entry) => {
    const name = typeof entry === "string" ? entry.split("=", 1)[0] ?? "" : "";
    if (typeof entry !== "string" || !entry.includes("=") || !ENV_NAME.test(name) || NO_NAMES.has(name) || entry.includes("\0")) {
      throw invalid("env", `${JSON.stringify(name)}: write NAME=value, the name of letters, digits and _, not beginning with a digit, and none of ${[...NO_NAMES].join(", ")}`);
    }
    return entry;
  });
  if (Buffer.byteLength(env.join("\0")) > SPAWN_LIMITS.envBytes) throw invalid("env", `has at most ${String(SPAWN_LIMITS.envBytes)} bytes in all`);
  return env;
}

function policyOf(value: unknown): Uint8Array | undefined {
  if (value === undefined || value === null) return undefined;
  // JSON carries bytes as base64.
  const bytes = typeof value === "string" ? Buffer.from(value, "base64") : value;
  if (!(bytes instanceof Uint8Array)) throw invalid("policy", "is the bytes of a policy file, base64 in JSON");
  if (bytes.length > SPAWN_LIMITS.policyBytes) throw invalid("policy", `has at most ${String(SPAWN_LIMITS.policyBytes)} bytes`);
  return bytes.length === 0 ? undefined : bytes;
}

function integer(field: string, value: unknown, min: number, max: number, unit = ""): number {
  if (typeof value !== "number" || !Number.isInteger(value) || value < min || value > max) {
    throw invalid(field, `${shown(value)} is not an integer from ${String(min)} to ${String(max)}${unit}`);
  }
  return value;
}

function list(field: string, value: unknown, most: number): unknown[] {
  if (value === undefined || value === null) return [];
  if (!Array.isArray(value)) throw invalid(field, "is a list");
  if (value.length > most) throw invalid(field, `has at most ${String(most)} entries`);
  return value as unknown[];
}

function flag(field: string, value: unknown): boolean {
  if (value === undefined || value === null) return false;
  if (typeof value !== "boolean") throw invalid(field, "is true or false");
  return value;
}

function shown(value: unknown): string {
  if (typeof value === "string") return JSON.stringify(value.slice(0, 40));
  return typeof value === "number" ? String(value) : value === undefined || value === null ? "nothing" : `a value of type ${typeof value}`;
}
