/**
 * From what stands in KV and beside the operator's key to the next signed allow-list. An older list in KV than the one
 * signed last is a replay or a restored backup: it is not what is edited, and it is said.
 */
import { ALLOW_LIST, type AllowedNode, AllowListBook, allowListDocument, openAllowList } from "../../beacon/allow-list.js";
import { editAllowList, type EditedList, type ListEdit } from "../../beacon/allow-list-edit.js";
import { openStatement, seal } from "../../beacon/envelope.js";
import { KeyAdmission } from "../../beacon/keys.js";
import type { Pin } from "../../beacon/pins.js";
import { TrustError } from "../../sidecar/trust-records.js";
import { nodeName, wholeKey } from "./trust-command.js";

export interface SigningInput {
  operator: { publicKey: Uint8Array; privateKey: Parameters<typeof seal>[2]["privateKey"] };
  /** Further operators whose list may stand there, lower-case hex. */
  others: ReadonlySet<string>;
  datacenter: string;
  /** The copy beside the key, and what stands in KV; null: none. */
  last: Uint8Array | null;
  inCluster: Uint8Array | null;
  /** A list of a stranger in KV is put aside, and its serial passed. */
  replace: boolean;
  edit: ListEdit;
  nowMs: number;
}

export interface SignedEdit extends EditedList {
  /** To be written; null where the list that counts is as it should be. */
  document: string | null;
  warnings: string[];
}

/** Throws TrustError where the list in KV is another operator's; RecordError or SealError where the new one cannot be signed. */
export function signAllowList(input: SigningInput): SignedEdit {
  const { operator, others, datacenter, last, inCluster, replace, edit, nowMs } = input;
  const keys = new KeyAdmission();
  const book = new AllowListBook(new Set([...others, Buffer.from(operator.publicKey).toString("hex")]), keys);
  const warnings: string[] = [];
  let lastSerial = 0;
  if (last !== null) {
    const offer = book.offer(last, datacenter);
    if (!offer.ok) warnings.push(`the copy beside the key does not count: ${offer.reason}: ${offer.detail}`);
  }
  if (inCluster === null) {
    if (book.held !== undefined) warnings.push(`no list stands in KV, and serial ${String(book.held.record.serial)} was signed from here: that one is edited`);
  } else {
    const offer = book.offer(inCluster, datacenter);
    if (!offer.ok && offer.reason === "wrong-operator" && !replace) {
      throw new TrustError("wrong-operator", `the list in KV is ${offer.detail}: name that key with --operator-key to edit it, or put it aside with --replace`);
    }
    if (!offer.ok) warnings.push(`the list in KV does not count and is written over: ${offer.reason}: ${offer.detail}`);
    const stranger = openAllowList(inCluster, datacenter, keys);
    if (stranger.ok) lastSerial = stranger.signed.record.serial;
  }
  const before = book.held?.record;
  const edited = editAllowList(before, Math.max(lastSerial, before?.serial ?? 0), datacenter, edit, nowMs);
  // A list that stands there and does not count is written over also where the nodes stay the same.
  if (before !== undefined && !edited.differs && warnings.length === 0) return { ...edited, list: before, document: null, warnings };
  const opened = openStatement(ALLOW_LIST, seal(ALLOW_LIST, edited.list, operator), keys);
  if (!opened.ok) throw new Error(`the new list does not open: ${opened.detail}`);
  return { ...edited, document: allowListDocument(opened.signed), warnings };
}

/** `NODE` takes the key that is pinned, `NODE=KEY` the one given. Throws UsageError, or TrustError naming the nodes without a pin. */
export function nodesToAllow(given: readonly string[], allPinned: boolean, pins: readonly Pin[]): AllowedNode[] {
  const pinned = new Map(pins.map(({ node, publicKey }) => [node, publicKey]));
  const named = given.map((text): { node: string; publicKey: string | undefined } => {
    const [node = "", key] = text.split("=");
    return { node: nodeName(node), publicKey: key === undefined ? pinned.get(node) : wholeKey(key) };
  });
  const unknown = named.filter(({ publicKey }) => publicKey === undefined).map(({ node }) => node);
  if (unknown.length > 0) throw new TrustError("unknown-key", `no key is pinned in KV for ${unknown.join(", ")}: write NODE=KEY`);
  const chosen = new Map(allPinned ? pinned : []);
  for (const { node, publicKey } of named) chosen.set(node, publicKey ?? "");
  return [...chosen].map(([node, publicKey]) => ({ node, publicKey }));
}
