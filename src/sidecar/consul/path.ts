/**
 * Paths of Consul's HTTP interface. A name goes in as one percent-encoded segment, `/` included:
 * Consul decodes it, and its router would redirect `a//b`, `.` and `..` were they left as they are
 * (tried on 1.20.6).
 */
import { ConsulError } from "../consul-api.js";

export function pathOf(operation: string, base: string, name: string): string {
  if (name === "") throw new ConsulError("rejected", operation, `${operation}: an empty name`);
  if (/\p{Surrogate}/u.test(name)) throw new ConsulError("rejected", operation, `${operation}: the name is not valid Unicode`);
  return `${base}/${/^\.{1,2}$/.test(name) ? name.replaceAll(".", "%2E") : encodeURIComponent(name)}`;
}
