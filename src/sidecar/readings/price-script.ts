/**
 * A price that a program of the operator's says: run every minute, one decimal number of dollars per GB on stdout. The
 * last good value holds for an hour, while failures are counted; then the price is unknown, never a guess.
 *
 *   run ──price──▶ good ──60 s──▶ run            read(): the value while it is younger than an hour
 *    └──failure──▶ counted, said once ──60 s──▶ run
 */
import type { Clock } from "../clock.js";
import { parsePricePerGb, type PriceSource } from "./price.js";
import { type ProgramOptions, runProgram } from "./price-program.js";
import { measured, type Reading, unmeasured } from "./reading.js";

const PERIOD_MS = 60_000;
const DEADLINE_MS = 10_000;
export const LONGEST_PRICE_AGE_MS = 3_600_000;

/** What came of each run; HealthLog says it once for each change of state. */
export interface ScriptHealth {
  up(): void;
  down(error: unknown): void;
}

export interface PriceScriptDeps {
  path: string;
  /** Of the program. */
  env: Readonly<Record<string, string | undefined>>;
  clock: Pick<Clock, "monoMs" | "sleep">;
  health: ScriptHealth;
  onFailure: () => void;
  /** Rejects with ProgramError. */
  run?: (options: ProgramOptions) => Promise<string>;
}

/** What it printed is no price. */
export class PriceOutputError extends Error {
  readonly code = "no-price";
  override readonly name = "PriceOutputError";
}

export class PriceScript implements PriceSource {
  #good: { microUsdPerGb: number; atMs: number } | undefined;

  constructor(private readonly deps: PriceScriptDeps) {}

  /** Runs nothing: what the loop found last. */
  read(): Promise<Reading<number>> {
    return Promise.resolve(this.#reading());
  }

  /** Until the signal aborts; the program has ended by then. Never rejects. */
  async run(signal: AbortSignal): Promise<void> {
    const { clock, health, onFailure } = this.deps;
    while (!signal.aborted) {
      try {
        const microUsdPerGb = await this.#ask(signal);
        this.#good = { microUsdPerGb, atMs: clock.monoMs() };
        health.up();
      } catch (error) {
        if (signal.aborted) return;
        onFailure();
        health.down(error);
      }
      await clock.sleep(PERIOD_MS, signal);
    }
  }

  #reading(): Reading<number> {
    if (this.#good === undefined) return unmeasured("price-script-no-value");
    const ageMs = this.deps.clock.monoMs() - this.#good.atMs;
    if (ageMs > LONGEST_PRICE_AGE_MS) return unmeasured("price-script-stale", `last good ${String(Math.round(ageMs / 1_000))} s ago`);
    return measured(this.#good.microUsdPerGb);
  }

  async #ask(signal: AbortSignal): Promise<number> {
    const { path, env, run = runProgram } = this.deps;
    const output = await run({ path, env, deadlineMs: DEADLINE_MS, signal });
    const price = parsePricePerGb(output.trim(), "stdout");
    if (price.problem !== undefined) throw new PriceOutputError(price.problem.message);
    return price.microUsdPerGb;
  }
}
