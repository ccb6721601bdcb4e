/**
 * A reader that joins a cluster of synthetic nodes, all in the first answer of the catalog: time to a registry with every
 * node in it, and how late the event loop was meanwhile, with keys judged in the worker (the sidecar) and in place.
 */
import { generateKeyPairSync, type KeyObject, sign, verify } from "node:crypto";
import { monitorEventLoopDelay } from "node:perf_hooks";
import { setTimeout as sleep } from "node:timers/promises";
import { serviceMeta } from "../src/beacon/documents.js";
import { BEACON, open, seal } from "../src/beacon/envelope.js";
import { type AdmittedKey, KeyAdmission } from "../src/beacon/keys.js";
import { PinBook } from "../src/beacon/pins.js";
import { Registry } from "../src/beacon/registry.js";
import { takeIn } from "../src/sidecar/catalog.js";
import { type Clock, systemClock } from "../src/sidecar/clock.js";
import type { ServiceInstance } from "../src/sidecar/consul-api.js";
import { Intake } from "../src/sidecar/intake.js";
import { KeyCheckThread } from "../src/sidecar/key-check-thread.js";
import { JUDGED_IN_PLACE, KeyJudge } from "../src/sidecar/key-judge.js";
import { beacon, context, NOW_MS } from "../test/harness/records.js";
import { type Report, runBench } from "./report.js";

/** Of the preparation alone; each reader begins with none. */
const trusting = new KeyAdmission();
const clock: Clock = { ...systemClock, nowMs: () => NOW_MS };

interface Join {
  completeMs: number;
  /** Of the event loop over that time. */
  lagP99Ms: number;
  lagMaxMs: number;
  torsionChecks: number;
}

await runBench({ small: 1_000, large: 10_000 }, async ({ small, large }, signal) => {
  const rows = [];
  await join(cluster(50), true, signal); // compiles the code, and is not counted
  for (const nodes of [small, large]) {
    const instances = cluster(nodes);
    const bareMs = bareVerifyMs() * nodes;
    for (const inWorker of [true, false]) {
      const { completeMs, lagP99Ms, lagMaxMs, torsionChecks } = await join(instances, inWorker, signal);
      rows.push({
        what: `${String(nodes)} nodes, keys judged ${inWorker ? "in the worker" : "in place"}`,
        completeS: completeMs / 1_000, ratio: completeMs / bareMs, perSecond: (nodes / completeMs) * 1_000, torsionChecks, lagP99Ms, lagMaxMs,
      });
    }
  }
  const report: Report = {
    title: "Joining a cluster",
    method:
      "Method: one answer of the catalog with a sealed beacon of every node, each under a key of its own that was not seen before, taken\n" +
      "in as the sidecar does, until the registry has all. Lag: monitorEventLoopDelay over that time, resolution 1 ms. The ratio is of the\n" +
      "time to as many bare calls of node:crypto's verify, timed just before. One run each.",
    columns: [
      { key: "what", heading: "What" },
      { key: "completeS", heading: "Complete s", digits: 2 },
      { key: "ratio", heading: "Ratio", digits: 1 },
      { key: "perSecond", heading: "Nodes a second" },
      { key: "torsionChecks", heading: "Torsion checks" },
      { key: "lagP99Ms", heading: "Lag ms p99", digits: 1 },
      { key: "lagMaxMs", heading: "max", digits: 1 },
    ],
    rows,
  };
  return report;
});

async function join(instances: readonly ServiceInstance[], inWorker: boolean, signal: AbortSignal): Promise<Join> {
  const keys = new KeyAdmission();
  const registry = new Registry(new PinBook([]));
  let torsionChecks = 0;
  const judge = new KeyJudge({
    keys, clock,
    checker: new KeyCheckThread(),
    onJudged: (hex) => intake.onJudged(hex),
    observer: {
      waiting: () => {},
      judged: () => (torsionChecks += 1),
      failed: (error) => console.error(error),
    },
  });
  const intake: Intake = new Intake(registry, keys, clock, { accepted: () => {}, rejected: (_, node, why) => console.error(node, why) }, inWorker ? judge : JUDGED_IN_PLACE);
  const ending = new AbortController();
  const judging = judge.run(AbortSignal.any([signal, ending.signal]));
  const lag = monitorEventLoopDelay({ resolution: 1 });
  lag.enable();
  const from = performance.now();
  await takeIn(instances, "dc1", registry, intake);
  while (registry.size < instances.length && !signal.aborted) await sleep(5);
  const completeMs = performance.now() - from;
  lag.disable();
  ending.abort();
  await judging;
  signal.throwIfAborted();
  return { completeMs, lagP99Ms: lag.percentile(99) / 1e6, lagMaxMs: lag.max / 1e6, torsionChecks: inWorker ? torsionChecks : instances.length };
}

function cluster(nodes: number): ServiceInstance[] {
  return Array.from({ length: nodes }, (_, i) => {
    const sealed = seal(BEACON, beacon({ node: `node-${String(i).padStart(5, "0")}` }), newIdentity());
    const opened = open(BEACON, sealed, context({ keys: trusting }));
    if (!opened.ok) throw new Error(opened.detail);
    return {
      node: opened.verified.record.node, meta: serviceMeta(opened.verified), nodeId: "", datacenter: "dc1", nodeAddress: "",
      serviceId: "ibrl-beacon", address: "", port: 0, tags: [], checks: [{ id: "serfHealth", status: "passing" }],
    };
  });
}

function newIdentity(): { publicKey: Uint8Array; privateKey: KeyObject } {
  const { publicKey, privateKey } = generateKeyPairSync("ed25519");
  const bytes = Buffer.from(publicKey.export({ format: "jwk" }).x ?? "", "base64url");
  trusting.settle(bytes, true); // made here, so sound: preparing is not what is measured
  return { publicKey: bytes, privateKey };
}

function bareVerifyMs(): number {
  const { publicKey, privateKey } = newIdentity();
  const { verifier } = trusting.admit(publicKey) as AdmittedKey;
  const message = Buffer.alloc(133, 7);
  const signature = sign(null, message, privateKey);
  const from = performance.now();
  for (let i = 0; i < 2_000; i++) if (!verify(null, message, verifier, signature)) throw new Error("a sound signature was refused");
  return (performance.now() - from) / 2_000;
}
