/**
 * The ports of a local cluster: one set for all nodes, moved as a whole where any of it is taken.
 * "addresses" (Linux, where all of 127/8 is local): node i listens on 127.0.0.i, every node on the same ports.
 * "ports" (elsewhere): all nodes on 127.0.0.1, node i on the ports of node 1 + 100·(i − 1).
 */
import { createSocket } from "node:dgram";
import { createServer, type Server } from "node:net";
import { DevError } from "./dev-error.js";

export type Addressing = "addresses" | "ports";

export interface NodePorts {
  consulHttp: number;
  consulDns: number;
  consulRpc: number;
  consulSerf: number;
  sidecarGrpc: number;
  sidecarHttp: number;
  /** UDP: the STAMP reflector. */
  sidecarProbe: number;
  nomadHttp: number;
  nomadRpc: number;
  nomadSerf: number;
  /** Given to workloads; no other node's range overlaps. Inclusive. */
  nomadDynamic: { from: number; to: number };
}

export interface NodeEndpoints {
  address: string;
  ports: NodePorts;
}

/** Consul's, Nomad's and the sidecar's own defaults, so that on a quiet machine no variable needs to be set. */
const DEFAULTS = {
  consulHttp: 8500,
  consulDns: 8600,
  consulRpc: 8300,
  consulSerf: 8301,
  sidecarGrpc: 8000,
  sidecarHttp: 8001,
  sidecarProbe: 8862,
  nomadHttp: 4646,
  nomadRpc: 4647,
  nomadSerf: 4648,
};
/** For "ports": no two of them meet modulo 100, but for 8000 and 8500, which do from the sixth node on. */
const SPREAD = { ...DEFAULTS, consulDns: 8553, consulRpc: 8530, consulSerf: 8531 };
const MAX_NODES = { addresses: 50, ports: 5 };
const UDP_PORTS = ["consulDns", "consulSerf", "nomadSerf", "sidecarProbe"] as const;

const SHIFT = 1_000;
/** The highest set ends below 29000, where the dynamic ranges start, which end below Linux's ephemeral ports (32768). */
export const MAX_SHIFTS = 19;
const DYNAMIC_FROM = 29_000;
const DYNAMIC_PER_SET = 150;
/** Held open on 127.0.0.1 by the owner of a set: the kernel's own lock, released when the owner dies. */
const GUARD = 8_999;

export function defaultAddressing(platform: NodeJS.Platform = process.platform): Addressing {
  return platform === "linux" ? "addresses" : "ports";
}

/** Where each node listens in the set `shift` (0 is the default set). Rejects a cluster too large for the addressing with `bad-option`. */
export function nodeEndpoints(nodes: number, addressing: Addressing, shift = 0): NodeEndpoints[] {
  const most = MAX_NODES[addressing];
  if (!Number.isInteger(nodes) || nodes < 1 || nodes > most) {
    throw new DevError("bad-option", `A local cluster by ${addressing} has 1 to ${most} nodes, not ${nodes}`, { nodes, addressing });
  }
  const width = Math.floor(DYNAMIC_PER_SET / nodes);
  return Array.from({ length: nodes }, (_, index) => {
    const base = addressing === "addresses" ? DEFAULTS : SPREAD;
    const moved = shift * SHIFT + (addressing === "addresses" ? 0 : index * 100);
    const from = DYNAMIC_FROM + shift * DYNAMIC_PER_SET + index * width;
    const ports = Object.fromEntries(Object.entries(base).map(([role, port]) => [role, port + moved])) as typeof DEFAULTS;
    return {
      address: addressing === "addresses" ? `127.0.0.${index + 1}` : "127.0.0.1",
      ports: { ...ports, nomadDynamic: { from, to: from + width - 1 } },
    };
  });
}

export interface PortSet {
  shift: number;
  endpoints: NodeEndpoints[];
  /** "127.0.0.1:8500": what made an earlier set unusable, one for each. */
  taken: string[];
  release(): void;
}

/** The first set from `firstShift` up of which every port is free; it stays this process's until released. Rejects with `no-free-ports`. */
export async function reservePorts(nodes: number, addressing: Addressing, firstShift = 0): Promise<PortSet> {
  const taken: string[] = [];
  for (let shift = firstShift; shift <= MAX_SHIFTS; shift += 1) {
    const endpoints = nodeEndpoints(nodes, addressing, shift);
    const guardPort = GUARD + shift * SHIFT;
    const guard = await listen("127.0.0.1", guardPort);
    if (guard === null) {
      taken.push(`127.0.0.1:${guardPort} (another local cluster)`);
      continue;
    }
    const busy = await firstBusy(endpoints);
    if (busy === null) return { shift, endpoints, taken, release: () => guard.close() };
    guard.close();
    taken.push(busy);
  }
  throw new DevError("no-free-ports", `No set of ports is free. Taken: ${taken.join(", ")}`, { taken });
}

async function firstBusy(endpoints: readonly NodeEndpoints[]): Promise<string | null> {
  for (const { address, ports } of endpoints) {
    for (const [role, port] of Object.entries(ports)) {
      if (typeof port !== "number") continue;
      const server = await listen(address, port);
      if (server === null) return `${address}:${port}`;
      await new Promise((resolve) => server.close(resolve));
      if (UDP_PORTS.some((udp) => udp === role) && !(await isUdpFree(address, port))) return `${address}:${port}/udp`;
    }
  }
  return null;
}

/** Null where the port is taken. Any other refusal (no such address) is thrown. */
function listen(address: string, port: number): Promise<Server | null> {
  return new Promise((resolve, reject) => {
    const server = createServer((socket) => socket.destroy());
    server.unref();
    server.once("error", (error: NodeJS.ErrnoException) => (error.code === "EADDRINUSE" ? resolve(null) : reject(error)));
    server.listen({ host: address, port, exclusive: true }, () => resolve(server));
  });
}

function isUdpFree(address: string, port: number): Promise<boolean> {
  return new Promise((resolve, reject) => {
    const socket = createSocket("udp4");
    socket.once("error", (error: NodeJS.ErrnoException) => (error.code === "EADDRINUSE" ? resolve(false) : reject(error)));
    socket.bind({ address, port, exclusive: true }, () => socket.close(() => resolve(true)));
  });
}
