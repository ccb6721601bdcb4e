/**
 * After a call that reached nobody who speaks gRPC: what does listen there? The commonest mistakes are the HTTP port in
 * place of the gRPC port, and TLS on one side only; grpc-js reports all of them as an unavailable server.
 */
import { connect, isIP, type Socket } from "node:net";
import { connect as connectTls } from "node:tls";
import { ApiError } from "./api-error.js";

const LOOK_MS = 2_000;

/** The same error, or one that names the mistake. Never rejects. */
export async function moreExactly(error: ApiError, triedTls: boolean): Promise<ApiError> {
  if (error.code !== "unreachable" && error.code !== "protocol") return error;
  const { address } = error;
  const found = await whatListens(address);
  const named = (code: "protocol" | "tls", message: string) => new ApiError(code, address, message, { cause: error });
  if (found === "http") return named("protocol", `${address} answers in HTTP/1.1: it is a sidecar's HTTP port, or another web server, not a gRPC port`);
  if (found === "https") return named("protocol", `${address} answers in HTTP/1.1 over TLS: it is a sidecar's HTTP port, or another web server, not a gRPC port`);
  if (found === "tls" && !triedTls) return named("tls", `${address} speaks TLS, and was called in plain text`);
  if (found === "tls") return named("tls", `no TLS connection with ${address} (${error.message})`);
  if (found === "other" && triedTls) return named("tls", `${address} does not speak TLS, and was called with it`);
  return error;
}

async function whatListens(address: string): Promise<"nothing" | "http" | "https" | "tls" | "other"> {
  const [, bracketed, plain, port] = /^(?:\[([^\]]+)\]|([^:]+)):(\d+)$/.exec(address) ?? [];
  const at = { host: bracketed ?? plain ?? "", port: Number(port) };
  const said = await firstWords(connect(at), "connect", "GET /healthz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
  if (said === undefined) return "nothing";
  if (said.startsWith("HTTP/1.")) return "http";
  const name = isIP(at.host) === 0 ? { servername: at.host } : {};
  // Nothing is sent over it and nothing believed: only whether a handshake takes place is of interest.
  const socket = connectTls({ ...at, ...name, rejectUnauthorized: false, ALPNProtocols: ["h2", "http/1.1"] });
  const greeted = await firstWords(socket, "secureConnect", undefined);
  return greeted === undefined ? "other" : socket.alpnProtocol === "http/1.1" ? "https" : "tls";
}

/** What is answered to `text`, "" where nothing is or nothing was asked; undefined where `opened` did not come. */
function firstWords(socket: Socket, opened: "connect" | "secureConnect", text: string | undefined): Promise<string | undefined> {
  return new Promise((resolve) => {
    let heard: string | undefined;
    socket.setTimeout(LOOK_MS, () => socket.destroy());
    socket.once(opened, () => {
      heard = "";
      if (text === undefined) socket.destroy();
      else socket.write(text);
    });
    socket.once("data", (chunk: Buffer) => {
      heard = chunk.toString("latin1");
      socket.destroy();
    });
    socket.once("error", () => {});
    socket.once("close", () => resolve(heard));
  });
}
