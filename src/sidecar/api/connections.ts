/**
 * How many connections a port holds, in all and of one client address. A full port does not lock others out: the
 * connection whose client has had its turn for longest makes room, first among the newcomer's own. Only where this
 * process is at work for every one of them the newcomer is refused.
 */
import { isIPv6, type Socket } from "node:net";
import { isLoopback } from "./bind-address.js";

export interface ConnectionLimits {
  total: number;
  perClient: number;
}

export const CONNECTION_LIMITS: ConnectionLimits = { total: 256, perClient: 64 };

interface Connection {
  socket: Socket;
  client: string;
  /** Calls that this process works on; while there is none, it is the client's turn. */
  working: number;
}

export class Connections {
  /** By peer, longest at the client's turn first. */
  readonly #open = new Map<string, Connection>();
  readonly #counts = new Map<string, number>();

  constructor(
    private readonly limits: ConnectionLimits,
    private readonly onDropped: () => void = () => {},
  ) {}

  get size(): number {
    return this.#open.size;
  }

  /** False: it was refused, and destroyed before anything was made for it. */
  admit(socket: Socket): boolean {
    const { remoteAddress, remotePort } = socket;
    socket.on("error", () => {}); // who resets its own connection is no news
    if (remoteAddress === undefined || remotePort === undefined || !this.#makeRoom(clientOf(remoteAddress))) {
      socket.resetAndDestroy();
      return false;
    }
    const client = clientOf(remoteAddress);
    const peer = `${remoteAddress}:${String(remotePort)}`;
    this.#open.set(peer, { socket, client, working: 0 });
    this.#counts.set(client, this.#of(client) + 1);
    socket.once("close", () => this.#forget(peer, socket));
    return true;
  }

  /** Work for a peer begins; the function that is returned says that it is the peer's turn again. */
  working(peer: string): () => void {
    const connection = this.#open.get(peer);
    if (connection === undefined) return () => {};
    connection.working += 1;
    return () => {
      connection.working -= 1;
      if (this.#open.get(peer) !== connection) return;
      this.#open.delete(peer);
      this.#open.set(peer, connection); // last again
    };
  }

  cut(peer: string): void {
    this.#open.get(peer)?.socket.destroy();
  }

  cutAll(): void {
    for (const { socket } of this.#open.values()) socket.destroy();
  }

  #makeRoom(client: string): boolean {
    if (this.#of(client) >= this.limits.perClient) return this.#displace(client);
    if (this.#open.size < this.limits.total) return true;
    const [most] = [...this.#counts].reduce((a, b) => (b[1] > a[1] ? b : a));
    return this.#displace(most);
  }

  #displace(client: string): boolean {
    for (const [peer, connection] of this.#open) {
      if (connection.client !== client || connection.working > 0) continue;
      this.#forget(peer, connection.socket);
      connection.socket.resetAndDestroy();
      return true;
    }
    this.onDropped();
    return false;
  }

  #forget(peer: string, socket: Socket): void {
    const connection = this.#open.get(peer);
    if (connection?.socket !== socket) return;
    this.#open.delete(peer);
    const left = this.#of(connection.client) - 1;
    if (left === 0) this.#counts.delete(connection.client);
    else this.#counts.set(connection.client, left);
  }

  #of(client: string): number {
    return this.#counts.get(client) ?? 0;
  }
}

/** An address, or what one client can have many of: all of loopback, and an IPv6 /64. */
export function clientOf(address: string): string {
  if (isLoopback(address)) return "loopback";
  if (!isIPv6(address) || address.startsWith("::ffff:")) return address.replace(/^::ffff:/, "");
  const [head = "", tail = ""] = address.replace(/%.*$/, "").split("::", 2);
  const groups = head.split(":").filter((group) => group !== "");
  if (address.includes("::")) {
    const after = tail.split(":").filter((group) => group !== "").length;
    while (groups.length < Math.min(4, 8 - after)) groups.push("0");
    groups.push(...tail.split(":"));
  }
  return `${groups.slice(0, 4).join(":")}::/64`;
}
