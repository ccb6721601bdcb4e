/**
 * A reflector under a flood from an unknown address, as fast as one thread of this machine sends: how much of it was
 * counted and dropped, what the known peer got answered meanwhile, and the memory of the reflector, which has a process
 * of its own, before, in each third of the flood, and after.
 */
import { type ChildProcess, fork } from "node:child_process";
import { once } from "node:events";
import { setTimeout as sleep } from "node:timers/promises";
import { Worker } from "node:worker_threads";
import { encodeSenderPacket } from "../src/sidecar/probe/stamp-packet.js";
import { errorEstimateOf } from "../src/sidecar/probe/error-estimate.js";
import type { ProbeEndpoint } from "../src/sidecar/probe/probe-settings.js";
import type { Flood, FloodResult } from "../test/harness/flooding-worker.js";
import { ProberBench } from "../test/harness/prober-bench.js";
import { memory } from "./proc.js";
import type { ReflectorSaid } from "./reflector-process.js";
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

/** Before and after: enough for the peer's share of answers. */
const QUIET_S = 5;

await runBench({ seconds: 60 }, async ({ seconds }, signal) => {
  const reflector = fork(new URL("./reflector-process.js", import.meta.url), [PEER, KEY.toString("hex")], { signal });
  const peer = new ProberBench({ source: { ipv4: PEER } });
  try {
    const { at: to } = await nextOf(reflector);
    await peer.prober.start();
    peer.prober.setPeers({ targets: [{ id: "r", ...to, key: KEY, reflector: "stateful" }], senders: [] });
    await peer.untilCounted("r", 50); // compiled and in the caches
    const spans = [
      await span("before", quiet),
      await span("flood, first third", () => flood(to, (seconds / 3) * 1_000)),
      await span("flood, second third", () => flood(to, (seconds / 3) * 1_000)),
      await span("flood, last third", () => flood(to, (seconds / 3) * 1_000)),
      await span("after", quiet),
    ];
    return reportOf(spans, seconds);
  } finally {
    reflector.kill();
    await peer.prober.stop();
  }

  function quiet(): Promise<null> {
    return sleep(QUIET_S * 1_000, null, { signal });
  }

  async function span(what: string, act: () => Promise<FloodResult | null>): Promise<Span> {
    peer.samples.length = 0;
    const [from, { strangers: before }] = [performance.now(), await nextOf(reflector)];
    const result = await act();
    const elapsedS = (performance.now() - from) / 1_000;
    await nextOf(reflector);
    const { strangers } = await nextOf(reflector);
    const probes = peer.counted("r");
    return {
      what,
      attackPerS: result === null ? null : result.sent / elapsedS,
      countedPerS: result === null ? null : (strangers - before) / elapsedS,
      answersToStranger: result?.answers ?? null,
      peerProbes: probes.length,
      peerAnswered: probes.filter(({ outcome }) => outcome !== "lost").length,
      rssMb: memory(reflector.pid ?? 0).rssMb,
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

/** The reflector's next report: the second one from now was made after everything that it got before. */
async function nextOf(reflector: ChildProcess): Promise<ReflectorSaid> {
  const [said] = (await once(reflector, "message")) as [ReflectorSaid];
  return said;
}

function reportOf(spans: readonly Span[], seconds: number): Report {
  const base = (spans[0] as Span).peerAnswered / (spans[0] as Span).peerProbes;
  return {
    title: "A reflector under a flood",
    method:
      `Method: ${String(seconds)} s of flood in thirds, ${String(QUIET_S)} s before and after, over loopback. The known peer probes every 10 ms, with a key; the stranger sends valid\n` +
      "packets under the same key from an address that is not known. Counted: dropped by the reflector as unknown-peer; what is missing\n" +
      "to what was sent, the kernel had no room for. RSS of the reflector's process at the end of each; peer and attacker have another. The ratio is of answered shares.",
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
