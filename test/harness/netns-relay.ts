/**
 * Lets a test reach TCP ports inside a namespace. A child in the namespace listens on a unix socket (files, unlike
 * addresses, are shared) and connects each caller to the target that the caller's first line names.
 */
import { once } from "node:events";
import { existsSync, mkdirSync } from "node:fs";
import { type AddressInfo, createConnection, createServer, type Server, type Socket } from "node:net";
import { join } from "node:path";
import { ManagedProcess } from "../../src/dev/managed-process.js";
import { waitFor } from "../../src/dev/readiness.js";
import type { RunFolder } from "../../src/dev/run-folder.js";

export class NamespaceRelay {
  readonly #servers: Server[] = [];
  readonly #sockets = new Set<Socket>();
  readonly #forwards = new Map<string, Promise<string>>();
  #inside: Promise<void> | null = null;

  constructor(
    private readonly prefix: readonly string[],
    private readonly folder: string,
    private readonly run: RunFolder,
  ) {}

  /** host:port outside for host:port inside; the same for the same target. */
  forward(target: string): Promise<string> {
    const known = this.#forwards.get(target);
    if (known) return known;
    const made = this.#listen(target);
    this.#forwards.set(target, made);
    return made;
  }

  close(): void {
    for (const server of this.#servers) server.close();
    for (const socket of this.#sockets) socket.destroy();
  }

  async #listen(target: string): Promise<string> {
    await (this.#inside ??= this.#startInside());
    const server = createServer((outer) => {
      const inner = createConnection(this.#socketPath);
      inner.write(`${target}\n`);
      joinSockets(outer, inner);
      for (const socket of [outer, inner]) {
        this.#sockets.add(socket);
        socket.once("close", () => this.#sockets.delete(socket));
      }
    });
    this.#servers.push(server);
    server.listen(0, "127.0.0.1");
    await once(server, "listening");
    return `127.0.0.1:${(server.address() as AddressInfo).port}`;
  }

  get #socketPath(): string {
    return join(this.folder, "socket");
  }

  async #startInside(): Promise<void> {
    mkdirSync(this.folder);
    const [command = process.execPath, ...args]: readonly string[] = [...this.prefix, process.execPath, import.meta.filename, this.#socketPath];
    const inside = new ManagedProcess({ name: "relay", command, args, env: process.env, cwd: this.folder, logFile: join(this.folder, "log"), run: this.run });
    await inside.start();
    await waitFor("relay", () => existsSync(this.#socketPath) || undefined, { timeoutMs: 10_000, everyMs: 20, process: inside });
  }
}

/** Runs inside the namespace: `node netns-relay.js SOCKET`. */
function serveInside(socketPath: string): void {
  createServer((caller) => {
    let head = "";
    const onData = (bytes: Buffer): void => {
      head += bytes.toString("latin1");
      const end = head.indexOf("\n");
      if (end === -1) return;
      caller.off("data", onData);
      caller.pause();
      const [host, port] = head.slice(0, end).split(":") as [string, string];
      const target = createConnection(Number(port), host);
      target.write(Buffer.from(head.slice(end + 1), "latin1"));
      joinSockets(caller, target);
    };
    caller.on("data", onData);
    caller.on("error", () => caller.destroy());
  }).listen(socketPath);
}

/** A broken end breaks the other: the caller sees a reset, as without a relay. */
function joinSockets(a: Socket, b: Socket): void {
  for (const [from, to] of [[a, b], [b, a]] as const) {
    from.pipe(to);
    from.on("error", () => to.destroy());
    from.once("close", () => to.destroy());
  }
}

if (process.argv[1] === import.meta.filename) serveInside(process.argv[2] as string);
