/**
 * A reflector under a flood from an unknown address, as fast as one thread of this machine sends: how much of it was
 * counted and dropped, what the known peer got answered meanwhile, and the memory of the process before and after.
 */
import { once } from "node:events";
import { setTimeout as sleep } from "node:timers/promises";
import { Worker } from "node:worker_threads";
import { encodeSenderPacket } from "../src/sidecar/probe/stamp-packet.js";
import { errorEstimateOf } from "../src/sidecar/probe/error-estimate.js";
import type { ProbeEndpoint } from "../src/sidecar/probe/probe-settings.js";
import type { Flood, FloodResult } from "../test/harness/flooding-worker.js";
import { ProberBench } from "../test/harness/prober-bench.js";
import { memory } from "./proc.js";
import { type Report, runBench } from "./report.js";

const PEER = "127.0.0.2";
const STRANGER = "127.0.0.77";
const KEY = Buffer.alloc(32, 1);
/** Right in every byte but for who sends it. */
const PACKET = encodeSenderPacket({ sequence: 1, timestamp: 1n, error: errorEstimateOf(1e-4, false), ssid: 1 }, KEY);

interface Span {
  what: string;
  attackPerS: number | null;
  countedPerS: number | null;
  answersToStranger: number | null;
  peerProbes: number;
  peerAnswered: number;
  rssMb: number;
}

await runBench({ seconds: 10 }, async ({ seconds }, signal) => {
  const reflector = new ProberBench({ listen: [{ address: "127.0.0.1", port: 0 }] });
  const peer = new ProberBench({ source: { ipv4: PEER } });
  try {
    const [to] = (await reflector.prober.start()) as [ProbeEndpoint];
    await peer.prober.start();
    reflector.prober.setPeers({ targets: [], senders: [{ id: "peer", address: PEER, key: KEY, stateful: true }] });
    peer.prober.setPeers({ targets: [{ id: "r", ...to, key: KEY, reflector: "stateful" }], senders: [] });
    await peer.untilCounted("r", 50); // compiled and in the caches
    const spans = [
      await span("before", quiet),
      await span("under the flood", () => flood(to, seconds * 1_000)),
      await span("after", quiet),
    ];
    return reportOf(spans, seconds);
  } finally {
    await Promise.all([reflector.prober.stop(), peer.prober.stop()]);
  }

  function quiet(): Promise<null> {
    return sleep(seconds * 1_000, null, { signal });
  }

  async function span(what: string, act: () => Promise<FloodResult | null>): Promise<Span> {
    const counted = () => reflector.lastReport?.reflector.dropped["unknown-peer"] ?? 0;
    peer.samples.length = 0;
    const [from, before] = [performance.now(), counted()];
    const result = await act();
    const elapsedS = (performance.now() - from) / 1_000;
    await reflector.nextReport();
    await reflector.nextReport();
    const probes = peer.counted("r");
    return {
      what,
      attackPerS: result === null ? null : result.sent / elapsedS,
      countedPerS: result === null ? null : (counted() - before) / elapsedS,
      answersToStranger: result?.answers ?? null,
      peerProbes: probes.length,
      peerAnswered: probes.filter(({ outcome }) => outcome !== "lost").length,
      rssMb: memory(process.pid).rssMb,
    };
  }

  async function flood(to: ProbeEndpoint, mostMs: number): Promise<FloodResult> {
    const workerData: Flood = { from: STRANGER, to, packets: [PACKET], mostPackets: Number.MAX_SAFE_INTEGER, mostMs };
    const attacker = new Worker(new URL("../test/harness/flooding-worker.js", import.meta.url), { workerData });
    await once(attacker, "message", { signal });
    const result = once(attacker, "message", { signal }) as Promise<[FloodResult]>;
    attacker.postMessage("finish");
    const [{ sent, answers }] = await result;
    await attacker.terminate();
    return { sent, answers };
  }
});

function reportOf(spans: readonly Span[], seconds: number): Report {
  const base = (spans[0] as Span).peerAnswered / (spans[0] as Span).peerProbes;
  return {
    title: "A reflector under a flood",
    method:
      `Method: ${String(seconds)} s each, one after the other, over loopback. The known peer probes every 10 ms, with a key; the stranger sends valid\n` +
      "packets under the same key from an address that is not known. Counted: dropped by the reflector as unknown-peer; what is missing\n" +
      "to what was sent, the kernel had no room for. RSS of the process, which is reflector, peer and attacker. The ratio is of answered shares.",
    columns: [
      { key: "what", heading: "When" },
      { key: "attackPerS", heading: "Packets a second" },
      { key: "countedPerS", heading: "counted and dropped" },
      { key: "answersToStranger", heading: "answered" },
      { key: "peerProbes", heading: "Peer's probes" },
      { key: "peerAnswered", heading: "answered" },
      { key: "ratio", heading: "Ratio", digits: 3 },
      { key: "rssMb", heading: "RSS MB", digits: 1 },
    ],
    rows: spans.map((span) => ({ ...span, ratio: span.peerAnswered / span.peerProbes / base })),
  };
}
