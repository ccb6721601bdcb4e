/**
 * Whom a reader believes, by its mode. It answers the registry's question in the place of the bare pins:
 *
 *   first-use   pins; a node that the operator's list names is judged by the list, where there is one
 *   allow-list  the operator's list and nothing else; without a valid one nobody is believed
 *   open        nobody is believed; what is well signed is shown, labelled unverified
 *
 * Pure but for the clock, which ends a list.
 */
import type { AllowListBook } from "./allow-list.js";
import type { PinJudge, Pin, PinBook, PinVerdict } from "./pins.js";

export const TRUST_MODES = ["first-use", "allow-list", "open"] as const;
export type TrustMode = (typeof TRUST_MODES)[number];

export class TrustPolicy implements PinJudge {
  constructor(
    readonly mode: TrustMode,
    private readonly pins: PinBook,
    readonly lists: AllowListBook,
    /** Unix milliseconds. */
    private readonly nowMs: () => number,
  ) {}

  judge(node: string, datacenter: string, publicKeyHex: string): PinVerdict {
    if (this.mode === "open") return { kind: "open" };
    const listed = this.#listedKey(node, datacenter);
    if (listed === undefined) {
      return this.mode === "allow-list" ? { kind: "unlisted", detail: this.#whyUnlisted(node, datacenter) } : this.pins.judge(node, datacenter, publicKeyHex);
    }
    const pin = this.pins.judge(node, datacenter, publicKeyHex);
    // The listed key vouched for the one that took its place.
    if (this.pins.cameFrom(node, datacenter, listed)) return pin.kind === "pinned" ? { kind: "pinned", origin: "operator" } : pin;
    return listed === publicKeyHex ? { kind: "pinned", origin: "operator" } : { kind: "pin-conflict", pinned: listed, found: publicKeyHex };
  }

  learn(pins: readonly Pin[]): void {
    if (this.mode !== "open") this.pins.learn(pins);
  }

  dispute(node: string, datacenter: string): string | undefined {
    // An operator's word is not shaken by what stands in KV.
    return this.mode === "first-use" && this.#listedKey(node, datacenter) === undefined ? this.pins.dispute(node, datacenter) : undefined;
  }

  /** Another text after each change of what is answered here. */
  get version(): string {
    return `${String(this.pins.version)} ${this.lists.held?.hash ?? ""} ${String(this.#hasEnded())}`;
  }

  #listedKey(node: string, datacenter: string): string | undefined {
    return this.lists.held?.record.datacenter === datacenter && !this.#hasEnded() ? this.lists.keyOf(node) : undefined;
  }

  #hasEnded(): boolean {
    return this.nowMs() >= (this.lists.held?.record.expiresAtMs ?? Number.POSITIVE_INFINITY);
  }

  #whyUnlisted(node: string, datacenter: string): string {
    const list = this.lists.held?.record;
    if (list?.datacenter !== datacenter) {
      const { refusal } = this.lists;
      return `no allow-list of an operator was read${refusal === undefined ? "" : `: ${refusal.reason}: ${refusal.detail}`}`;
    }
    const { serial, expiresAtMs } = list;
    if (this.#hasEnded()) return `the allow-list, serial ${String(serial)}, ended at ${new Date(expiresAtMs ?? 0).toISOString()}`;
    return `${node} is not on the allow-list, serial ${String(serial)}`;
  }
}
