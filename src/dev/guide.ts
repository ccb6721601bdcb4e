/** What `hypercore dev` says beside the listing. Plain text; the commands in it can be pasted. */
import { formatElapsed } from "./progress.js";
import type { LocalCluster, LocalNode } from "./local-cluster.js";

/** Printed below the listing: what to look at and type (`program` is this one), and, off the usual ports, what to export. */
export function guide(cluster: LocalCluster, program: string): string {
  const first = cluster.nodes[0] as LocalNode;
  const last = cluster.nodes.at(-1) as LocalNode;
  const lines = [
    "Values that are not there yet fill in: Consul needs up to 50 s for its first coordinates.",
    "",
    "Try next, in another terminal:",
    ...exportLines(cluster),
    `  ${program} cluster metrics`,
    `  ${program} cluster metrics --format table --watch`,
    ...(last.nomad === null ? [] : workLines(cluster, program)),
    ...(cluster.consulBinary.source === "path" ? ["  consul catalog nodes -service=ibrl-beacon"] : []),
    `  curl '${first.consul.httpUrl}/v1/catalog/service/ibrl-beacon'`,
    `  dig @${first.address} -p ${first.consul.dnsPort} ibrl-beacon.service.consul`,
    `Consul's web page:  ${first.consul.httpUrl}/ui/dc1/services/ibrl-beacon/instances`,
    `Sidecar's metrics:  http://${first.address}:${first.ports.sidecarHttp}/metrics`,
    `Logs and state:     ${cluster.folder}`,
    ...(last.nomad === null ? [] : [`Nomad's web page:   ${first.nomad?.httpUrl}/ui/jobs`]),
    "",
    `${program} dev --kill ${last.name} kills one node as a machine dies: agents, sidecar and workloads.`,
    ...(last.nomad === null ? [] : ["What was spawned there moves on: within 45 s, or some 8 with --allow-overlap."]),
    "Ctrl-C ends the cluster and removes all of it.",
  ];
  return lines.join("\n");
}

export function startedLine(cluster: LocalCluster, elapsedMs: number): string {
  const nomad = cluster.nomadBinary === null ? "" : ` and Nomad ${cluster.nomadBinary.version}`;
  return `✓ ${cluster.nodes.length} nodes with Consul ${cluster.consulBinary.version}${nomad}, up in ${formatElapsed(elapsedMs)}`;
}

/** Changes take the token of the sidecar that is asked. */
function workLines(cluster: LocalCluster, program: string): string[] {
  const token = cluster.shift === 0 ? [`  export IBRL_API_TOKEN_FILE=${cluster.environment()["IBRL_API_TOKEN_FILE"] ?? ""}`] : [];
  return [
    ...token,
    `  ${program} cluster spawn --image-ref 'raw_exec:///bin/sh?arg=-c&arg=while+date;+do+sleep+1;+done' --cpu 1 --mem 32`,
    `  ${program} cluster list; ${program} cluster logs -f --id ID; ${program} cluster usage    (each minute)`,
  ];
}

function exportLines(cluster: LocalCluster): string[] {
  if (cluster.shift === 0) return [];
  const variables = Object.entries(cluster.environment()).map(([name, value]) => `  export ${name}=${value}`);
  return [`  (${cluster.taken.join(", ")} is taken, so this cluster is on other ports)`, ...variables];
}
