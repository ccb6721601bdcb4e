/**
 * Bytes of a node's records, sealed, on each plane that carries them, beside what the ancestor sent unsigned.
 * Nothing here is timed: the same code gives the same bytes on any machine.
 */
import { serviceMeta, META_SEALED, stateDocument } from "../src/beacon/documents.js";
import type { Verified } from "../src/beacon/envelope.js";
import type { NodeState } from "../src/beacon/record.js";
import { cluster } from "../src/proto/messages.js";
import { messageOf } from "../src/sidecar/api/contract.js";
import { batchDocuments } from "../src/beacon/workload-batches.js";
import { placedWorkloads, verifiedBeacon, verifiedState, workload } from "../test/harness/records.js";
import { type Report, runBench } from "./report.js";

/** Measured on the ancestor: BeaconMetadata, and NodeStateResponse with 0 and 10 workloads. None of them was signed. */
const ANCESTOR = { beacon: 107, state: 196, stateWith10: 1_166 };

const METHOD =
  "Method: lengths of what src/beacon seals, for a 23-letter node name, typical values and two capabilities; workloads are\n" +
  "Nomad allocations (UUID, job, namespace, group, status, time); placed: with what a sidecar was asked for, a port, and the\n" +
  "newest proof. The ratio is to the ancestor's bytes for the same thing,\n" +
  "which carried no signature: 64 bytes of signature and 32 of key are in every sealed record here.";

await runBench({}, measure);

function measure(): Report {
  const beacon = verifiedBeacon();
  const states = [0, 10].map((count) => ({
    count,
    ancestor: count === 0 ? ANCESTOR.state : ANCESTOR.stateWith10,
    state: verifiedState({ workloads: Array.from({ length: count }, (_, i) => workload(i)) }),
  }));
  const many = verifiedState({ workloads: placedWorkloads(1_000) });
  return {
    title: "Sizes of records",
    method: METHOD,
    columns: [
      { key: "what", heading: "What" },
      { key: "bytes", heading: "Bytes" },
      { key: "ancestorBytes", heading: "Ancestor, unsigned" },
      { key: "ratio", heading: "Ratio", digits: 2 },
    ],
    rows: [
      row("sealed beacon (the user event)", beacon.sealed.length, ANCESTOR.beacon),
      row("the same in service meta (base64)", serviceMeta(beacon)[META_SEALED]?.length ?? 0, ANCESTOR.beacon),
      ...states.map(({ count, ancestor, state }) => row(`sealed state, ${String(count)} workloads`, state.sealed.length, ancestor)),
      ...states.map(({ count, ancestor, state }) => row(`KV document (JSON), ${String(count)} workloads`, Buffer.byteLength(stateDocument(state)), ancestor)),
      ...states.map(({ count, ancestor, state }) => row(`NodeStateResponse, ${String(count)} workloads`, responseBytes(beacon, state), ancestor)),
      row("sealed state, 1,000 workloads", many.sealed.length, 100 * ANCESTOR.stateWith10),
      row("KV document, a batch of 10, placed", Buffer.byteLength([...batchDocuments(many).values()][0] ?? ""), ANCESTOR.stateWith10),
      row("NodeStateResponse, 1,000 placed", responseBytes(beacon, many), 100 * ANCESTOR.stateWith10),
    ],
  };
}

function row(what: string, bytes: number, ancestorBytes: number) {
  return { what, bytes, ancestorBytes, ratio: bytes / ancestorBytes };
}

/** As gRPC `List` sends it: the readable fields, and beside them both sealed records. */
function responseBytes(beacon: ReturnType<typeof verifiedBeacon>, state: Verified<NodeState>): number {
  const { node, datacenter, nodeId, address } = state.record;
  const message = messageOf({ name: node, id: nodeId, address, datacenter, trust: "pinned", alive: true, beacon, state });
  return cluster.services.api.NodeStateResponse.encode(message).finish().length;
}
