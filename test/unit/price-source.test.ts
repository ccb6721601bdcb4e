/** From settings to the one price source, and every contradiction by the name of its setting. */
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { HealthLog } from "../../src/sidecar/health-log.js";
import { PriceScript } from "../../src/sidecar/readings/price-script.js";
import { priceSourceFrom } from "../../src/sidecar/readings/price-source.js";
import { type RawSettings, resolveSettings, SettingsError } from "../../src/sidecar/settings.js";

const MIDNIGHT = Date.parse("2026-11-23T00:00:00Z");
const stopped = AbortSignal.abort();

/** `onSleep` is called where the script waits for its next run. */
function source(flags: RawSettings, env: Record<string, string> = {}, onSleep = () => {}) {
  const logged: object[] = [];
  const clock = { nowMs: () => MIDNIGHT, monoMs: () => 0, sleep: async () => onSleep() };
  const logger = { info: (fields: object) => void logged.push(fields), warn: () => {}, error: () => {} };
  const settings = resolveSettings({ flags, env, hostname: "h", isRoot: false });
  const feed = priceSourceFrom(settings, { clock, logger, env, health: new HealthLog({ dependency: "price script", logger, clock }), onScriptFailure: () => {} });
  return { feed, logged };
}

test("the constant, alone", async () => {
  const { feed } = source({ "beacon-price": "0.05" });
  expect(await feed.read()).toEqual({ value: 50_000 });
  await feed.run(stopped);
});

test("a schedule over the constant; when the constant holds is logged once", async () => {
  const inside = source({ "beacon-price-schedule": "22:00-06:00=0.005" });
  expect(await inside.feed.read()).toEqual({ value: 5_000 });
  expect(inside.logged).toEqual([{ schedule: "22:00-06:00=0.005", outside: ["06:00-22:00"], constant: "0.01" }]);
  expect(await source({}, { IBRL_BEACON_PRICE_SCHEDULE: "06:00-07:00=1", IBRL_BEACON_PRICE: "3" }).feed.read()).toEqual({ value: 3_000_000 });
  await inside.feed.run(stopped);
});

test("a script: unknown until it ran, and the constant does not stand in", async () => {
  const { feed } = source({ "beacon-price-script": "/opt/price" });
  expect(feed).toBeInstanceOf(PriceScript);
  expect((await feed.read()).value).toBeUndefined();
});

test("the script sees the environment without our tokens", async () => {
  const folder = mkdtempSync(join(tmpdir(), "price-"));
  const path = join(folder, "price");
  writeFileSync(path, '#!/bin/sh\n[ "$(env | grep -c -e TOKEN -e AUTH)" = 0 ] && echo "$PRICE"\n', { mode: 0o700 });
  const stop = new AbortController();
  const env = { CONSUL_HTTP_TOKEN: "s", NOMAD_TOKEN: "s", CONSUL_HTTP_AUTH: "s", PRICE: "0.07", PATH: process.env["PATH"] ?? "" };
  const { feed } = source({ "beacon-price-script": path }, env, () => stop.abort());
  await feed.run(stop.signal);
  expect(await feed.read()).toEqual({ value: 70_000 });
  rmSync(folder, { recursive: true });
});

test.each<[RawSettings, Record<string, string>, string]>([
  [{ "beacon-price-schedule": "00:00-01:00=1", "beacon-price-script": "/opt/price" }, {}, "--beacon-price-script: is given together with --beacon-price-schedule"],
  [{ "beacon-price-schedule": "00:00-01:00=1" }, { IBRL_BEACON_PRICE_SCRIPT: "/opt/price" }, "IBRL_BEACON_PRICE_SCRIPT: is given together with --beacon-price-schedule"],
  [{ "beacon-price-schedule": "00:00-02:00=1,01:00-03:00=2" }, {}, '--beacon-price-schedule: "00:00-02:00=1" and "01:00-03:00=2" overlap at 01:00'],
  [{ "beacon-price": "cheap", "beacon-price-script": "/opt/price" }, {}, '--beacon-price: "cheap" is no price'],
])("%j is refused by name", (flags, env, message) => {
  expect(() => source(flags, env)).toThrow(SettingsError);
  expect(() => source(flags, env)).toThrow(message);
});
