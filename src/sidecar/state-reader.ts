/**
 * Reads the whole states of all nodes from KV, on demand: states are large and seldom asked for, so nothing watches
 * them. A node's state and batches are read of one moment, so that they are there together. A document is opened once; the same
 * bytes, of it and of the batches that it names, give the same result until they expire.
 */
import { parseStateDocument, type StateDocument, NODES_PREFIX, STATE_SUFFIX, stateAgrees } from "../beacon/documents.js";
import { DEFAULT_SKEW_MS, keyIn, open, STATE, type Verified } from "../beacon/envelope.js";
import type { KeyAdmission } from "../beacon/keys.js";
import { compareOrder, type NodeState } from "../beacon/record.js";
import { reject, type Rejection } from "../beacon/rejection.js";
import { batchKeys, type Stored, withStoredBatches } from "../beacon/workload-batches.js";
import type { Clock } from "./clock.js";
import type { ConsulApi, ReadOptions } from "./consul-api.js";
import { JUDGED_IN_PLACE, KEY_WAITING, type KeyGate, type KeyWaiting } from "./key-judge.js";
import { nodeFolders } from "./node-folders.js";
import { whole } from "./whole-read.js";

/** Consul's own limit of a value; anything larger under our prefix is not ours. */
const MAX_DOCUMENT_BYTES = 512 * 1024;

type Judged = { ok: true; verified: Verified<NodeState> } | Rejection;
/** Waiting states are opened at the next read after the verdict on their key. */
export type StateVerdict = Judged | KeyWaiting;

/** The values last seen, of a state and at the keys of the batches that it names, and what became of them. */
interface Opened {
  value: string;
  batches: ReadonlyMap<string, Stored>;
  verdict: Judged;
}

export class StateReader {
  /** By node. */
  readonly #opened = new Map<string, Opened>();
  /** By node and key: the newest state accepted, while it is valid: no older one takes its place, whatever stood there between. */
  readonly #newest = new Map<string, Verified<NodeState>>();

  constructor(
    private readonly consul: Pick<ConsulApi, "kvList" | "kvFolders">,
    private readonly keys: KeyAdmission,
    private readonly clock: Clock,
    private readonly onRejected: (node: string, rejection: Rejection) => void = () => {},
    private readonly gate: KeyGate = JUDGED_IN_PLACE,
    private readonly onEquivocation: (earlier: Verified<NodeState>, later: Verified<NodeState>) => void = () => {},
  ) {}

  /** By node name. Rejects with ConsulError. */
  async read(datacenter: string, options: ReadOptions = {}): Promise<Map<string, StateVerdict>> {
    const states = new Map<string, StateVerdict>();
    for await (const folders of nodeFolders(this.consul, NODES_PREFIX, { ...options, maxValueBytes: MAX_DOCUMENT_BYTES })) {
      if (folders.excessive !== undefined) {
        states.set(folders.excessive, reject("oversized", `what lies below ${NODES_PREFIX}${folders.excessive}/ is more than is read of a node`));
        continue;
      }
      const { value: entries, oversized } = await whole(folders, "kv.list", `key:read below "${NODES_PREFIX}"`);
      const stored = new Map<string, Exclude<Stored, undefined>>(entries.map(({ key, value }) => [key, value]));
      for (const key of oversized) stored.set(key, "oversized");
      for (const [key, value] of stored) {
        const node = nodeOf(key);
        if (node === undefined) continue;
        if (value === "oversized") states.set(node, reject("oversized", `${key} holds more than ${String(MAX_DOCUMENT_BYTES)} bytes`));
        else states.set(node, this.#verdictOn(value, node, datacenter, (batch) => stored.get(batch)));
      }
    }
    for (const node of this.#opened.keys()) if (!states.has(node)) this.#opened.delete(node);
    for (const [of, newest] of this.#newest) if (isPast(newest, this.clock.nowMs())) this.#newest.delete(of);
    return states;
  }

  #verdictOn(bytes: Uint8Array, node: string, datacenter: string, at: (key: string) => Stored): StateVerdict {
    const value = Buffer.from(bytes).toString("latin1");
    const before = this.#opened.get(node);
    const isSame = before !== undefined && before.value === value && [...before.batches].every(([key, batch]) => areSame(batch, at(key)));
    if (isSame && !isOver(before.verdict, this.clock.nowMs())) return before.verdict;
    const document = parseStateDocument(bytes);
    const key = document === null ? null : keyIn(STATE, document.sealed);
    if (key !== null && this.gate.ask(key, true) !== "judged") return KEY_WAITING;
    const state = this.#inOrder(node, openState(document, node, datacenter, this.keys, this.clock.nowMs()));
    const batches = new Map((state.ok ? batchKeys(state.verified.record) : []).map((batch) => [batch, at(batch)]));
    const verdict = state.ok ? withStoredBatches(state.verified, at) : state;
    this.#opened.set(node, { value, batches, verdict });
    if (!verdict.ok && !isSame) this.onRejected(node, verdict);
    return verdict;
  }

  #inOrder(node: string, verdict: Judged): Judged {
    if (!verdict.ok) return verdict;
    const { verified } = verdict;
    const of = `${node}\0${verified.key.hex}`;
    const newest = this.#newest.get(of);
    const order = newest === undefined ? 1 : compareOrder(verified.record, newest.record);
    if (newest !== undefined && order === 0 && newest.hash !== verified.hash) {
      this.onEquivocation(newest, verified);
      return reject("equivocation", `two states with ${orderOf(verified)}: ${newest.hash} and ${verified.hash}`);
    }
    if (newest !== undefined && order < 0) {
      return reject("superseded", `${orderOf(verified)} is older than ${orderOf(newest)}, which was read before`);
    }
    this.#newest.set(of, verified);
    return verdict;
  }
}

function areSame(a: Stored, b: Stored): boolean {
  return a instanceof Uint8Array && b instanceof Uint8Array ? Buffer.compare(a, b) === 0 : a === b;
}

function orderOf({ record }: Verified<NodeState>): string {
  return `epoch ${String(record.epoch)} sequence ${String(record.sequence)}`;
}

function openState(document: StateDocument | null, node: string, datacenter: string, keys: KeyAdmission, nowMs: number): Judged {
  if (document === null) return reject("malformed-envelope", "the KV value is no state document");
  const opened = open(STATE, document.sealed, { keys, nowMs, skewMs: DEFAULT_SKEW_MS, datacenter, node });
  if (opened.ok && !stateAgrees(document, opened.verified)) {
    return reject("readable-mismatch", "the readable state in KV is not what the sealed state says");
  }
  return opened;
}

function isOver(verdict: Judged, nowMs: number): boolean {
  // A rejected document may become valid only by our clock moving on; looking again is cheap enough.
  if (!verdict.ok) return verdict.reason === "issued-in-future";
  return isPast(verdict.verified, nowMs);
}

function isPast({ record }: Verified<NodeState>, nowMs: number): boolean {
  return nowMs - record.issuedAtMs > record.validityMs;
}

/** `ibrl/v1/nodes/<node>/state` → node. */
function nodeOf(key: string): string | undefined {
  if (!key.startsWith(NODES_PREFIX) || !key.endsWith(STATE_SUFFIX)) return undefined;
  const node = key.slice(NODES_PREFIX.length, -STATE_SUFFIX.length);
  return node === "" || node.includes("/") ? undefined : node;
}
