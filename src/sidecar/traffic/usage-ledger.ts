/**
 * The open period's account of this node: takes what was counted, signs a statement of it, and begins another at the period's
 * end. What was signed is on the disk before anybody is told, and a restart within the period goes on with it.
 */
import type { KeyObject } from "node:crypto";
import { openStatement, seal, type Signed } from "../../beacon/envelope.js";
import type { KeyAdmission } from "../../beacon/keys.js";
import { USAGE } from "../../beacon/usage-codec.js";
import { comparePeers, compareRows, compareSeen, isClosed, periodOf, statementName, type UsagePeer, type UsageRow, type UsageSeen, type UsageStatement } from "../../beacon/usage-record.js";
import type { Added } from "./accounts.js";

export interface UsageSigning {
  node: string;
  datacenter: string;
  epoch: number;
  identity: { publicKey: Uint8Array; privateKey: KeyObject };
}

export interface UsageLedgerDeps {
  keys: KeyAdmission;
  /** Undefined while this node has no name in a cluster, or another process speaks by its key. */
  signing: () => UsageSigning | undefined;
  /** Of this node now; undefined where it is unknown. */
  price: () => number | undefined;
  periodMs: number;
  /** The newest that is kept; null where there is none. */
  last: Signed<UsageStatement> | null;
  /** On the disk when it returns. May throw: then it is written again with the next one. */
  write: (statement: Signed<UsageStatement>) => void;
}

/** A part of a period is full at so much, estimated: with its envelope and a last entry it is still within USAGE.maxBytes. */
const FULL_BYTES = 240 * 1024;
/** Of an entry: a key, an allocation's ID, numbers and tags; its names come to that. */
const ENTRY_BYTES = 112;

interface Open {
  sizeBytes: number;
  periodStartMs: number;
  part: number;
  untilMs: number;
  previousHash?: string;
  rows: Map<string, UsageRow & { peers: UsagePeer[] }>;
  seen: Map<string, UsageSeen>;
}

export class UsageLedger {
  #open: Open | undefined;
  /** Of the newest statement that was signed. */
  #last: Signed<UsageStatement> | null;
  /** By period and part: signed, and not on the disk yet. */
  readonly #unwritten = new Map<string, Signed<UsageStatement>>();

  constructor(private readonly deps: UsageLedgerDeps) {
    const { last, periodMs } = deps;
    this.#last = last;
    // A statement of another period's length is left as it is.
    if (last !== null && last.record.periodMs === periodMs && !isClosed(last.record)) this.#open = opened(last.record);
  }

  /** What was counted from `fromMs` to `toMs`, Unix milliseconds. Throws what `write` throws, with everything entered. */
  add(added: readonly Added[], fromMs: number, toMs: number): void {
    // Reads come at a period's end and just behind it: what lies between two of them is of the period that its middle is in.
    const start = periodOf((Math.min(fromMs, toMs) + toMs) / 2, this.deps.periodMs);
    if (this.#open !== undefined && start > this.#open.periodStartMs) {
      const endMs = this.#open.periodStartMs + this.deps.periodMs;
      if (fromMs <= endMs) this.#open.untilMs = endMs; // counting went on over it, and what there was is of the next
      this.#close();
    }
    if (this.#open === undefined && added.length === 0) return;
    const at = (this.#open ??= this.#begin(start, 0));
    at.untilMs = Math.min(at.periodStartMs + this.deps.periodMs, Math.max(at.untilMs, toMs));
    for (const one of added) this.#enter(one);
    if (toMs >= at.periodStartMs + this.deps.periodMs) this.#close();
    else this.#sign();
    for (const [id, statement] of this.#unwritten) {
      this.deps.write(statement);
      this.#unwritten.delete(id);
    }
  }

  #enter({ of, meteredMs, bytesIn, bytesOut }: Added): void {
    const { periodMs } = this.deps;
    if ("far" in of) {
      const one = this.#room("seen", seenId(of.far), { ...of.far, meteredMs: 0, bytesIn: 0, bytesOut: 0 }, of.far.node);
      one.meteredMs = Math.min(periodMs, one.meteredMs + meteredMs);
      [one.bytesIn, one.bytesOut] = [one.bytesIn + bytesIn, one.bytesOut + bytesOut];
      return;
    }
    const { id: allocation, job, namespace } = of.allocation;
    const price = this.deps.price();
    const empty: UsageRow & { peers: UsagePeer[] } = { allocation, job, namespace, ...(price === undefined ? {} : { priceMicroUsdPerGb: price }), meteredMs: 0, bytesIn: 0, bytesOut: 0, peers: [] };
    if (of.peer !== undefined && bytesIn + bytesOut === 0) return;
    const row = this.#room("rows", rowId(empty), empty, job + namespace);
    if (of.peer === undefined) {
      row.meteredMs = Math.min(periodMs, row.meteredMs + meteredMs);
      [row.bytesIn, row.bytesOut] = [row.bytesIn + bytesIn, row.bytesOut + bytesOut];
      return;
    }
    const { key, node } = of.peer;
    const peer = row.peers.find((known) => known.key === key);
    if (peer === undefined) {
      row.peers.push({ key, node, bytesIn, bytesOut });
      (this.#open as Open).sizeBytes += ENTRY_BYTES + node.length;
    } else [peer.bytesIn, peer.bytesOut] = [peer.bytesIn + bytesIn, peer.bytesOut + bytesOut];
  }

  /** What stands there, or `empty`: where this part of the period is full, in the next one. */
  #room<K extends "rows" | "seen">(list: K, id: string, empty: K extends "rows" ? UsageRow & { peers: UsagePeer[] } : UsageSeen, names: string) {
    let at = this.#open as Open;
    if (at.sizeBytes >= FULL_BYTES) {
      this.#sign();
      const { periodStartMs, part, untilMs } = at;
      at = { ...this.#begin(periodStartMs, part + 1), untilMs };
      this.#open = at;
    }
    const map = at[list] as Map<string, typeof empty>;
    const known = map.get(id);
    if (known !== undefined) return known;
    map.set(id, empty);
    at.sizeBytes += ENTRY_BYTES + names.length;
    return empty;
  }

  #begin(periodStartMs: number, part: number): Open {
    return { sizeBytes: 0, periodStartMs, part, untilMs: periodStartMs, rows: new Map(), seen: new Map(), ...(this.#last === null ? {} : { previousHash: this.#last.hash }) };
  }

  #close(): void {
    this.#sign();
    this.#open = undefined;
  }

  #sign(): void {
    const at = this.#open;
    const signing = this.deps.signing();
    if (at === undefined || signing === undefined || at.rows.size + at.seen.size === 0) return;
    const { node, datacenter, epoch, identity } = signing;
    const statement: UsageStatement = {
      node, datacenter, epoch,
      issuedAtMs: at.untilMs,
      periodStartMs: at.periodStartMs, periodMs: this.deps.periodMs, part: at.part, untilMs: at.untilMs,
      ...(at.previousHash === undefined ? {} : { previousHash: at.previousHash }),
      rows: [...at.rows.values()].map((row) => ({ ...row, peers: [...row.peers].sort(comparePeers) })).sort(compareRows),
      seen: [...at.seen.values()].sort(compareSeen),
    };
    const checked = openStatement(USAGE, seal(USAGE, statement, identity), this.deps.keys);
    if (!checked.ok) throw new Error(`a usage statement that this node sealed does not open: ${checked.reason}: ${checked.detail}`);
    this.#last = checked.signed;
    this.#unwritten.set(statementName(at), checked.signed);
  }
}

function rowId({ allocation, priceMicroUsdPerGb }: Pick<UsageRow, "allocation" | "priceMicroUsdPerGb">): string {
  return `${allocation} ${String(priceMicroUsdPerGb)}`;
}

function seenId({ key, allocation }: Pick<UsageSeen, "key" | "allocation">): string {
  return `${key} ${allocation}`;
}

function opened({ periodStartMs, part, untilMs, previousHash, rows, seen }: UsageStatement): Open {
  const names = rows.reduce((sum, { job, namespace, peers }) => sum + job.length + namespace.length + ENTRY_BYTES * (1 + peers.length), 0);
  return {
    sizeBytes: names + ENTRY_BYTES * seen.length,
    periodStartMs, part, untilMs,
    ...(previousHash === undefined ? {} : { previousHash }),
    rows: new Map(rows.map((row) => [rowId(row), { ...row, peers: row.peers.map((peer) => ({ ...peer })) }])),
    seen: new Map(seen.map((one) => [seenId(one), { ...one }])),
  };
}
