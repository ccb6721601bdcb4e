/**
 * The allow-list: which key speaks for which node, signed by an operator's ed25519 key and not by any node. Lists are in
 * the order of their serial; a reader keeps the newest that it has seen, so that an older list, which allows a node that
 * was taken off since, is not replayed over it. Pure: where lists are kept is the caller's.
 */
import { ibrl } from "../proto/messages.js";
import { integer, name, optional, RecordError } from "./codec.js";
import { type OpenedStatement, openStatement, type Purpose, type Signed } from "./envelope.js";
import { KEY_BYTES, type KeyAdmission } from "./keys.js";
import { reject, type Rejection, type RejectReason } from "./rejection.js";

const wire = ibrl.v1;

export interface AllowedNode {
  node: string;
  /** Lower-case hex of the whole key. */
  publicKey: string;
}

export interface AllowList {
  datacenter: string;
  /** From 1, raised at each edit. */
  serial: number;
  /** Unix milliseconds by the operator's clock: for people; the serial is what orders. */
  issuedAtMs: number;
  /** Absent: it does not end. */
  expiresAtMs?: number;
  nodes: readonly AllowedNode[];
}

/** In base64 inside its document it stays under Consul's 512 KiB for a value: some 5,000 nodes. */
export const ALLOW_LIST: Purpose<AllowList> = {
  domain: "ibrl/v1/allow-list",
  type: wire.PayloadType.ALLOW_LIST,
  maxBytes: 320 * 1024,
  encode: encodeAllowList,
  decode: (payload) => readAllowList(wire.AllowList.decode(payload)),
};

function encodeAllowList(list: AllowList): Uint8Array {
  const payload: ibrl.v1.AllowList.$Properties = {
    datacenter: list.datacenter,
    serial: list.serial,
    issued_at_ms: list.issuedAtMs,
    nodes: list.nodes.map(({ node, publicKey }) => ({ node, public_key: Buffer.from(publicKey, "hex") })),
  };
  if (list.expiresAtMs !== undefined) payload.expires_at_ms = list.expiresAtMs;
  readAllowList(payload); // the same bounds for what we sign as for what we read
  return wire.AllowList.encode(payload).finish();
}

function readAllowList(m: ibrl.v1.AllowList.$Properties): AllowList {
  const serial = integer("serial", m.serial, Number.MAX_SAFE_INTEGER);
  if (serial === 0) throw new RecordError("serial", "0; serials start at 1");
  const expiresAtMs = optional("expires_at_ms", m.expires_at_ms, Number.MAX_SAFE_INTEGER);
  const nodes = (m.nodes ?? []).map(readNode);
  const unordered = nodes.find(({ node }, i) => i > 0 && node <= (nodes[i - 1]?.node ?? ""));
  if (unordered !== undefined) throw new RecordError("nodes.node", `${unordered.node} stands twice, or not in the order of the names`);
  if (new Set(nodes.map(({ publicKey }) => publicKey)).size !== nodes.length) throw new RecordError("nodes.public_key", "one key for two nodes");
  return {
    datacenter: name("datacenter", m.datacenter),
    serial,
    issuedAtMs: integer("issued_at_ms", m.issued_at_ms, Number.MAX_SAFE_INTEGER),
    ...(expiresAtMs === undefined ? {} : { expiresAtMs }),
    nodes,
  };
}

function readNode(m: ibrl.v1.AllowedNode.$Properties): AllowedNode {
  const key = m.public_key ?? new Uint8Array();
  if (key.length !== KEY_BYTES) throw new RecordError("nodes.public_key", `${String(key.length)} bytes, not ${String(KEY_BYTES)}`);
  return { node: name("nodes.node", m.node), publicKey: Buffer.from(key).toString("hex") };
}

/** The document for KV and files: `list` for people, `sealed` for readers. */
export function allowListDocument({ record, sealed }: Signed<AllowList>): string {
  return `${JSON.stringify({ v: 1, list: readableList(record), sealed: Buffer.from(sealed).toString("base64") }, null, 1)}\n`;
}

function readableList({ datacenter, serial, issuedAtMs, expiresAtMs, nodes }: AllowList) {
  const expiresAt = expiresAtMs === undefined ? null : new Date(expiresAtMs).toISOString();
  return { datacenter, serial, issuedAt: new Date(issuedAtMs).toISOString(), expiresAt, nodes: nodes.map(({ node }) => node) };
}

/** Whoever signed it: the caller asks whether that key is an operator's. Never throws. */
export function openAllowList(document: Uint8Array, datacenter: string, admission: KeyAdmission): OpenedStatement<AllowList> {
  const sealed = sealedIn(document);
  if (sealed === null) return reject("malformed-envelope", "no allow-list document");
  const opened = openStatement(ALLOW_LIST, sealed.bytes, admission);
  if (!opened.ok) return opened;
  const { record } = opened.signed;
  if (record.datacenter !== datacenter) return reject("wrong-node", `for datacenter ${record.datacenter}; this is ${datacenter}`);
  if (JSON.stringify(sealed.readable) !== JSON.stringify(readableList(record))) {
    return reject("readable-mismatch", "the readable list is not what the signed one says");
  }
  return opened;
}

export type ListOffer = { ok: true; taken: boolean; signed: Signed<AllowList> } | ListRefusal;
export interface ListRefusal {
  ok: false;
  reason: RejectReason | "wrong-operator" | "unreadable";
  detail: string;
}

/** The newest list of an operator that this reader has seen, for one datacenter after the other. */
export class AllowListBook {
  #held: Signed<AllowList> | undefined;
  #refusal: ListRefusal | undefined;
  #keys: ReadonlyMap<string, string> = new Map();

  constructor(
    /** Lower-case hex of whole keys. */
    private readonly operators: ReadonlySet<string>,
    private readonly admission: KeyAdmission,
  ) {}

  get held(): Signed<AllowList> | undefined {
    return this.#held;
  }

  get hasOperator(): boolean {
    return this.operators.size > 0;
  }

  /** Takes a document where it is an operator's, for this datacenter and newer than the list held. Never throws. */
  offer(document: Uint8Array, datacenter: string): ListOffer {
    const offer = this.#judge(document, datacenter);
    this.#refusal = offer.ok ? undefined : offer;
    return offer;
  }

  /** Why the document offered last was not taken; undefined where it was. */
  get refusal(): ListRefusal | undefined {
    return this.#refusal;
  }

  /** The key that the list names for the node. */
  keyOf(node: string): string | undefined {
    return this.#keys.get(node);
  }

  #judge(document: Uint8Array, datacenter: string): ListOffer {
    const opened = openAllowList(document, datacenter, this.admission);
    if (!opened.ok) return opened;
    const { signed } = opened;
    if (this.operators.has(signed.key.hex)) return this.#inOrder(signed);
    return { ok: false, reason: "wrong-operator", detail: `signed by ${signed.key.hex}, which is not among the operator keys of this reader` };
  }

  #inOrder(signed: Signed<AllowList>): ListOffer | Rejection {
    const held = this.#held?.record.datacenter === signed.record.datacenter ? this.#held : undefined;
    if (held !== undefined) {
      if (held.hash === signed.hash) return { ok: true, taken: false, signed: held };
      const by = signed.record.serial - held.record.serial;
      if (by < 0) return reject("superseded", `serial ${String(signed.record.serial)} is older than ${String(held.record.serial)}, which this reader has seen`);
      if (by === 0) return reject("equivocation", `two lists with serial ${String(held.record.serial)}: ${held.hash} and ${signed.hash}`);
    }
    this.#held = signed;
    this.#keys = new Map(signed.record.nodes.map(({ node, publicKey }) => [node, publicKey]));
    return { ok: true, taken: true, signed };
  }
}

/** The signed bytes of a document, unopened; undefined where it is none. */
export function sealedAllowList(document: Uint8Array): Uint8Array | undefined {
  return sealedIn(document)?.bytes;
}

function sealedIn(document: Uint8Array): { bytes: Uint8Array; readable: unknown } | null {
  try {
    const { v, list, sealed } = JSON.parse(Buffer.from(document).toString("utf8")) as Record<string, unknown>;
    return v === 1 && typeof sealed === "string" ? { bytes: Buffer.from(sealed, "base64"), readable: list } : null;
  } catch {
    return null;
  }
}
