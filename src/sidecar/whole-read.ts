/**
 * A list from which Consul withheld what the token may not read. It answers 200 with what is left, and whoever took
 * that for the whole would see nodes go that are there: such a read fails like any other that lacks a right.
 */
import { ConsulError } from "./consul-api.js";

/** `permission` as Consul would name it. Rejects with ConsulError, also where the read itself does. */
export async function whole<R extends { filteredByAcl?: true }>(reading: R | Promise<R>, operation: string, permission: string): Promise<R> {
  const read = await reading;
  if (read.filteredByAcl !== true) return read;
  throw new ConsulError("permission", operation, `${operation}: the ACL token lacks ${permission}: a part of the answer was withheld`, { permission });
}
