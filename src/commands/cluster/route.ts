import { Args, Flags } from "@oclif/core";
import type { Policies } from "../../policy/decide.js";
import { servicesIn } from "../../sidecar/service-nodes.js";
import { requireMatch } from "../../policy/no-match.js";
import { type Route, route } from "../../policy/route.js";
import { failureOf } from "../reading/failure.js";
import { intervalMs, readingFlags } from "../reading/flags.js";
import { openInstances } from "../reading/instances.js";
import { liveFlags, sourceFlags } from "../reading/live-decision.js";
import { PlainCommand } from "../reading/plain-command.js";
import { leftOut, loadClusterPolicy } from "../reading/cluster-policy.js";
import { loadPolicy } from "../reading/policy-source.js";
import { openSource } from "../reading/source.js";
import { watch } from "../reading/watch.js";
import { safeJson } from "../views/printable.js";
import { routeDocument, routeLine } from "../views/routing.js";

/** Nothing of this service is up: the order of nobody. */
class NoInstanceError extends Error {
  override readonly name = "NoInstanceError";
  readonly code = "no-instance";
}

export default class ClusterRoute extends PlainCommand {
  static override summary = "The live instances of a Consul service, in the order of a policy.";
  static override description =
    "Instances come from Consul (CONSUL_HTTP_ADDR and the other CONSUL_* variables; the token needs service:read on SERVICE), their nodes " +
    "from a sidecar or with --consul from Consul; records are verified here. One line: HOST:PORT of each, the best first, those of excluded " +
    "nodes left out. With --watch one line (with --json one document on a line) at the start and at each change; an empty line where nobody is left.\n\n" +
    "Exit codes: 0; 1 error, or no instance that the policy allows; 2 bad usage.";
  static override examples = [
    "<%= config.bin %> <%= command.id %> web --policy nomad/policies/low-latency.json",
    "<%= config.bin %> <%= command.id %> web --policy policy.json --watch --interval 2s --json",
  ];
  static override args = { service: Args.string({ name: "SERVICE", description: "The Consul service.", required: true }) };
  static override flags = {
    ...sourceFlags,
    policy: Flags.string({ summary: "The policy: a file, or the name or SHA-256 of a stored one.", helpValue: "FILE|NAME", required: true }),
    "cluster-policy": liveFlags["cluster-policy"],
    watch: Flags.boolean({ summary: "Go on until Ctrl-C, and say when the order changes." }),
    interval: readingFlags.interval,
  };

  async run(): Promise<object | undefined> {
    const { args: { service }, flags } = await this.parse(ClusterRoute);
    const everyMs = intervalMs(flags.interval);
    const [source, live] = [await openSource(flags, process.env), openInstances(service, process.env, flags.datacenter)];
    const policies: Policies = {};
    let warned = false;
    const read = async (signal: AbortSignal): Promise<Route> => {
      const names = servicesIn(policies);
      const [nodes, instances, services] = await Promise.all([source.read(signal, () => {}), live.read(signal), names.length === 0 ? new Map() : source.services(names)]);
      const missing = leftOut(nodes, policies.cluster);
      if (missing !== undefined && !warned) process.stderr.write(`${missing}\n`);
      warned ||= missing !== undefined;
      return route(instances, { nodes, policies, services, nowMs: Date.now() });
    };
    try {
      policies.spawn = (await loadPolicy(flags.policy, source.stored)).evaluator;
      const cluster = await loadClusterPolicy(flags["cluster-policy"], source);
      if (cluster !== undefined) policies.cluster = cluster;
      if (flags.watch) {
        await this.#watch(service, read, (ms, signal) => live.changed(ms, signal), everyMs);
        return undefined;
      }
      const found = await read(new AbortController().signal);
      if (found.decision.table.size === 0) throw new NoInstanceError(`service ${JSON.stringify(service)} has no live instance`);
      requireMatch(found.decision);
      this.log(routeLine(found));
      return routeDocument(service, found);
    } finally {
      source.close();
      live.close();
      for (const evaluator of Object.values(policies)) await evaluator.close?.();
    }
  }

  async #watch(service: string, read: (signal: AbortSignal) => Promise<Route>, wait: (ms: number, signal: AbortSignal) => Promise<void>, everyMs: number): Promise<void> {
    const ending = new AbortController();
    const end = (): void => ending.abort();
    for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"] as const) process.once(signal, end);
    process.stdout.once("error", end); // nobody reads any more
    let last: string | undefined;
    await watch({
      intervalMs: everyMs, read, wait,
      show: (found) => {
        const line = routeLine(found);
        if (line !== last) process.stdout.write(`${this.jsonEnabled() ? safeJson(routeDocument(service, found)) : line}\n`);
        last = line;
        return false;
      },
      failed: (error) => process.stderr.write(`warning: not read, trying again: ${failureOf(error).message}\n`),
    }, ending.signal);
  }
}
