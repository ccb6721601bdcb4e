/** One spelling for each numeric address, the kernel's, so that addresses can be compared as text. */
import { isIP, SocketAddress } from "node:net";

export type AddressFamily = "ipv4" | "ipv6";

/** Absent for anything that is not a numeric address: names are the owner's to resolve. */
export function familyOf(address: string): AddressFamily | undefined {
  const version = isIP(address);
  if (version === 0) return undefined;
  return version === 4 ? "ipv4" : "ipv6";
}

/** `0:0::1` becomes `::1`; the zone of a link-local address stays. */
export function canonicalAddress(address: string): string | undefined {
  const family = familyOf(address);
  if (family === undefined) return undefined;
  const [bare = "", zone] = address.split("%");
  const canonical = new SocketAddress({ address: bare, family }).address;
  return zone === undefined ? canonical : `${canonical}%${zone}`;
}
