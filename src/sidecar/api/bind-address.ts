/**
 * Where the servers listen. Loopback in plain text or over mTLS; any other address over mTLS, or refused unless the
 * operator opted out, and that is logged.
 */
import { BlockList, isIP, type Server } from "node:net";
import type { Logger } from "pino";
import type { HostPort } from "../settings.js";

const LOOPBACK = new BlockList();
LOOPBACK.addSubnet("127.0.0.0", 8, "ipv4"); // matches ::ffff:127.0.0.0/104 too
LOOPBACK.addAddress("::1", "ipv6");

export type BindFault = "not-loopback" | "in-use" | "not-available" | "permission" | "failed";

export class BindError extends Error {
  override readonly name = "BindError";
  constructor(
    readonly code: BindFault,
    readonly address: string,
    message: string,
    options?: ErrorOptions,
  ) {
    super(message, options);
  }
}

/** True for 127.0.0.0/8, ::1, their mapped forms, and `localhost` (RFC 6761). Brackets are not part of a host here. */
export function isLoopback(host: string): boolean {
  const family = isIP(host);
  if (family === 0) return host.toLowerCase().replace(/\.$/, "") === "localhost";
  return LOOPBACK.check(host, family === 6 ? "ipv6" : "ipv4");
}

export function formatHostPort({ host, port }: HostPort): string {
  return `${isIP(host) === 6 ? `[${host}]` : host}:${String(port)}`;
}

/** Throws BindError `not-loopback` unless the address is loopback, mTLS guards it, or `insecureBind` allows it (logged at warn). */
export function checkBind(server: "grpc" | "http", bind: HostPort, guarded: { insecureBind: boolean; mtls: boolean }, logger: Logger): void {
  if (isLoopback(bind.host) || guarded.mtls) return;
  const address = formatHostPort(bind);
  if (!guarded.insecureBind) {
    throw new BindError(
      "not-loopback",
      address,
      `--${server}-bind-addr ${address} is not a loopback address, and this server speaks plain text: ` +
        "bind 127.0.0.1, give --tls-cert-file, --tls-key-file and --tls-client-ca-file (docs/ports.md), or set --insecure-bind where the network itself is trusted",
    );
  }
  logger.warn({ server, address }, "serving plain text beyond loopback, as --insecure-bind allows");
}

/** Rejects with BindError. Later faults of the server are logged. */
export async function listen(kind: "grpc" | "http", server: Server, bind: HostPort, logger: Logger): Promise<void> {
  await new Promise<void>((resolve, reject) => {
    const failed = (error: Error) => reject(bindErrorOf(kind, bind, error));
    server.once("error", failed);
    server.listen(bind.port, bind.host, () => {
      server.off("error", failed);
      server.on("error", (error) => logger.error({ err: error, server: kind }, "server failed"));
      resolve();
    });
  });
}

/** A failed listen as a BindError that says what to do. */
export function bindErrorOf(server: "grpc" | "http", bind: HostPort, cause: NodeJS.ErrnoException): BindError {
  const address = formatHostPort(bind);
  const option = `--${server}-bind-addr`;
  switch (cause.code) {
    case "EADDRINUSE":
      return new BindError("in-use", address, `${address} is taken by another process: stop it, or choose another port with ${option}`, { cause });
    case "EADDRNOTAVAIL":
    case "ENOTFOUND":
      return new BindError("not-available", address, `this host has no address ${bind.host}: correct ${option}`, { cause });
    case "EACCES":
      return new BindError("permission", address, `no permission to listen on ${address}: choose a port from 1024 up with ${option}`, { cause });
    default:
      return new BindError("failed", address, `cannot listen on ${address}: ${cause.message}`, { cause });
  }
}
