/**
 * The external beacon network of `--beacon-endpoint`: kept up with backoff, never in the way of local work. Empty is no
 * network at all. By grpc and grpcs this node is a member (federation.ts); the others tell only whether somebody is there:
 * an HTTP answer below 500, a TCP connection.
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

export type Session = (signal: AbortSignal, connected: () => void) => Promise<void>;

export class BeaconEndpoint {
  #connected: boolean | undefined;

  constructor(
    private readonly deps: {
      clock: Clock;
      backoff: Backoff;
      health: HealthLog;
      /** Until it fails or the signal aborts; says each time that the network answered. */
      session: Session;
      onState: (connected: boolean) => void;
    },
  ) {}

  get state(): "connecting" | "connected" | "unreachable" {
    return this.#connected === undefined ? "connecting" : this.#connected ? "connected" : "unreachable";
  }

  /** Until the signal aborts. Never rejects. */
  async run(signal: AbortSignal): Promise<void> {
    const { clock, backoff, health, session, onState } = this.deps;
    onState(false);
    const connected = () => {
      onState((this.#connected = true));
      health.up();
      backoff.reset();
    };
    while (!signal.aborted) {
      try {
        await session(signal, connected);
      } catch (error) {
        if (signal.aborted) return;
        onState((this.#connected = false));
        health.down(error);
        await clock.sleep(backoff.next(), signal);
      }
    }
  }
}

/** What http, https and tcp are asked: whether somebody is there. */
export function reachability(url: URL, clock: Pick<Clock, "sleep">): Session {
  return async (signal, connected) => {
    await reach(url, AbortSignal.any([signal, AbortSignal.timeout(DEADLINE_MS)]));
    connected();
    await clock.sleep(CHECK_MS, signal);
  };
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
