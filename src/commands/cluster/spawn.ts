import { randomUUID } from "node:crypto";
import { Flags } from "@oclif/core";
import { PlacementError } from "../../sidecar/placement-error.js";
import { readSpawn } from "../../sidecar/spawn-order.js";
import type { TlsFlags } from "../reading/client-tls-files.js";
import { loadPolicy } from "../reading/policy-source.js";
import { openSource } from "../reading/source.js";
import { UsageError } from "../reading/usage-error.js";
import { type SpawnDocument, spawnDocument, spawnLines } from "../views/spawn-view.js";
import { WorkloadCommand } from "../workloads/workload-command.js";
import { portsIn } from "../workloads/ports-flag.js";

export default class ClusterSpawn extends WorkloadCommand {
  static override summary = "Run a workload on the best node, as a Nomad job.";
  static override description =
    "The order of the policy decides; what cannot run there goes to the next best. docs/workloads.md has the references that --image-ref takes.\n\n" +
    "Exit codes: 0; 1 error, and nothing was left running; 2 bad usage.";
  static override examples = [
    "<%= config.bin %> <%= command.id %> --image-ref nginx:1.27 --ports 8080:80 --policy policy.json",
    "<%= config.bin %> <%= command.id %> --image-ref 'exec:///usr/bin/python3?arg=-m&arg=http.server&arg=8080' --ports 8080:8080 --dry-run",
  ];
  static override flags = {
    "image-ref": Flags.string({ summary: "An image, or DRIVER://… of what to run.", required: true, helpValue: "REF" }),
    ports: Flags.string({ summary: "HOST:WORKLOAD, more of them behind commas; auto:WORKLOAD lets Nomad choose the host port.", multiple: true, multipleNonGreedy: true, helpValue: "443:3000" }),
    cpu: Flags.integer({ summary: "Cores.", default: 1 }),
    mem: Flags.integer({ summary: "Memory in megabytes.", default: 512 }),
    env: Flags.string({ summary: "A variable of the workload. Repeatable.", multiple: true, multipleNonGreedy: true, helpValue: "NAME=value" }),
    policy: Flags.string({ summary: "The policy: a file, or the name or SHA-256 of a stored one. It never loosens the cluster's.", helpValue: "FILE|NAME" }),
    "dry-run": Flags.boolean({ summary: "Show the decision and Nomad's plan, and change nothing." }),
    "request-id": Flags.string({ summary: "The same ID is the same workload, however often it is sent. Default: a new one.", helpValue: "ID" }),
    "allow-overlap": Flags.boolean({ summary: "Move faster: a second copy may live for a while." }),
  };

  async run(): Promise<SpawnDocument> {
    const { flags } = await this.parse(ClusterSpawn);
    const { ports, dynamicPorts } = portsIn(flags.ports ?? []);
    const request = {
      image_ref: flags["image-ref"], cores: flags.cpu, memory: flags.mem, ports, dynamic_ports: dynamicPorts, env: flags.env ?? [],
      dry_run: flags["dry-run"], allow_overlap: flags["allow-overlap"], request_id: flags["request-id"] ?? randomUUID(),
      ...(flags.policy === undefined ? {} : { policy: await policyBytes(flags.policy, flags) }),
    };
    checked(request);
    const answer = await this.call(flags, (client, timeoutMs) => client.spawn(request, timeoutMs));
    this.log(spawnLines(answer));
    return spawnDocument(answer);
  }
}

/** Rejects with PolicyFileError or ApiError. */
async function policyBytes(policy: string, flags: TlsFlags & { "grpc-addr": string }): Promise<Uint8Array> {
  const source = await openSource({ ...flags, consul: false, datacenter: undefined }, process.env);
  try {
    return (await loadPolicy(policy, source.stored)).bytes;
  } finally {
    source.close();
  }
}

/** Here as at the sidecar: a negative number would reach it as another one. */
function checked(request: Parameters<typeof readSpawn>[0]): void {
  try {
    readSpawn(request, randomUUID);
  } catch (error) {
    throw error instanceof PlacementError ? new UsageError(error.message) : error;
  }
}
