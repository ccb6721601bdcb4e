/**
 * Whether this node's key speaks with one voice. A process knows each beacon that it signed; another one by its key,
 * issued since it started, is another process's: a state folder that was copied, or a sidecar started twice.
 *
 *   at one node      the higher epoch (the later start) stays, the lower one yields; equal epochs part by a random step
 *   at two nodes     the one that was pinned first stays
 *
 * Who yields says one thing more, by which the other hears of it too, then is silent until it is started again: it
 * signs, publishes and passes nothing, and does not deregister, since the service may be the other's.
 */
import { compareOrder, type Beacon } from "../beacon/record.js";
import { type Contradiction, duplicateProcess, isInverted } from "../beacon/evidence.js";
import { pinKey } from "../beacon/documents.js";
import type { Verified } from "../beacon/envelope.js";
import type { ConsulApi } from "./consul-api.js";

/** Equal epochs part within a beat or two. */
const MAX_STEP = 16;
/** Over an hour of beats of 5 s: by number and not by age, since clocks step. */
const MAX_SIGNED = 1_000;

export interface OwnVoiceObserver {
  /** Told once for each of the two outcomes. */
  twin(outcome: "stays" | "yields", other: Verified<Beacon>): void;
}

export class OwnVoice {
  /** What this process signed last, by hash, oldest first. */
  readonly #signed = new Map<string, Verified<Beacon>>();
  #other: Verified<Beacon> | undefined;
  #told: "stays" | "yields" | undefined;
  #yielding = false;

  constructor(
    private readonly deps: {
      consul: Pick<ConsulApi, "kvGet">;
      random: () => number;
      ownKey: () => string;
      epoch: { readonly epoch: number; raiseAbove(epoch: number): boolean };
      keep: (found: Contradiction) => void;
      observer: OwnVoiceObserver;
    },
    /** Unix milliseconds: what was issued before may be this node's own, from before a restart. */
    private readonly startedAtMs: number,
  ) {}

  /** Another process has the key and goes on with it: this one says nothing more. */
  get yielded(): boolean {
    return this.#yielding;
  }

  /** Each record that opened, whatever carried it, before it is held against anything. */
  hear(verified: Verified<Beacon>): void {
    const { key, record, hash } = verified;
    if (key.hex !== this.deps.ownKey() || this.#signed.has(hash) || record.issuedAtMs <= this.startedAtMs) return;
    if (this.#other === undefined || compareOrder(record, this.#other.record) > 0) this.#other = verified;
  }

  /** This process signed a beacon, and is about to publish it. True where another was heard: what is published is then to be written again. */
  async signed(beacon: Verified<Beacon>, signal: AbortSignal): Promise<boolean> {
    this.#signed.set(beacon.hash, beacon);
    for (const hash of this.#signed.keys()) if (this.#signed.size > MAX_SIGNED) this.#signed.delete(hash);
    const other = this.#other;
    if (other === undefined) return false;
    const atOneNode = other.record.node === beacon.record.node;
    let yields: boolean;
    try {
      yields = atOneNode ? this.#yieldsByOrder(other, beacon) : await this.#yieldsByPin(other, beacon, signal);
    } catch {
      return false; // the pins cannot be read now: asked again at the next beat
    }
    this.#other = undefined;
    const proof = atOneNode ? [beacon, ...this.#signed.values()].find((own) => own.record.node === other.record.node && isInverted(own, other)) : beacon;
    if (proof !== undefined) this.deps.keep(duplicateProcess(proof, other));
    this.#yielding = yields;
    const outcome = yields ? "yields" : "stays";
    if (this.#told !== outcome) this.deps.observer.twin(outcome, other);
    this.#told = outcome;
    return true;
  }

  #yieldsByOrder(other: Verified<Beacon>, own: Verified<Beacon>): boolean {
    const { epoch, random } = this.deps;
    if (other.record.epoch !== own.record.epoch) return other.record.epoch > own.record.epoch;
    epoch.raiseAbove(epoch.epoch + Math.floor(random() * MAX_STEP));
    return false;
  }

  async #yieldsByPin(other: Verified<Beacon>, own: Verified<Beacon>, signal: AbortSignal): Promise<boolean> {
    const [theirs, ours] = await Promise.all([other, own].map(async ({ record: { datacenter, node } }) => (await this.deps.consul.kvGet(pinKey(datacenter, node), { signal })).value));
    if (theirs == null || !Buffer.from(theirs.value).toString("utf8").includes(other.key.hex)) return false; // it is no node of this key's
    return ours == null || BigInt(theirs.modifyIndex) < BigInt(ours.modifyIndex);
  }
}
