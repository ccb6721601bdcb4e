/**
 * A seeded model of one direction of a network path: what happens to each packet in turn. Pure.
 * Loss follows Gilbert and Elliott (a good and a bad state, each with its own loss), jitter is normal
 * noise cut at zero delay, bursty jitter adds a raised delay for a run of packets.
 */
import type { Random } from "../../src/sidecar/probe/seeded-random.js";

export interface DirectionModel {
  delayMs: number;
  jitterSigmaMs?: number;
  /** With `chance` a run of `packets` is held for `extraMs` more. */
  burst?: { chance: number; packets: number; extraMs: number };
  /** Chances for each packet: to change state, and to be lost in either state. */
  loss?: { goodToBad: number; badToGood: number; lossInGood: number; lossInBad: number };
  /** With `chance` a packet is held for `extraMs` more while later ones overtake it. */
  reorder?: { chance: number; extraMs: number };
  /** With `chance` a second copy follows `afterMs` later. */
  duplicate?: { chance: number; afterMs: number };
}

export interface PacketFate {
  lost: boolean;
  /** Held for so long; none for a lost packet, two for a duplicated one. */
  holdMs: number[];
  /** May be overtaken. */
  reordered: boolean;
}

export class DirectionFates {
  private bad = false;
  private burstLeft = 0;

  constructor(
    private readonly model: DirectionModel,
    private readonly random: Random,
  ) {}

  next(): PacketFate {
    const { model } = this;
    if (this.isLost()) return { lost: true, holdMs: [], reordered: false };
    const reordered = this.happens(model.reorder?.chance);
    const holdMs = Math.max(
      0,
      model.delayMs + (model.jitterSigmaMs ?? 0) * this.normal() + this.burstMs() + (reordered ? (model.reorder?.extraMs ?? 0) : 0),
    );
    const copies = this.happens(model.duplicate?.chance) ? [holdMs + (model.duplicate?.afterMs ?? 0)] : [];
    return { lost: false, holdMs: [holdMs, ...copies], reordered };
  }

  private isLost(): boolean {
    const { loss } = this.model;
    if (loss === undefined) return false;
    if (this.happens(this.bad ? loss.badToGood : loss.goodToBad)) this.bad = !this.bad;
    return this.happens(this.bad ? loss.lossInBad : loss.lossInGood);
  }

  private burstMs(): number {
    const { burst } = this.model;
    if (burst === undefined) return 0;
    if (this.burstLeft === 0 && this.happens(burst.chance)) this.burstLeft = burst.packets;
    if (this.burstLeft === 0) return 0;
    this.burstLeft -= 1;
    return burst.extraMs;
  }

  private happens(chance: number | undefined): boolean {
    return chance !== undefined && this.random() < chance;
  }

  /** Box and Muller; 1 − random keeps the logarithm finite. */
  private normal(): number {
    return Math.sqrt(-2 * Math.log(1 - this.random())) * Math.cos(2 * Math.PI * this.random());
  }
}
