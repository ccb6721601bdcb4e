/** HOST[:PORT] as people write it, and the numeric address behind it, which is all that the prober takes. */
import { lookup } from "node:dns/promises";
import { isIP } from "node:net";

export interface ProbeAddress {
  /** A name or a numeric address, without brackets. */
  host: string;
  port: number;
}

/** `wrong-family`: a numeric address of the other family; `unresolvable`: the name has no address, or nobody could be asked. */
export class ProbeAddressError extends Error {
  constructor(
    readonly code: "unresolvable" | "wrong-family",
    message: string,
  ) {
    super(message);
    this.name = "ProbeAddressError";
  }
}

/** Also `[IPv6]:PORT` and a bare IPv6 address, with or without a zone. Undefined for anything else. */
export function parseProbeAddress(text: string, defaultPort: number): ProbeAddress | undefined {
  if (isIP(text) === 6) return { host: text, port: defaultPort };
  const [, bracketed, plain, digits] = /^(?:\[([^\]]+)\]|([^\s:/[\]]+))(?::(\d{1,5}))?$/.exec(text) ?? [];
  const host = bracketed ?? plain;
  const port = digits === undefined ? defaultPort : Number(digits);
  if (host === undefined || port < 1 || port > 65_535 || (bracketed !== undefined && isIP(bracketed) !== 6)) return undefined;
  return { host, port };
}

/** The first address by the system's order. Rejects with ProbeAddressError. */
export async function resolveProbeAddress(host: string, family?: 4 | 6): Promise<string> {
  const numeric = isIP(host);
  if (numeric !== 0) {
    if (family !== undefined && numeric !== family) throw new ProbeAddressError("wrong-family", `${host} is an IPv${String(numeric)} address`);
    return host;
  }
  try {
    const { address } = await lookup(host, { family: family ?? 0 });
    return address;
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    const kind = family === undefined ? "address" : `IPv${String(family)} address`;
    const why = code === "EAI_AGAIN" ? "no name server answers" : `the name has no ${kind}`;
    throw new ProbeAddressError("unresolvable", `${host} cannot be resolved: ${why} (${code ?? "unknown"})`);
  }
}
