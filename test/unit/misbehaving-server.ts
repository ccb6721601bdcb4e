/** An HTTP server that answers each request as the test says, on a port of its own; counts what it is asked. */
import { type IncomingMessage, type ServerResponse, createServer } from "node:http";
import type { AddressInfo, Socket } from "node:net";
import { type ConnectOptions, type ConsulConnection, connectConsul } from "../../src/sidecar/consul/connect.js";
import { consulSettingsFrom } from "../../src/sidecar/consul/settings.js";

export type Behaviour = (request: IncomingMessage, response: ServerResponse, socket: Socket) => void;

export class MisbehavingServer {
  behave: Behaviour = (_request, response) => response.end();
  requests: { method: string; url: string; headers: IncomingMessage["headers"] }[] = [];
  /** Bytes that were handed to the sockets. */
  sentBytes = 0;
  readonly #connections: ConsulConnection[] = [];
  readonly #sockets = new Set<Socket>();
  readonly #server = createServer((request, response) => {
    this.requests.push({ method: request.method ?? "", url: request.url ?? "", headers: request.headers });
    this.behave(request, response, request.socket);
  });

  async start(host = "127.0.0.1"): Promise<void> {
    this.#server.on("connection", (socket) => {
      this.#sockets.add(socket);
      socket.once("close", () => {
        this.sentBytes += socket.bytesWritten;
        this.#sockets.delete(socket);
      });
      // A client that goes away is what these tests are about.
      socket.on("error", () => {});
    });
    await new Promise<void>((resolve) => this.#server.listen(0, host, resolve));
  }

  get port(): number {
    return (this.#server.address() as AddressInfo).port;
  }

  get openSockets(): number {
    return this.#sockets.size;
  }

  connect(env: Record<string, string> = {}, options: ConnectOptions = {}): ConsulConnection {
    const connection = connectConsul(consulSettingsFrom({ CONSUL_HTTP_ADDR: `127.0.0.1:${this.port}`, ...env }), options);
    this.#connections.push(connection);
    return connection;
  }

  /** Resolves when every connection has ended. */
  async socketsClosed(): Promise<void> {
    await Promise.all([...this.#sockets].map((socket) => new Promise((resolve) => socket.once("close", resolve))));
  }

  async stop(): Promise<void> {
    for (const connection of this.#connections) connection.close();
    this.#server.closeAllConnections();
    await new Promise((resolve) => this.#server.close(resolve));
  }
}

/** Answers with JSON as Consul does, its headers of a read included. */
export function answerJson(body: string, { status = 200, index = "7" }: { status?: number; index?: string } = {}): Behaviour {
  return (_request, response) => {
    const meta = { "X-Consul-Index": index, "X-Consul-KnownLeader": "true", "X-Consul-LastContact": "0" };
    response.writeHead(status, { "Content-Type": "application/json", ...meta });
    response.end(body);
  };
}

export function answerText(status: number, text: string, contentType = "text/plain; charset=utf-8"): Behaviour {
  return (_request, response) => {
    response.writeHead(status, { "Content-Type": contentType });
    response.end(text);
  };
}
