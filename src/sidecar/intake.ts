/**
 * Every record from outside comes in here, whatever carried it: opened once, held against pins and order, counted by
 * reason. The same bytes at the same place are not opened again; the same bytes at another place are, because the
 * place is part of what is verified. Bytes whose key has no verdict yet wait, and are taken up when it comes.
 */
import { createHash } from "node:crypto";
import { metaMismatch } from "../beacon/documents.js";
import { BEACON, DEFAULT_SKEW_MS, keyIn, open, openStatement, type Signed, type Verified } from "../beacon/envelope.js";
import type { KeyAdmission } from "../beacon/keys.js";
import type { Beacon } from "../beacon/record.js";
import type { Admission, Carrier, Registry } from "../beacon/registry.js";
import { reject, type Rejection, type RejectReason } from "../beacon/rejection.js";
import type { Clock } from "./clock.js";
import { JUDGED_IN_PLACE, KEY_WAITING, type KeyGate, type KeyWaiting } from "./key-judge.js";
import { WaitingOffers } from "./waiting-offers.js";

export interface IntakeObserver {
  accepted(carrier: Carrier, node: string, change: "new" | "newer"): void;
  rejected(carrier: Carrier, node: string | undefined, rejection: Rejection): void;
  /** Opened, before it is held against pins and order. */
  opened?(verified: Verified<Beacon>): void;
  /** Well signed, and refused for its time alone. */
  untimely?(signed: Signed<Beacon>): void;
  /** Neither of the two: the record's key is being judged, or must be once there is room. */
  waiting?(carrier: Carrier, node: string | undefined): void;
}

export interface Place {
  carrier: Carrier;
  datacenter: string;
  /** The node that the place speaks for; events have none. */
  node?: string;
  /** Service meta beside the sealed record, checked against it. */
  meta?: Readonly<Record<string, string>>;
}

/** Verdicts on the key, which another pin or another list changes. */
const TRUST_BOUND: ReadonlySet<RejectReason> = new Set(["pin-conflict", "id-collision", "superseded-key"]);
/** The record is good, and one of two clocks is not. */
const UNTIMELY: ReadonlySet<RejectReason> = new Set(["issued-in-future", "expired"]);
/** Verdicts that only time can change: the same bytes are looked at again. */
const TIME_BOUND: ReadonlySet<RejectReason> = new Set(["issued-in-future"]);

export class Intake {
  readonly #seen = new Map<string, Rejection | "accepted">();
  #trustVersion = "";
  readonly #lastRejection = new Map<string, Rejection>();
  /** By carrier and node: the bytes offered last. What was accepted before and comes back after others is a replay. */
  readonly #standing = new Map<string, string>();
  readonly #waiting = new WaitingOffers<Place>();

  constructor(
    private readonly registry: Registry,
    private readonly keys: KeyAdmission,
    private readonly clock: Clock,
    private readonly observer: IntakeObserver,
    private readonly gate: KeyGate = JUDGED_IN_PLACE,
    /** Another text when keys are judged differently from then on. */
    private readonly trustVersion: () => string = () => "",
    private readonly capacity = 20_000,
  ) {}

  /** Undefined when these bytes were accepted at this place before and still stand there. */
  accept(bytes: Uint8Array, place: Place): Admission | KeyWaiting | undefined {
    this.#reconsider();
    const id = fingerprint(bytes, place);
    const at = placeOf(place);
    const stands = this.#standing.get(at) === id;
    this.#standing.set(at, id);
    const before = this.#seen.get(id);
    if (before === "accepted" && stands) return undefined;
    if (before !== undefined && before !== "accepted") return before; // counted when it first came
    if (this.#mustWait(bytes, place, at)) return KEY_WAITING;
    const admission = this.#open(bytes, place);
    if (admission.ok) {
      this.#remember(id, "accepted");
      if (place.node !== undefined) this.#lastRejection.delete(place.node);
      const { change, entry } = admission;
      if (change !== "duplicate") this.observer.accepted(place.carrier, entry.verified.record.node, change);
    } else {
      if (!TIME_BOUND.has(admission.reason)) this.#remember(id, admission);
      // An older copy at a slower carrier is how carriers are, and says nothing against the node.
      const { reason } = admission;
      if (place.node !== undefined && reason !== "superseded" && reason !== "superseded-key") this.#lastRejection.set(place.node, admission);
      this.observer.rejected(place.carrier, place.node, admission);
    }
    return admission;
  }

  /** Why the record at the node's own place was not accepted, if it was not. */
  lastRejection(node: string): Rejection | undefined {
    return this.#lastRejection.get(node);
  }

  /** Whether the record at the node's own place waits for the verdict on its key. */
  waits(node: string): boolean {
    return this.#waiting.has(placeOf({ carrier: "meta", node }));
  }

  /** The verdict on a key is there: what waited for it is taken up. */
  onJudged(keyHex: string): void {
    for (const { bytes, place } of this.#waiting.take(keyHex)) this.accept(bytes, place);
  }

  #mustWait(bytes: Uint8Array, place: Place, at: string): boolean {
    const key = keyIn(BEACON, bytes);
    if (key === null) return false; // open() says why
    const answer = this.gate.ask(key, place.node !== undefined);
    if (answer === "judged") return false;
    if (answer === "queued") {
      const hex = Buffer.from(key).toString("hex");
      const left = this.#waiting.hold(place.node === undefined ? `${at}${hex}` : at, hex, bytes, place);
      if (left !== undefined) this.gate.withdraw(left);
    }
    this.observer.waiting?.(place.carrier, place.node);
    return true;
  }

  #reconsider(): void {
    const version = this.trustVersion();
    if (version === this.#trustVersion) return;
    this.#trustVersion = version;
    for (const [id, verdict] of this.#seen) if (verdict !== "accepted" && TRUST_BOUND.has(verdict.reason)) this.#seen.delete(id);
  }

  #open(bytes: Uint8Array, place: Place): Admission {
    const opened = open(BEACON, bytes, {
      keys: this.keys,
      nowMs: this.clock.nowMs(),
      skewMs: DEFAULT_SKEW_MS,
      datacenter: place.datacenter,
      ...(place.node === undefined ? {} : { node: place.node }),
    });
    if (!opened.ok) {
      if (UNTIMELY.has(opened.reason)) this.#tellUntimely(bytes);
      return opened;
    }
    const mismatch = place.meta === undefined ? undefined : metaMismatch(place.meta, opened.verified);
    if (mismatch !== undefined) return reject("readable-mismatch", mismatch);
    this.observer.opened?.(opened.verified);
    return this.registry.admit(opened.verified, place.carrier, this.clock.monoMs());
  }

  #tellUntimely(bytes: Uint8Array): void {
    const told = openStatement(BEACON, bytes, this.keys);
    if (told.ok) this.observer.untimely?.(told.signed);
  }

  #remember(id: string, verdict: Rejection | "accepted"): void {
    this.#seen.set(id, verdict);
    if (this.#seen.size <= this.capacity) return;
    const oldest = this.#seen.keys().next();
    if (oldest.done !== true) this.#seen.delete(oldest.value);
  }
}

function placeOf({ carrier, node }: Pick<Place, "carrier" | "node">): string {
  return `${carrier}\0${node ?? ""}`;
}

function fingerprint(bytes: Uint8Array, place: Place): string {
  const hash = createHash("sha256").update(`${place.carrier}\0${place.node ?? ""}\0`).update(bytes);
  if (place.meta !== undefined) hash.update(JSON.stringify(Object.entries(place.meta).sort(([a], [b]) => (a < b ? -1 : 1))));
  return hash.digest("base64");
}
