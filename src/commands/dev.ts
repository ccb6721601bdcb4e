/** `hypercore dev`: the local cluster of `npm start`, until Ctrl-C. */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { join, relative } from "node:path";
import { Command, Flags } from "@oclif/core";
import { DevError } from "../dev/dev-error.js";
import { guide, startedLine } from "../dev/guide.js";
import { killNode } from "../dev/kill-node.js";
import { DEV_FOLDER_PREFIX, type LocalCluster, type LocalNode, startLocalCluster, withoutClusterVariables } from "../dev/local-cluster.js";
import { type Addressing, defaultAddressing } from "../dev/ports.js";
import { createProgress, type Progress } from "../dev/progress.js";
import { projectRoot } from "../dev/project-root.js";
import { waitFor } from "../dev/readiness.js";

const BEACONS_WITHIN_MS = 60_000;
const MEASURED_WITHIN_MS = 20_000;
/** One Ctrl-C can arrive twice: from the terminal, and again from npm. */
const SAME_CTRL_C_MS = 500;
const ENDING_SIGNALS = ["SIGINT", "SIGTERM", "SIGHUP"] as const;

export default class Dev extends Command {
  static override summary = "Start a local cluster: real Consul and Nomad agents, a sidecar beside each, and the listing.";
  static override description =
    "Uses ports of its own, so that a Consul or Nomad that already runs here is left alone. Ctrl-C ends it and leaves nothing behind. " +
    "--kill, from another terminal, ends one node of it as a machine dies: agents, sidecar and workloads at once.";
  static override examples = ["<%= config.bin %> dev", "<%= config.bin %> dev --nodes 5", "<%= config.bin %> dev --once", "<%= config.bin %> dev --kill node-2"];
  static override flags = {
    nodes: Flags.integer({ description: "number of nodes", default: 3, min: 1, max: 50 }),
    once: Flags.boolean({ description: "print the listing, end the cluster, and exit" }),
    nomad: Flags.boolean({ description: "a Nomad server and a client beside each Consul agent", default: true, allowNo: true }),
    kill: Flags.string({ description: "end this node of the cluster that runs, with SIGKILL, and exit", helpValue: "NODE" }),
    addressing: Flags.option({
      description: "a loopback address for each node (Linux), or one address and other ports for each",
      options: ["addresses", "ports"] as const satisfies readonly Addressing[],
    })(),
  };

  async run(): Promise<void> {
    const { flags } = await this.parse(Dev);
    if (flags.kill !== undefined) return this.#kill(flags.kill);
    const progress = createProgress();
    const ending = new AbortController();
    let cluster: LocalCluster | undefined;
    let askedAt: number | undefined;
    const onSignal = (): void => {
      const now = performance.now();
      if (askedAt !== undefined && now - askedAt > SAME_CTRL_C_MS) void cluster?.stop({ force: true });
      askedAt ??= now;
      ending.abort();
    };
    for (const signal of ENDING_SIGNALS) process.on(signal, onSignal);

    const startedAt = performance.now();
    try {
      cluster = await startLocalCluster({
        nodes: flags.nodes,
        nomad: flags.nomad,
        addressing: flags.addressing ?? defaultAddressing(),
        sidecarArgs: () => ["--usage-period=1m"], // nobody tries things out for an hour
        env: process.env,
        progress,
        signal: ending.signal,
      });
      await waitForBeacons(cluster, progress, ending.signal);
      await waitForMeasurements(cluster, progress, ending.signal);
      this.logToStderr(startedLine(cluster, performance.now() - startedAt));
      await printListing(cluster, ending.signal);
      if (!flags.once) {
        this.log(guide(cluster, this.#program()));
        await untilEnded(ending.signal);
      }
    } catch (error) {
      // Ctrl-C is how it ends, not a failure; with --once it is one, since something was asked for.
      if (!ending.signal.aborted || flags.once) this.#fail(error, ending.signal.aborted);
    } finally {
      await stopCluster(cluster, progress);
      for (const signal of ENDING_SIGNALS) process.removeListener(signal, onSignal);
    }
  }

  #kill(name: string): void {
    try {
      const killed = killNode(name, DEV_FOLDER_PREFIX);
      this.log(`${name}: ${String(killed.length)} processes killed`);
    } catch (error) {
      this.#fail(error, false);
    }
  }

  /** What to type for this program: from the clone that one stands in, or by its name. */
  #program(): string {
    const fromHere = relative(process.cwd(), join(projectRoot(), "bin", "run.js"));
    return fromHere.startsWith("..") ? this.config.bin : fromHere;
  }

  #fail(error: unknown, interrupted: boolean): never {
    if (interrupted) this.exit(130);
    if (error instanceof DevError) this.error(error.message, { exit: error.code === "bad-option" ? 2 : 1 });
    throw error;
  }
}

/** The first probes take some ten seconds. The listing waits for them, but not for ever: what is missing fills in. */
async function waitForMeasurements(cluster: LocalCluster, progress: Progress, signal: AbortSignal): Promise<void> {
  if (cluster.nodes.length < 2) return; // nobody to probe
  const step = progress.step("Measuring the network");
  let measured = 0;
  try {
    await waitFor(
      "measured values",
      async (attempt) => {
        measured = (await listedBeacons(cluster, attempt)).filter((beacon) => beacon !== undefined && isFilledIn(beacon, cluster)).length;
        step.update(`${measured} of ${cluster.nodes.length} nodes`);
        return measured >= cluster.nodes.length || undefined;
      },
      { timeoutMs: MEASURED_WITHIN_MS, signal },
    );
    step.done(`${measured} nodes measured by each other's probes`);
  } catch (error) {
    if (signal.aborted) throw error;
    step.done(`${measured} of ${cluster.nodes.length} nodes measured so far; the others fill in`);
  }
}

interface ListedBeacon {
  latency_ms?: number;
  jitter_ms?: number;
  node_capabilities?: string[];
}

/** Probed by its peers, and with Nomad's drivers among its capabilities where there is Nomad. */
function isFilledIn({ latency_ms, jitter_ms, node_capabilities = [] }: ListedBeacon, cluster: LocalCluster): boolean {
  return latency_ms !== undefined && jitter_ms !== undefined && (cluster.nomadBinary === null || node_capabilities.includes("raw_exec"));
}

/** As node 1 lists them; undefined for a node without a beacon that lives. */
async function listedBeacons(cluster: LocalCluster, signal: AbortSignal): Promise<(ListedBeacon | undefined)[]> {
  const { sidecar } = cluster.nodes[0] as LocalNode;
  const answer = await sidecar?.getJson<{ response: { states?: { beacon?: ListedBeacon; alive?: boolean }[] } }>("/list", signal);
  return (answer?.response.states ?? []).map(({ beacon, alive }) => (alive === false ? undefined : beacon));
}

/** The listing is worth printing once node 1 has a verified beacon of every node, and Consul has heard of each sidecar. */
async function waitForBeacons(cluster: LocalCluster, progress: Progress, signal: AbortSignal): Promise<void> {
  const wanted = cluster.nodes.length;
  const step = progress.step("Waiting for the beacons");
  try {
    await waitFor(
      `a beacon of each of ${wanted} nodes`,
      async (attempt) => {
        const present = (await listedBeacons(cluster, attempt)).filter((beacon) => beacon !== undefined).length;
        step.update(`${present} of ${wanted}`);
        return present >= wanted || undefined;
      },
      { timeoutMs: BEACONS_WITHIN_MS, signal },
    );
    step.done(`${wanted} beacons, signed and verified`);
  } catch (error) {
    step.fail("Waiting for the beacons ended");
    throw error;
  }
}

/** By the program itself, so that what is shown is what a user will get. */
async function printListing(cluster: LocalCluster, signal: AbortSignal): Promise<void> {
  const { IBRL_GRPC_ADDR } = cluster.environment();
  const args = [join(projectRoot(), "bin", "run.js"), "cluster", "metrics", `--grpc-addr=${IBRL_GRPC_ADDR}`];
  const child = spawn(process.execPath, args, { env: withoutClusterVariables(process.env), stdio: ["ignore", "inherit", "inherit"], signal });
  const [code] = (await once(child, "close", { signal })) as [number | null];
  if (code !== 0) throw new DevError("command-failed", `\`cluster metrics\` ended with code ${code}`, { code });
}

/** A timer keeps the process alive: an unattended signal listener does not. */
async function untilEnded(signal: AbortSignal): Promise<void> {
  const alive = setInterval(() => {}, 60_000);
  if (!signal.aborted) await once(signal, "abort");
  clearInterval(alive);
}

async function stopCluster(cluster: LocalCluster | undefined, progress: Progress): Promise<void> {
  if (!cluster) return;
  const step = progress.step("Ending the cluster");
  await cluster.stop();
  step.done("The cluster has ended; nothing is left of it");
}
