import type { Beacon } from "../../src/beacon/record.js";
import { Backoff } from "../../src/sidecar/backoff.js";
import { metaOf, type NodeMeta, NodeMetadata } from "../../src/sidecar/node-metadata.js";

const BEACON: Beacon = {
  node: "node-1", datacenter: "dc1", epoch: 1, sequence: 1, issuedAtMs: 0, validityMs: 300_000, capabilities: [],
  latency: { us: 1_234, source: "measured" }, lossRatio: 0.023, queueDepth: 0, priceMicroUsdPerGb: 10_000,
};
const ALL_GONE = Object.fromEntries(["latency_ms", "jitter_ms", "packet_loss", "queue_depth", "price_per_gb"].map((name) => [`unique.ibrl.${name}`, null]));

/** Runs it over the beacons, one each period; answers with what was written after each. */
async function over(beacons: readonly (Beacon | undefined)[], { absent = false, broken = false, everyMs = 1_000 } = {}) {
  const written: [number, string, NodeMeta][] = [];
  const told: string[] = [];
  const ending = new AbortController();
  let at = 0;
  const metadata = new NodeMetadata({
    set: (id, meta) => {
      if (broken) return Promise.reject(new Error("no"));
      written.push([at, id, meta]);
      return Promise.resolve();
    },
    nomadNode: () => Promise.resolve(absent ? undefined : "n1"),
    own: () => beacons[at],
    cadence: () => ({ heartbeatMs: 100_000, writesPerS: 1, writeBurst: 2 }),
    clock: {
      monoMs: () => at * everyMs,
      sleep: () => {
        at += 1;
        if (at === beacons.length) ending.abort();
        return Promise.resolve();
      },
    },
    random: () => 0,
    backoff: new Backoff(() => 0.5),
    observer: (outcome) => told.push(outcome),
  });
  await metadata.run(everyMs, ending.signal);
  return { metadata, written, told };
}

test("values as listings have them; what is unknown is taken away, and an estimate is not published", async () => {
  const values = { "unique.ibrl.latency_ms": "1.234", "unique.ibrl.jitter_ms": null, "unique.ibrl.packet_loss": "2.3", "unique.ibrl.queue_depth": "0", "unique.ibrl.price_per_gb": "0.01" };
  expect((await over([BEACON])).written).toEqual([[0, "n1", values]]);
  expect((await over([{ ...BEACON, latency: { us: 1_234, source: "estimated" } }])).written).toEqual([[0, "n1", { ...values, "unique.ibrl.latency_ms": null }]]);
  expect(metaOf(undefined)).toEqual(ALL_GONE);
});

test("written when a value leaves its dead-band for 10 s, and at the heartbeat; a price at once", async () => {
  const at = (second: number): Beacon => ({ ...BEACON, latency: { us: 1_234 + (second % 2) * 400, source: "measured" }, ...(second >= 20 ? { latency: { us: 9_000, source: "measured" } } : {}), ...(second >= 40 ? { priceMicroUsdPerGb: 1 } : {}) });
  const { written } = await over(Array.from({ length: 145 }, (_, second) => at(second)));
  expect(written.map(([second]) => second)).toEqual([0, 30, 40, 140]);
});

test("a value that jumps all the time spends the budget and no more", async () => {
  const { written, told } = await over(Array.from({ length: 80 }, (_, beat) => ({ ...BEACON, priceMicroUsdPerGb: beat })), { everyMs: 250 });
  expect(written.length).toBeGreaterThan(18);
  expect(written.length).toBeLessThanOrEqual(22); // in 20 s: one a second, and two saved up
  expect(told.filter((outcome) => outcome !== "written")).toEqual(Array.from({ length: 80 - written.length }, () => "deferred"));
});

test("leaving takes every key away; where nothing was written, because no Nomad answers or nobody speaks for the node, nothing is", async () => {
  const { metadata, written, told } = await over([BEACON]);
  await metadata.remove();
  expect(written[1]).toEqual([1, "n1", ALL_GONE]);
  expect(told).toEqual(["written", "removed"]);
  for (const none of [await over([BEACON], { absent: true }), await over([undefined])]) {
    await none.metadata.remove();
    expect(none.written).toEqual([]);
  }
});

test("a failed write is told, tried again by its backoff, and may have arrived: leaving removes it", async () => {
  const { metadata, told } = await over([BEACON, BEACON, BEACON], { broken: true });
  await metadata.remove();
  expect(told).toEqual(["failed", "failed", "failed", "failed"]);
});
