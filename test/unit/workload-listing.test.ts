import { beaconId } from "../../src/beacon/keys.js";
import { workloadListing } from "../../src/commands/views/workload-listing.js";
import { bareView, fullView } from "../harness/node-views.js";
import { identity, NOW_MS, verifiedState, workload } from "../harness/records.js";

test("lists nodes with their workloads, aligned, and says unknown where it is", () => {
  const workloads = [
    workload(1),
    { ...workload(2), job: "日本", namespace: "batch", taskGroup: "g", status: "pending", createdAtMs: NOW_MS - 7_300_000 },
  ];
  const nodes = [fullView({ view: { state: verifiedState({ node: "node-1", workloads }) } }), bareView("node-9")];
  expect(workloadListing(nodes, NOW_MS)).toBe(`IBRL Cluster Nodes:
==================

Node: 5f3a2b1c-0000-4000-8000-000000000001
  Name:            node-1
  Address:         192.0.2.1
  Datacenter:      dc1
  Beacon ID:       ${beaconId(identity(1).publicKey)}
  Trust:           pinned
  Alive:           yes
  Workloads:       2
    00000001  web-1/app     running  1 min
    00000002  batch:日本/g  pending  2 h

Node: 9e8d7c6b-0000-4000-8000-000000000000
  Name:            node-9
  Address:         192.0.2.99
  Datacenter:      dc1
  Beacon: Not available
  Trust:           no-sidecar
  Alive:           unknown
  Workloads:       unknown
`);
});
