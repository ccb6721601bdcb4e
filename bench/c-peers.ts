/**
 * The C programs that our prober is compared with: the reflector of test/harness/stamp-peer.c and the paced sender
 * udp-rtt.c, compiled for one run. They share no code with the product. Needs `cc`, and Linux for the kernel's stamps.
 */
import { type ChildProcess, execFile, execFileSync, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import type { ProbeEndpoint } from "../src/sidecar/probe/probe-settings.js";

export interface SenderRun {
  /** Microseconds by probe: by the kernel's stamp, and by the clock after reading. */
  kernelUs: number[];
  readUs: number[];
  /** Of the whole process, in microseconds. */
  cpuUs: number;
}

export class CPeers {
  private readonly folder = mkdtempSync(join(tmpdir(), "hypercore-bench-"));
  private readonly reflector = join(this.folder, "stamp-peer");
  private readonly sender = join(this.folder, "udp-rtt");
  private readonly running: ChildProcess[] = [];

  /** Throws where there is no compiler. */
  constructor(private readonly signal: AbortSignal) {
    for (const [output, source] of [[this.reflector, "../test/harness/stamp-peer.c"], [this.sender, "udp-rtt.c"]] as const) {
      execFileSync("cc", ["-O2", "-Wall", "-o", output, join(import.meta.dirname, source)], { stdio: ["ignore", "inherit", "inherit"] });
    }
  }

  /** One more reflector; with a key it answers authenticated probes only. */
  async reflect(address: string, key?: Uint8Array): Promise<ProbeEndpoint> {
    const args = ["reflect", address, "0", ...(key === undefined ? [] : [Buffer.from(key).toString("hex")])];
    const child = spawn(this.reflector, args, { stdio: ["ignore", "pipe", "inherit"] });
    this.running.push(child);
    const [line] = (await once(child.stdout, "data", { signal: this.signal })) as [Buffer];
    return { address, port: Number(line.toString()) };
  }

  /** Rejects where a probe was not answered. */
  async send({ address, port }: ProbeEndpoint, count: number, intervalMs: number): Promise<SenderRun> {
    const args = [address, String(port), String(count), String(intervalMs * 1_000)];
    const { stdout } = await promisify(execFile)(this.sender, args, { signal: this.signal });
    const lines = stdout.trim().split("\n").map((line) => line.split(" "));
    const probes = lines.slice(0, -1).map(([kernel, read]) => [Number(kernel) / 1_000, Number(read) / 1_000] as const);
    return { kernelUs: probes.map(([us]) => us), readUs: probes.map(([, us]) => us), cpuUs: Number(lines.at(-1)?.[1]) };
  }

  stop(): void {
    for (const child of this.running) child.kill();
    rmSync(this.folder, { recursive: true, force: true });
  }
}
