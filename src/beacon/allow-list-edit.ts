/** The next allow-list from the one before, and what changes by it. Pure; signing and storing are the caller's. */
import type { AllowedNode, AllowList } from "./allow-list.js";

export interface ListEdit {
  add: readonly AllowedNode[];
  /** Node names. */
  remove: readonly string[];
  /** Unix milliseconds; null: it does not end; undefined: as before. */
  expiresAtMs?: number | null | undefined;
}

/** Lower-case hex keys; absent where the node is not on that list. */
export interface ListChange {
  node: string;
  before?: string;
  after?: string;
}

export interface EditedList {
  list: AllowList;
  changes: ListChange[];
  /** Whether anything but serial and time differs. */
  differs: boolean;
}

/** `lastSerial` is the highest that any reader may have seen. */
export function editAllowList(before: AllowList | undefined, lastSerial: number, datacenter: string, edit: ListEdit, nowMs: number): EditedList {
  const was = new Map((before?.nodes ?? []).map(({ node, publicKey }) => [node, publicKey]));
  const is = new Map(was);
  for (const { node, publicKey } of edit.add) is.set(node, publicKey);
  for (const node of edit.remove) is.delete(node);
  const names = [...new Set([...was.keys(), ...is.keys()])].sort(byCode);
  const changes = names.filter((node) => was.get(node) !== is.get(node)).map((node) => changeOf(node, was.get(node), is.get(node)));
  const expiresAtMs = edit.expiresAtMs === undefined ? before?.expiresAtMs : (edit.expiresAtMs ?? undefined);
  const nodes = names.flatMap((node) => {
    const publicKey = is.get(node);
    return publicKey === undefined ? [] : [{ node, publicKey }];
  });
  return {
    list: { datacenter, serial: lastSerial + 1, issuedAtMs: nowMs, ...(expiresAtMs === undefined ? {} : { expiresAtMs }), nodes },
    changes,
    differs: before === undefined || changes.length > 0 || expiresAtMs !== before.expiresAtMs,
  };
}

function changeOf(node: string, before: string | undefined, after: string | undefined): ListChange {
  return { node, ...(before === undefined ? {} : { before }), ...(after === undefined ? {} : { after }) };
}

/** As the list is ordered and checked: by code units, not by a language. */
function byCode(a: string, b: string): number {
  return a < b ? -1 : 1;
}
