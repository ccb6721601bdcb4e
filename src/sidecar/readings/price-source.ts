/** Which price source the settings ask for: a script, a schedule over a constant, or the constant. */
import type { Clock } from "../clock.js";
import { SECRET_VARIABLES, SettingsError, type SidecarSettings } from "../settings.js";
import { constantPrice, parsePricePerGb, type PriceSource } from "./price.js";
import { parsePriceSchedule, scheduledPrice } from "./price-schedule.js";
import { PriceScript, type ScriptHealth } from "./price-script.js";

export interface PriceFeed extends PriceSource {
  /** What the source does beside being read; until the signal aborts. Never rejects. */
  run(signal: AbortSignal): Promise<void>;
}

export interface PriceSourceDeps {
  clock: Clock;
  logger: { info(fields: object, message: string): void };
  /** Of the script's runs. */
  health: ScriptHealth;
  onScriptFailure: () => void;
  /** Of this process; the script gets it without our tokens. */
  env: Readonly<Record<string, string | undefined>>;
}

/** Starts nothing. Throws SettingsError. */
export function priceSourceFrom(settings: Pick<SidecarSettings, "beaconPrice" | "beaconPriceSchedule" | "beaconPriceScript">, deps: PriceSourceDeps): PriceFeed {
  const { beaconPrice, beaconPriceSchedule, beaconPriceScript } = settings;
  const constant = parsePricePerGb(beaconPrice, "--beacon-price");
  if (constant.problem !== undefined) {
    const { setting, message } = constant.problem;
    throw new SettingsError(setting, message.slice(setting.length + 2));
  }
  if (beaconPriceScript !== "") {
    const { clock, health, onScriptFailure: onFailure, env } = deps;
    return new PriceScript({ path: beaconPriceScript, env: withoutSecrets(env), clock, health, onFailure });
  }
  if (beaconPriceSchedule === "") return still(constantPrice(constant.microUsdPerGb));
  const parsed = parsePriceSchedule(beaconPriceSchedule);
  if (parsed.problem !== undefined) throw new SettingsError("--beacon-price-schedule", parsed.problem);
  deps.logger.info({ schedule: beaconPriceSchedule, outside: parsed.schedule.gaps, constant: beaconPrice }, "price by the time of day, UTC; the constant outside of it");
  return still(scheduledPrice(parsed.schedule, constant.microUsdPerGb, deps.clock));
}

function still(source: PriceSource): PriceFeed {
  return { read: (options) => source.read(options), run: () => Promise.resolve() };
}

function withoutSecrets(env: PriceSourceDeps["env"]): Record<string, string | undefined> {
  return Object.fromEntries(Object.entries(env).filter(([name]) => !SECRET_VARIABLES.has(name)));
}
