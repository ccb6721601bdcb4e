/**
 * What Consul agent, Nomad agent and sidecar have in common: a process with a configuration, a data folder and an
 * HTTP address that tells when it is ready; stopped, killed, paused, and restarted with its data or without.
 */
import { mkdir, rm } from "node:fs/promises";
import { join } from "node:path";
import { fetchOverTls, type HttpsAccess, type HttpsRequest } from "./https-access.js";
import { ManagedProcess, type ProcessExit, STOP_GRACE_MS } from "./managed-process.js";
import { waitFor } from "./readiness.js";
import type { RunFolder } from "./run-folder.js";

/** How a node's programs are started and reached; differs only where nodes live in network namespaces. */
export interface NodeHost {
  run: RunFolder;
  env: NodeJS.ProcessEnv;
  /** Put before every command: `nsenter …`. It must end in exec, so that the pid is the program's. */
  prefix?: readonly string[];
  /** An address (host:port) here that leads to that one there. */
  forward?: (address: string) => Promise<string>;
}

export interface ServiceSpec {
  /** "consul node-1" */
  name: string;
  /** Of this service alone; made at start. */
  folder: string;
  /** Program and arguments, read at each start. */
  command: () => readonly [string, ...string[]];
  env?: Readonly<Record<string, string>>;
  host: NodeHost;
  /** Where its address takes TLS and a token. */
  access?: HttpsAccess;
}

export interface ReadyOptions {
  timeoutMs?: number;
  signal?: AbortSignal | undefined;
}

export const READY_WITHIN_MS = 90_000;

export abstract class ManagedService {
  /** "127.0.0.1:8500" */
  abstract readonly httpAddr: string;
  readonly dataFolder: string;
  #process: ManagedProcess | null = null;

  protected constructor(protected readonly service: ServiceSpec) {
    this.dataFolder = join(service.folder, "data");
  }

  /** True once it does its work. May throw for "not yet". */
  protected abstract isReady(signal: AbortSignal): Promise<boolean>;
  /** Writes what it reads at start. */
  protected abstract configure(): Promise<void>;

  get httpUrl(): string {
    return `${this.service.access === undefined ? "http" : "https"}://${this.httpAddr}`;
  }

  get logFile(): string {
    return join(this.service.folder, "log");
  }

  get pid(): number | undefined {
    return this.#process?.pid;
  }

  get running(): boolean {
    return this.#process?.running ?? false;
  }

  /** How the present or last run ended. */
  get exited(): Promise<ProcessExit> {
    return this.#started.exited;
  }

  /** Resolves when the process runs, not yet ready. */
  async start(): Promise<void> {
    const { name, folder, host, env } = this.service;
    await mkdir(this.dataFolder, { recursive: true, mode: 0o700 });
    await this.configure();
    const [command, ...args] = [...(host.prefix ?? []), ...this.service.command()] as [string, ...string[]];
    this.#process = new ManagedProcess({
      name,
      command,
      args,
      env: { ...host.env, ...env },
      cwd: folder,
      logFile: this.logFile,
      run: host.run,
    });
    await this.#process.start();
  }

  /** Rejects with `not-ready` or `process-exited`, with its last log lines. */
  async waitReady({ timeoutMs = READY_WITHIN_MS, signal }: ReadyOptions = {}): Promise<void> {
    await waitFor(`${this.service.name} ready`, async (attempt) => (await this.isReady(attempt)) || undefined, {
      timeoutMs,
      signal,
      process: this.#started,
    });
  }

  /** SIGTERM, then SIGKILL after the grace; null where it was never started. */
  async stop(graceMs: number = STOP_GRACE_MS): Promise<ProcessExit | null> {
    return (await this.#process?.stop(graceMs)) ?? null;
  }

  kill(signal: NodeJS.Signals = "SIGKILL"): void {
    this.#started.kill(signal);
  }

  /** SIGSTOP. */
  pause(): void {
    this.#started.pause();
  }

  /** SIGCONT. */
  resume(): void {
    this.#started.resume();
  }

  /** Stops it where it runs, starts it again, waits until ready. `wipe` deletes its data between. */
  async restart({ wipe = false, ...ready }: ReadyOptions & { wipe?: boolean } = {}): Promise<void> {
    await this.stop();
    if (wipe) await rm(this.dataFolder, { recursive: true, force: true });
    await this.start();
    await this.waitReady(ready);
  }

  logTail(lines?: number): string {
    return this.#process?.tail(lines) ?? "";
  }

  /** GET of a path at its HTTP address, parsed. Throws on any status but 2xx. */
  async getJson<T>(path: string, signal?: AbortSignal): Promise<T> {
    return JSON.parse(await this.getText(path, signal)) as T;
  }

  /** Throws on any status but 2xx. */
  async getText(path: string, signal?: AbortSignal): Promise<string> {
    const response = await this.request(path, signal ? { signal } : {});
    if (!response.ok) throw new Error(`${this.service.name} answers ${response.status} to ${path}`);
    return response.text();
  }

  /** Any request to its HTTP address, with every right where it takes a token. Rejects where nothing answers. */
  async request(path: string, init: HttpsRequest = {}): Promise<Response> {
    const { access, host } = this.service;
    const address = host.forward === undefined ? this.httpAddr : await host.forward(this.httpAddr);
    return access === undefined ? fetch(`http://${address}${path}`, init) : fetchOverTls(`https://${address}${path}`, init, access);
  }

  get #started(): ManagedProcess {
    if (this.#process === null) throw new Error(`${this.service.name} was not started`);
    return this.#process;
  }
}
