/**
 * Spawn on a real Consul and Nomad: to running, beside the same job registered at Nomad alone; and many spawns, each
 * asked of two sidecars at once, counted for duplicates. Three nodes on this machine, raw_exec, one sleep each.
 */
import { execFile } from "node:child_process";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { promisify } from "node:util";
import { type LocalCluster, type LocalNode, startLocalCluster, withoutClusterVariables } from "../src/dev/local-cluster.js";
import { createProgress } from "../src/dev/progress.js";
import { waitFor } from "../src/dev/readiness.js";
import type { SidecarProcess } from "../src/dev/sidecar-process.js";
import { type SpawnAnswer, WorkloadClient } from "../src/sidecar/api/workload-client.js";
import { metric } from "../test/harness/observe.js";
import { median, type Report, runBench } from "./report.js";

/** Away from the ports of `hypercore dev` (0) and of the tests (5). */
const FIRST_SHIFT = 14;
const SPAWN_MS = 120_000;
const SLEEP = "raw_exec:///bin/sleep?arg=600";

interface Timed {
  api: number[];
  command: number[];
  spawn: number[];
}

interface Many {
  wholeMs: number;
  eachMs: number[];
  jobs: number;
  allocations: number;
  /** Request IDs whose two answers name another job or allocation. */
  disagreed: number;
  /** That the two sidecars made. */
  decisions: number;
}

class SpawnBench {
  readonly #clients: readonly WorkloadClient[];
  readonly #first: LocalNode;

  constructor(private readonly cluster: LocalCluster) {
    this.#first = cluster.nodes[0] as LocalNode;
    this.#clients = cluster.nodes.slice(0, 2).map(({ sidecar }) => new WorkloadClient(sidecar?.grpcAddr ?? "", { apiToken: readFileSync(sidecar?.apiTokenFile ?? "", "utf8").trim() }));
  }

  close(): void {
    for (const client of this.#clients) client.close();
  }

  /** Every node is a candidate, as both sidecars see it. */
  async ready(signal: AbortSignal): Promise<void> {
    for (const at of [0, 1]) {
      await waitFor("three candidates", async () => {
        const { decision } = await this.#spawn(at, { dry_run: true });
        return (JSON.parse(Buffer.from(decision ?? []).toString()) as { order: unknown[] }).order.length === 3 ? true : undefined;
      }, { timeoutMs: 120_000, everyMs: 1_000, signal });
    }
  }

  /** The three in turns, each started first as often as the others; one round before is not counted. */
  async timed(rounds: number, signal: AbortSignal): Promise<Timed> {
    const timed: Timed = { api: [], command: [], spawn: [] };
    const ways = ["spawn", "api", "command"] as const;
    for (let round = 0; round <= rounds; round++) {
      const model = await this.#model(`model-${String(round)}`);
      for (let turn = 0; turn < ways.length; turn++) {
        signal.throwIfAborted();
        const way = ways[(round + turn) % ways.length] as keyof Timed;
        const startedAt = performance.now();
        const id = way === "spawn" ? await this.#spawned(`timed-${String(round)}`) : await this.#plain(way, { ...model, ID: `plain-${way}-${String(round)}` }, signal);
        if (round > 0) timed[way].push(performance.now() - startedAt);
        await this.#remove(id);
      }
    }
    return timed;
  }

  async many(spawns: number, atOnce: number, signal: AbortSignal): Promise<Many> {
    const before = await this.#decisions();
    const eachMs: number[] = [];
    let [next, disagreed] = [0, 0];
    const startedAt = performance.now();
    await Promise.all(Array.from({ length: atOnce }, async () => {
      while (next < spawns) {
        signal.throwIfAborted();
        const request_id = `many-${String(next++)}`;
        const sentAt = performance.now();
        const [one, other] = await Promise.all([this.#spawn(0, { request_id }), this.#spawn(1, { request_id })]);
        eachMs.push(performance.now() - sentAt);
        if (one.id !== other.id || one.allocation_id !== other.allocation_id || one.status !== "running") disagreed += 1;
        await this.#clients[0]?.stop(one.id ?? "", SPAWN_MS);
      }
    }));
    const wholeMs = performance.now() - startedAt;
    // What is counted is Nomad's own lists, not the answers; the jobs of the rounds before were purged.
    const jobs = await this.#nomad<{ ID: string }[]>("/v1/jobs?prefix=ibrl-");
    const ids = new Set(jobs.map(({ ID }) => ID));
    const allocations = (await this.#nomad<{ JobID: string }[]>("/v1/allocations")).filter(({ JobID }) => ids.has(JobID));
    return { wholeMs, eachMs, disagreed, jobs: jobs.length, allocations: allocations.length, decisions: (await this.#decisions()) - before };
  }

  #nomad<T>(path: string): Promise<T> {
    return this.#first.nomad?.getJson<T>(path) as Promise<T>;
  }

  #spawn(at: number, more: { request_id?: string; dry_run?: boolean }): Promise<SpawnAnswer> {
    return (this.#clients[at] as WorkloadClient).spawn({ image_ref: SLEEP, cores: 1, memory: 10, ...more }, SPAWN_MS);
  }

  async #spawned(request_id: string): Promise<string> {
    const { id, status } = await this.#spawn(0, { request_id });
    if (status !== "running") throw new Error(`spawned, and ${status ?? "nothing"}`);
    return id ?? "";
  }

  /** The job that a spawn registers, without what Nomad's servers wrote into it. */
  async #model(request_id: string): Promise<object> {
    const id = await this.#spawned(request_id);
    const { CreateIndex: _c, ModifyIndex: _m, JobModifyIndex: _j, Status: _s, SubmitTime: _t, Version: _v, ...job } = await this.#nomad<Record<string, unknown>>(`/v1/job/${id}`);
    await this.#remove(id);
    return job;
  }

  /** Resolves when Nomad says that its allocation runs. */
  async #plain(way: "api" | "command", job: { ID: string }, signal: AbortSignal): Promise<string> {
    if (way === "api") {
      const answer = await fetch(`${this.#first.nomad?.httpUrl ?? ""}/v1/jobs`, { method: "POST", body: JSON.stringify({ Job: job }), signal });
      if (!answer.ok) throw new Error(await answer.text());
    } else {
      const file = join(this.cluster.folder, "plain.json");
      writeFileSync(file, JSON.stringify({ Job: job }));
      const env = { ...withoutClusterVariables(process.env), NOMAD_ADDR: this.#first.nomad?.httpUrl };
      await promisify(execFile)(this.cluster.nomadBinary?.path ?? "", ["job", "run", "-detach", "-json", file], { env, signal });
    }
    for (let index = "0"; ; ) {
      const answer = await fetch(`${this.#first.nomad?.httpUrl ?? ""}/v1/job/${job.ID}/allocations?index=${index}&wait=10s`, { signal });
      index = answer.headers.get("x-nomad-index") ?? "0";
      if (((await answer.json()) as { ClientStatus: string }[]).some(({ ClientStatus }) => ClientStatus === "running")) return job.ID;
    }
  }

  /** And its task has ended, so that it is no load on the next. */
  async #remove(id: string): Promise<void> {
    await this.#first.nomad?.request(`/v1/job/${id}`, { method: "DELETE" });
    await waitFor(`${id} ended`, async () => ((await this.#nomad<{ ClientStatus: string }[]>(`/v1/job/${id}/allocations`)).every(({ ClientStatus }) => ClientStatus === "complete") ? true : undefined), { timeoutMs: SPAWN_MS });
    await this.#first.nomad?.request(`/v1/job/${id}?purge=true`, { method: "DELETE" });
  }

  async #decisions(): Promise<number> {
    const made = await Promise.all(this.cluster.nodes.slice(0, 2).map(({ sidecar }) => metric(sidecar as SidecarProcess, "hypercore_ibrl_policy_evaluations_total")));
    return made.reduce<number>((sum, count) => sum + (count ?? Number.NaN), 0);
  }
}

const perSecond = (count: number, ms: number): string => ((count / ms) * 1_000).toFixed(1);

function reportOf({ api, command, spawn }: Timed, many: Many, spawns: number, atOnce: number): Report {
  const row = (what: string, timesMs: readonly number[]) => ({
    what, count: timesMs.length, medianMs: median(timesMs), minMs: Math.min(...timesMs), maxMs: Math.max(...timesMs),
    ratio: timesMs.length === api.length ? median(timesMs.map((ms, round) => ms / (api[round] as number))) : null,
  });
  const { jobs, allocations, disagreed, decisions, wholeMs } = many;
  return {
    title: "Spawn to running",
    method:
      `Method: rounds in turns on one cluster of three nodes on this machine, default timings: gRPC Spawn until it answers\n` +
      "\"running\"; the same job, with its constraint, registered by Nomad's API, until a blocking query has it running; and by the command\n" +
      `\`nomad job run -detach\`. The ratio is to the API of the same round. Then ${String(spawns)} spawns, ${String(atOnce)} at a time, each asked of two sidecars at\n` +
      `once under one request ID, and stopped when both answered: ${String(jobs)} jobs and ${String(allocations)} allocations in Nomad (the same number: no duplicate),\n` +
      `${String(disagreed)} of ${String(spawns)} whose two answers differ; ${String(decisions)} decisions in ${(wholeMs / 1_000).toFixed(0)} s, ${perSecond(decisions, wholeMs)} a second, and\n` +
      `${perSecond(spawns, wholeMs)} workloads a second started and stopped.`,
    columns: [
      { key: "what", heading: "What" },
      { key: "count", heading: "Times" },
      { key: "medianMs", heading: "Median ms" },
      { key: "minMs", heading: "Min" },
      { key: "maxMs", heading: "Max" },
      { key: "ratio", heading: "Ratio", digits: 2 },
    ],
    rows: [row("Nomad's API", api), row("nomad job run -detach", command), row("spawn", spawn), row(`spawn, asked twice, ${String(atOnce)} at a time`, many.eachMs)],
  };
}

await runBench({ rounds: 9, spawns: 1_000, "at-once": 4 }, async ({ rounds, spawns, "at-once": atOnce }, signal) => {
  const progress = createProgress();
  const cluster = await startLocalCluster({ nodes: 3, nomad: true, firstShift: FIRST_SHIFT, folderPrefix: "hypercore-bench", env: process.env, progress, signal });
  const bench = new SpawnBench(cluster);
  try {
    await bench.ready(signal);
    const timed = await bench.timed(rounds, signal);
    progress.note(`${String(spawns)} spawns, ${String(atOnce)} at a time`);
    return reportOf(timed, await bench.many(spawns, atOnce, signal), spawns, atOnce);
  } finally {
    bench.close();
    await cluster.stop();
  }
});
