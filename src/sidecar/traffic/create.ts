/** The traffic meter put together for main.ts: nothing here decides anything but whom this node has a link with. */
import { openStatement, type Signed, type Verified } from "../../beacon/envelope.js";
import type { KeyAdmission } from "../../beacon/keys.js";
import type { NodeState } from "../../beacon/record.js";
import { USAGE } from "../../beacon/usage-codec.js";
import type { UsageStatement } from "../../beacon/usage-record.js";
import type { PeerNode } from "./counters.js";
import { NftTable } from "./nft-table.js";
import { TrafficMeter, type TrafficMeterDeps } from "./traffic-meter.js";
import { UsageLedger, type UsageSigning } from "./usage-ledger.js";
import { UsagePublisher, type UsagePublisherDeps } from "./usage-publisher.js";

export interface TrafficDeps extends Pick<TrafficMeterDeps, "runs" | "nomadNode" | "self" | "clock" | "sampleMs" | "periodMs" | "health"> {
  /** Of the table: what no other sidecar on the host has. */
  name: string;
  env: NodeJS.ProcessEnv;
  keys: KeyAdmission;
  signing: () => UsageSigning | undefined;
  price: () => number | undefined;
  /** Verified, and believed. */
  peers: () => readonly Verified<NodeState>[];
  /** Whole keys of the nodes that this one has a link with. */
  linked: () => ReadonlySet<string>;
  folder: {
    list(): { periodStartMs: number; part: number }[];
    read(place: { periodStartMs: number; part: number }): Uint8Array | null;
    write(place: { periodStartMs: number; part: number }, sealed: Uint8Array): void;
  };
  publishing: UsagePublisherDeps;
  isOwnKey: (hex: string) => boolean;
  metrics: { metered(on: boolean): void; carried(direction: "in" | "out", bytes: number): void };
  logger: { error(fields: object, message: string): void };
}

export function createTraffic(deps: TrafficDeps): TrafficMeter {
  const { keys, signing, price, folder, metrics, logger, periodMs } = deps;
  const publisher = new UsagePublisher(deps.publishing);
  const last = kept(deps, (statement) => publisher.take(statement));
  const ledger = new UsageLedger({
    keys, signing, price, periodMs, last,
    write: (statement) => {
      publisher.take(statement);
      folder.write(statement.record, statement.sealed);
    },
  });
  const meter: TrafficMeter = new TrafficMeter({
    ...deps,
    table: new NftTable(deps.name, deps.env),
    peers: () => {
      const linked = deps.linked();
      return deps.peers().map(({ key, record }): PeerNode => ({
        key: key.hex, node: record.node, address: record.address,
        ...(linked.has(key.hex) && record.workloads !== undefined ? { workloads: record.workloads } : {}),
      }));
    },
    onCounted: (added, fromMs, toMs) => {
      for (const { of, bytesIn, bytesOut } of added) {
        if (!("allocation" in of) || of.peer !== undefined) continue;
        metrics.carried("in", bytesIn);
        metrics.carried("out", bytesOut);
      }
      ledger.add(added, fromMs, toMs);
    },
    onError: (error) => logger.error({ err: error }, "what was carried cannot be kept: it is kept with the next count"),
    afterRead: async (signal) => {
      metrics.metered(meter.isCounting);
      const place = signing();
      if (place !== undefined) await publisher.offer(place, signal);
    },
  });
  return meter;
}

/** Hands what is on the disk to `each`, the newest KV periods of it, and returns the newest. What is not this node's is left there. */
function kept({ folder, keys, publishing, isOwnKey, logger }: TrafficDeps, each: (statement: Signed<UsageStatement>) => void): Signed<UsageStatement> | null {
  let last: Signed<UsageStatement> | null = null;
  try {
    for (const place of folder.list().slice(-publishing.keep())) {
      const opened = openStatement(USAGE, folder.read(place) ?? new Uint8Array(), keys);
      if (!opened.ok || !isOwnKey(opened.signed.key.hex)) {
        logger.error({ ...place, reason: opened.ok ? "signed by another key" : opened.detail }, "a kept usage statement is not this node's");
        continue;
      }
      each(opened.signed);
      last = opened.signed;
    }
  } catch (error) {
    logger.error({ err: error }, "usage statements cannot be read");
  }
  return last;
}
