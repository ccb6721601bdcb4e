/**
 * A UDP socket for probing. Sends go to the kernel in the same turn: Node resolves even a numeric
 * address through a later callback, which would sit inside the measured time, so look-up is replaced.
 */
import { createSocket, type RemoteInfo, type Socket } from "node:dgram";
import { familyOf, type AddressFamily } from "./ip-address.js";
import type { ProbeEndpoint } from "./probe-settings.js";

/** Largest hop limit, as RFC 5357 (4.2.1) has it for test packets: the receiver can tell the distance. */
const PROBE_TTL = 255;

export interface UdpSocketOptions {
  /** Numeric; decides the family. */
  address: string;
  /** 0: the kernel chooses. */
  port: number;
  onMessage(bytes: Uint8Array, from: ProbeEndpoint, receivedNs: bigint): void;
  /** After binding. A socket error does not end the socket. */
  onError(error: Error): void;
}

export class UdpSocket {
  private constructor(
    private readonly socket: Socket,
    private readonly onError: (error: Error) => void,
  ) {}

  /** Rejects with the system's error (EADDRINUSE, EACCES, EADDRNOTAVAIL) when it cannot bind. */
  static async open(options: UdpSocketOptions): Promise<UdpSocket> {
    const family = familyOf(options.address);
    if (family === undefined) throw new TypeError("a numeric address is needed");
    const socket = createSocket({
      type: family === "ipv4" ? "udp4" : "udp6",
      ipv6Only: family === "ipv6",
      lookup: (host, _options, done) => done(null, host, family === "ipv4" ? 4 : 6),
    });
    // Registered before binding, so that the first thing done for any packet is to read the clock.
    socket.on("message", (bytes: Buffer, from: RemoteInfo) => {
      const receivedNs = process.hrtime.bigint();
      options.onMessage(bytes, { address: from.address, port: from.port }, receivedNs);
    });
    await new Promise<void>((resolve, reject) => {
      socket.once("error", reject);
      socket.bind({ address: options.address, port: options.port, exclusive: true }, () => {
        socket.off("error", reject);
        resolve();
      });
    }).catch((error: unknown) => {
      socket.close();
      throw error;
    });
    socket.on("error", options.onError);
    socket.setTTL(PROBE_TTL);
    return new UdpSocket(socket, options.onError);
  }

  get endpoint(): ProbeEndpoint {
    const { address, port } = this.socket.address();
    return { address, port };
  }

  /** False where the packet was refused at once; later failures go to `onError`. */
  send(bytes: Uint8Array, to: ProbeEndpoint): boolean {
    try {
      this.socket.send(bytes, to.port, to.address, (error) => {
        if (error !== null) this.onError(error);
      });
      return true;
    } catch (error) {
      this.onError(error as Error);
      return false;
    }
  }

  async close(): Promise<void> {
    await new Promise<void>((resolve) => this.socket.close(() => resolve()));
  }
}

export const ANY_ADDRESS: Record<AddressFamily, string> = { ipv4: "0.0.0.0", ipv6: "::" };
