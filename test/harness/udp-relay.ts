/**
 * A UDP relay between one STAMP sender and one reflector that does to packets what a seeded model
 * says and records what it really did, so that tests compare a measurement with the injected truth
 * and not with a nominal parameter. Runs in a thread of its own (udp-relay-worker.ts).
 */
import { Worker } from "node:worker_threads";
import type { ProbeEndpoint } from "../../src/sidecar/probe/probe-settings.js";
import type { DirectionModel } from "./network-model.js";

export interface RelaySettings {
  target: ProbeEndpoint;
  forward: DirectionModel;
  backward: DirectionModel;
  seed: number;
  /** Decides where the sender's sequence number stands in an answer. */
  authenticated: boolean;
}

export interface RelayedPacket {
  direction: "forward" | "backward";
  /** The sender's sequence number, in both directions. */
  sequence: number;
  lost: boolean;
  reordered: boolean;
  /** Monotonic: when it came, and when each copy left. */
  arrivedUs: number;
  leftUs: number[];
  /** Of an answer: how long the reflector says that it had the probe. */
  residenceUs: number;
}

export type RelayMessage = { type: "ready"; endpoint: ProbeEndpoint } | { type: "truth"; packets: RelayedPacket[] };

export class UdpRelay {
  private constructor(
    private readonly worker: Worker,
    /** Where the sender is to send. */
    readonly endpoint: ProbeEndpoint,
  ) {}

  static async start(settings: RelaySettings): Promise<UdpRelay> {
    const worker = new Worker(new URL("./udp-relay-worker.js", import.meta.url), { workerData: settings });
    const message = await nextMessage(worker);
    if (message.type !== "ready") throw new Error("the relay did not start");
    return new UdpRelay(worker, message.endpoint);
  }

  /** Ends the relay and tells what it did, in order of arrival. */
  async stop(): Promise<RelayedPacket[]> {
    const answer = nextMessage(this.worker);
    this.worker.postMessage("stop");
    const message = await answer;
    return message.type === "truth" ? message.packets : [];
  }
}

function nextMessage(worker: Worker): Promise<RelayMessage> {
  return new Promise((resolve, reject) => {
    worker.once("message", resolve);
    worker.once("error", reject);
  });
}

/**
 * Round trips behind the relay by sequence, of the probes whose first copies came through both ways:
 * from the probe's arrival to the answer's departure, both read here, less the residence. What the
 * sender measures beyond it is the way between sender and relay.
 */
export function trueRoundTripsUs(packets: readonly RelayedPacket[]): Map<number, number> {
  const arrivals = new Map(
    packets.filter(({ direction, lost }) => direction === "forward" && !lost).map(({ sequence, arrivedUs }) => [sequence, arrivedUs]),
  );
  return new Map(
    packets.flatMap(({ direction, sequence, leftUs, residenceUs }) => {
      const [arrivedUs, departedUs] = [arrivals.get(sequence), leftUs[0]];
      if (direction === "forward" || arrivedUs === undefined || departedUs === undefined) return [];
      return [[sequence, departedUs - arrivedUs - residenceUs]];
    }),
  );
}
