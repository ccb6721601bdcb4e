/**
 * The external beacon network of `--beacon-endpoint`: whether it answers, tried with backoff, never in the way of
 * local work. Empty is no network at all. What is spoken with it is a later step; today reachability is what
 * `hypercore_ibrl_beacon_connected` tells: an HTTP answer below 500 for http and https, a connection for the others.
 */
import { createConnection } from "node:net";
import type { Backoff } from "./backoff.js";
import type { Clock } from "./clock.js";
import type { HealthLog } from "./health-log.js";
import { SettingsError } from "./settings.js";

const SCHEMES = ["grpc:", "grpcs:", "http:", "https:", "tcp:"];
const CHECK_MS = 15_000;
const DEADLINE_MS = 5_000;

/** Undefined for the empty text. Throws SettingsError. */
export function parseBeaconEndpoint(text: string): URL | undefined {
  if (text === "") return undefined;
  const url = URL.canParse(text) ? new URL(text) : undefined;
  if (url === undefined || !SCHEMES.includes(url.protocol) || url.hostname === "") {
    throw new SettingsError("--beacon-endpoint", `${JSON.stringify(text)} is not a URL with ${SCHEMES.map((s) => `${s}//`).join(", ")}, such as grpc://beacon.example:8000`);
  }
  if (url.port === "" && !url.protocol.startsWith("http")) {
    throw new SettingsError("--beacon-endpoint", `${JSON.stringify(text)} has no port, and ${url.protocol}// has no usual one`);
  }
  return url;
}

export class BeaconEndpoint {
  constructor(
    private readonly deps: {
      url: URL;
      clock: Clock;
      backoff: Backoff;
      health: HealthLog;
      onState: (connected: boolean) => void;
    },
  ) {}

  /** Checks until the signal aborts. Never rejects. */
  async run(signal: AbortSignal): Promise<void> {
    const { clock, backoff, health, onState, url } = this.deps;
    onState(false);
    while (!signal.aborted) {
      try {
        await reach(url, AbortSignal.any([signal, AbortSignal.timeout(DEADLINE_MS)]));
        onState(true);
        health.up();
        backoff.reset();
        await clock.sleep(CHECK_MS, signal);
      } catch (error) {
        if (signal.aborted) return;
        onState(false);
        health.down(error);
        await clock.sleep(backoff.next(), signal);
      }
    }
  }
}

async function reach(url: URL, signal: AbortSignal): Promise<void> {
  if (url.protocol === "http:" || url.protocol === "https:") {
    const response = await fetch(url, { signal, redirect: "manual" });
    await response.body?.cancel();
    if (response.status >= 500) throw new Error(`${url.origin} answers ${String(response.status)}`);
    return;
  }
  await new Promise<void>((resolve, reject) => {
    const host = url.hostname.replace(/^\[|\]$/g, "");
    const socket = createConnection({ host, port: Number(url.port), signal });
    socket.once("connect", () => {
      socket.destroy();
      resolve();
    });
    socket.once("error", reject);
  });
}
