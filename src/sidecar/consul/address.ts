/**
 * CONSUL_HTTP_ADDR as the Consul CLI reads it (consul api/api.go, NewClient): `host:port`,
 * `http://…`, `https://…`, each with an optional path prefix, or `unix:///path`. Without a port the
 * scheme's own (80, 443) is used, as the CLI does.
 */
import { ConsulSettingsError } from "./settings-error.js";

export interface ConsulAddress {
  scheme: "http" | "https";
  /** Bare: an IPv6 address comes without brackets. */
  host: string;
  port: number;
  /** "" or "/prefix", of a reverse proxy. */
  pathPrefix: string;
  socketPath: string | null;
}

const VARIABLE = "CONSUL_HTTP_ADDR";
const FORM = "write host:port, http://host:port, https://host:port, [IPv6]:port or unix:///path/to/socket";

/** `ssl` is CONSUL_HTTP_SSL: once asked for, TLS is never given up for an `http://` address. */
export function parseConsulAddress(text: string, ssl: boolean): ConsulAddress {
  const separator = text.indexOf("://");
  const named = separator < 0 ? "" : text.slice(0, separator);
  const rest = separator < 0 ? text : text.slice(separator + 3);
  const scheme = ssl || named === "https" ? "https" : "http";
  if (named === "unix") {
    if (!rest.startsWith("/")) {
      throw new ConsulSettingsError(VARIABLE, "the socket path is not absolute: write unix:///path/to/socket");
    }
    return { scheme, host: "localhost", port: scheme === "https" ? 443 : 80, pathPrefix: "", socketPath: rest };
  }
  if (named !== "" && named !== "http" && named !== "https") {
    throw new ConsulSettingsError(VARIABLE, `unknown scheme ${JSON.stringify(named)}: ${FORM}`);
  }
  // What stands before an @ may be a password, so the value is not repeated.
  if (rest.includes("@")) {
    throw new ConsulSettingsError(VARIABLE, "a user name is not allowed here: use CONSUL_HTTP_AUTH=user:password");
  }
  const slash = rest.indexOf("/");
  if (slash >= 0 && named === "") {
    throw new ConsulSettingsError(VARIABLE, "a path needs a scheme: write http://host:port/prefix");
  }
  const pathPrefix = slash < 0 ? "" : rest.slice(slash).replace(/\/+$/, "");
  if (/[?#\s]/.test(pathPrefix)) throw new ConsulSettingsError(VARIABLE, `not an address: ${FORM}`);
  return { scheme, ...hostAndPort(slash < 0 ? rest : rest.slice(0, slash), scheme), pathPrefix, socketPath: null };
}

function hostAndPort(authority: string, scheme: "http" | "https"): { host: string; port: number } {
  const match = /^(?:\[([0-9a-fA-F:.]+(?:%[\w.-]+)?)\]|([\w.-]+))(?::(\d{1,5}))?$/.exec(authority);
  const host = match?.[1] ?? match?.[2];
  if (match === null || host === undefined) throw new ConsulSettingsError(VARIABLE, `not an address: ${FORM}`);
  if (match[3] === undefined) return { host, port: scheme === "https" ? 443 : 80 };
  const port = Number(match[3]);
  if (port < 1 || port > 65_535) throw new ConsulSettingsError(VARIABLE, `port ${port} is not in 1..65535`);
  return { host, port };
}

/** For messages and logs: no secret is part of an address. */
export function displayAddress(address: ConsulAddress): string {
  if (address.socketPath !== null) return `unix://${address.socketPath}`;
  const host = address.host.includes(":") ? `[${address.host}]` : address.host;
  return `${address.scheme}://${host}:${address.port}${address.pathPrefix}`;
}
