/**
 * A sliding window by time over the probes of one session. Bounded twice, by age and by number.
 * What leaves the window leaves its jitter and the last answer behind, so that the summary of the
 * rest is the one of an endless series. Times are the sender's Unix milliseconds, passed in.
 */
import { stepJitter } from "./link-statistics-jitter.js";
import type { ReflectorMode } from "./link-statistics-direction.js";
import { summarizeProbes, type LinkSummary, type ProbeSample, type WindowCarry } from "./link-statistics.js";

export interface ProbeWindowSettings {
  windowMs: number;
  reflector: ReflectorMode;
  /** The oldest go first beyond it. */
  maxSamples?: number;
}

const DEFAULT_MAX_SAMPLES = 8192;

export class ProbeWindow {
  private samples: ProbeSample[] = [];
  private readonly carry: WindowCarry = {};

  constructor(private readonly settings: ProbeWindowSettings) {}

  /** Samples in order of arrival. */
  add(sample: ProbeSample): void {
    this.samples.push(sample);
    const maxSamples = this.settings.maxSamples ?? DEFAULT_MAX_SAMPLES;
    if (this.samples.length > maxSamples) this.drop(this.samples.length - maxSamples);
  }

  /** Everything sent in the `windowMs` before `nowMs`. */
  summary(nowMs: number): LinkSummary {
    const startMs = nowMs - this.settings.windowMs;
    const firstInside = this.samples.findIndex((sample) => sample.sentAtMs >= startMs);
    this.drop(firstInside === -1 ? this.samples.length : firstInside);
    const bounds = { startMs, endMs: nowMs, reflector: this.settings.reflector };
    return summarizeProbes(this.samples, bounds, this.carry);
  }

  private drop(count: number): void {
    for (const sample of this.samples.splice(0, count)) {
      if (sample.outcome !== "received" && sample.outcome !== "discarded") continue;
      if (sample.outcome === "received") this.carry.jitter = stepJitter(this.carry.jitter, sample.rttUs);
      this.carry.direction = { sequence: sample.sequence, reflectorSequence: sample.reflectorSequence };
    }
  }
}
