/**
 * Against DNS rebinding: a page in a browser can make its own host name resolve to 127.0.0.1 and then read this
 * server as its own origin. It cannot choose the Host header, so only names that cannot be an attacker's pass.
 */
import { isIP } from "node:net";
import { isLoopback } from "./bind-address.js";

export interface OwnHost {
  boundHost: string;
  localAddress: string | undefined;
  names: readonly string[];
}

/**
 * `host` is the Host header; `localAddress` the address that the connection arrived at, which covers a wildcard bind.
 * True for loopback names and addresses, the bound host, the local address, and `names` (no ports in them).
 */
export function isOwnHost(host: string | undefined, own: OwnHost): boolean {
  const hostname = hostnameOf(host);
  if (hostname === undefined) return false;
  const allowed = [own.boundHost, own.localAddress ?? "", ...own.names].map(canonical);
  return isLoopback(hostname) || allowed.includes(canonical(hostname));
}

/** Without port and brackets; undefined for what is no `host [":" port]` of RFC 9110. */
function hostnameOf(header: string | undefined): string | undefined {
  const match = /^(?:\[([0-9a-f:.]+)\]|([a-z0-9._-]+))(?::\d{1,5})?$/i.exec(header ?? "");
  return match?.[1] ?? match?.[2];
}

function canonical(host: string): string {
  const lower = host.toLowerCase().replace(/\.$/, "");
  return isIP(lower) === 6 && lower.startsWith("::ffff:") && isIP(lower.slice(7)) === 4 ? lower.slice(7) : lower;
}

/** Whether a page of this very server asks. `origin` and `host` are headers; both ports must be the same too. */
export function isOwnOrigin(origin: string, host: string | undefined): boolean {
  const { host: ofOrigin = "" } = URL.canParse(origin) ? new URL(origin) : {};
  return ofOrigin !== "" && ofOrigin === host?.toLowerCase();
}
