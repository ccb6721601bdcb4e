/**
 * A reflector in a process of its own, for reflector-flood.ts: `reflector-process.js PEER-ADDRESS KEY-HEX`, forked. It
 * says where it listens and how many packets of strangers it dropped, with every report of its prober.
 */
import type { ProbeEndpoint } from "../src/sidecar/probe/probe-settings.js";
import { ProberBench } from "../test/harness/prober-bench.js";

export interface ReflectorSaid {
  at: ProbeEndpoint;
  strangers: number;
}

const [address = "", key = ""] = process.argv.slice(2);
const bench = new ProberBench({ listen: [{ address: "127.0.0.1", port: 0 }] });
const [at] = (await bench.prober.start()) as [ProbeEndpoint];
bench.prober.setPeers({ targets: [], senders: [{ id: "peer", address, key: Buffer.from(key, "hex"), stateful: true }] });
process.once("disconnect", () => process.exit());
for (;;) {
  await bench.nextReport();
  process.send?.({ at, strangers: bench.lastReport?.reflector.dropped["unknown-peer"] ?? 0 } satisfies ReflectorSaid);
}
