/** `hypercore probe`: like ping, against any STAMP reflector. */
import { Args, Command, Flags } from "@oclif/core";
import type { ProbeSample } from "../beacon/link-statistics.js";
import { DEFAULT_PROBE_PORT } from "../sidecar/probe/probe-settings.js";
import { AUTHENTICATED, MAX_PACKET_BYTES, UNAUTHENTICATED } from "../sidecar/probe/stamp-layout.js";
import { parseDuration } from "../sidecar/settings.js";
import { failureOf } from "./reading/failure.js";
import { UsageError } from "./reading/usage-error.js";
import { safeJson } from "./views/printable.js";
import { probeDocument, summaryDocument, type SummaryDocument } from "./views/probe-documents.js";
import { probeHead, probeLine, probeSummary } from "./views/probe-lines.js";
import { type ProbedTarget, wasAnswered } from "./views/probe-problem.js";

const SHORTEST_MS = 10;
const LONGEST_MS = 60_000;
const ENDING_SIGNALS = ["SIGINT", "SIGTERM", "SIGHUP"] as const;

export default class Probe extends Command {
  static override summary = "Measure round trip, jitter and loss to a STAMP reflector (RFC 8762), like ping.";
  static override description =
    "Prints a line for each probe and, after -c probes or Ctrl-C, a summary. The time that the reflector holds a probe is not in the round trip. " +
    "Any STAMP reflector will do; a sidecar's answers the peers of its own cluster only.\n\n" +
    "Exit codes: 0 something answered; 1 nothing answered, or an error; 2 bad usage.";
  static override examples = [
    "<%= config.bin %> <%= command.id %> reflector.example",
    "<%= config.bin %> <%= command.id %> [2001:db8::1]:862 -c 20 -i 200ms",
    "<%= config.bin %> <%= command.id %> 192.0.2.9 -c 10 --key-file probe.key --json",
  ];
  static override enableJsonFlag = true;
  static override args = {
    host: Args.string({ required: true, description: `HOST[:PORT] of the reflector, [IPv6]:PORT; UDP port ${String(DEFAULT_PROBE_PORT)} unless given.` }),
  };
  static override flags = {
    count: Flags.integer({ char: "c", summary: "End after so many probes.", min: 1, max: 1_000_000 }),
    interval: Flags.string({ char: "i", summary: "Between two probes, such as 200ms; a number is seconds. The next one waits for the answer or the timeout of the last.", default: "1s", helpValue: "TIME" }),
    timeout: Flags.string({ char: "W", summary: "A probe is lost when it is not answered within this time.", default: "1s", helpValue: "TIME" }),
    // oclif's type of `char` leaves digits out, its parser does not.
    ipv4: Flags.boolean({ char: "4" as "a", summary: "IPv4 only.", exclusive: ["ipv6"] }),
    ipv6: Flags.boolean({ char: "6" as "a", summary: "IPv6 only." }),
    size: Flags.integer({
      summary: `Bytes of a probe, padded with zeros, up to ${String(MAX_PACKET_BYTES)}. Default: ${String(UNAUTHENTICATED.baseBytes)}, with a key ${String(AUTHENTICATED.baseBytes)}, which are the least.`,
      max: MAX_PACKET_BYTES,
      helpValue: "BYTES",
    }),
    "key-file": Flags.string({ summary: "Authenticated mode (HMAC-SHA-256) with the key in this file: its bytes, or hex: and hex digits.", helpValue: "FILE" }),
  };

  async run(): Promise<SummaryDocument | undefined> {
    const { args, flags } = await this.parse(Probe);
    const [{ ping }, { parseProbeAddress, resolveProbeAddress }] = await Promise.all([
      import("../sidecar/probe/ping.js"),
      import("../sidecar/probe/probe-address.js"),
    ]);
    const given = parseProbeAddress(args.host, DEFAULT_PROBE_PORT);
    if (given === undefined) throw new UsageError(`${JSON.stringify(args.host)}: write HOST or HOST:PORT, such as 192.0.2.9:862 or [2001:db8::1]:862`);
    const [intervalMs, timeoutMs] = [timeOf("-i", flags.interval), timeOf("-W", flags.timeout)];
    const key = await this.#key(flags["key-file"]);
    const { baseBytes } = key === undefined ? UNAUTHENTICATED : AUTHENTICATED;
    const packetBytes = flags.size ?? baseBytes;
    if (packetBytes < baseBytes) throw new UsageError(`--size ${String(packetBytes)}: a probe has at least ${String(baseBytes)} bytes${key === undefined ? "" : " in authenticated mode"}`);
    const address = await resolveProbeAddress(given.host, flags.ipv4 ? 4 : flags.ipv6 ? 6 : undefined);

    const target: ProbedTarget = { ...given, address, authenticated: key !== undefined, sizeBytes: packetBytes };
    const json = this.jsonEnabled();
    if (!json) this.log(probeHead(target));
    const options = {
      address, port: given.port, intervalMs, timeoutMs, packetBytes,
      ...(flags.count === undefined ? {} : { count: flags.count }),
      ...(key === undefined ? {} : { key }),
    };
    const show = (sample: ProbeSample): void => (json ? this.logJson(probeDocument(sample)) : this.log(probeLine(sample)));
    const findings = await untilEnded((signal) => ping(options, show, signal)).catch((error: NodeJS.ErrnoException) => {
      if (error.syscall !== "bind") throw error;
      const other = address.includes(":") ? "; -4 takes IPv4 instead" : "";
      return this.error(`This host has no socket to probe ${address} from (${error.code ?? error.message})${other}.`, { exit: 1 });
    });
    if (!json) this.log(probeSummary(target, findings));
    if (!wasAnswered(findings)) process.exitCode = 1;
    return summaryDocument(target, findings);
  }

  override logJson(json: unknown): void {
    process.stdout.write(`${safeJson(json)}\n`);
  }

  override async catch(error: Error): Promise<void> {
    const failure = failureOf(error);
    process.exitCode = failure.exitCode;
    if (this.jsonEnabled()) return this.logJson({ schemaVersion: 1, error: failure });
    if (failure.code === "error" && !("oclif" in error)) throw error;
    if (!("oclif" in error)) return this.error(failure.message, { exit: failure.exitCode });
    error.message = failure.message;
    throw error;
  }

  async #key(path: string | undefined): Promise<Uint8Array | undefined> {
    if (path === undefined) return undefined;
    const { readKeyFile } = await import("../sidecar/probe/key-file.js");
    try {
      const { key, exposed } = readKeyFile(path);
      if (exposed) this.logToStderr(`warning: other users of this host can read ${path}: chmod 600 it`);
      return key;
    } catch (error) {
      throw new UsageError(`--key-file ${path}: ${error instanceof Error ? error.message : String(error)}`);
    }
  }
}

/** Ctrl-C ends it in order, and so does a reader who goes away; a second Ctrl-C at once. */
async function untilEnded<T>(run: (signal: AbortSignal) => Promise<T>): Promise<T> {
  const ending = new AbortController();
  const end = (): void => ending.abort();
  for (const name of ENDING_SIGNALS) process.once(name, end);
  process.stdout.once("error", end);
  try {
    return await run(ending.signal);
  } finally {
    for (const name of ENDING_SIGNALS) process.off(name, end);
    process.stdout.off("error", end);
  }
}

/** Milliseconds. Throws UsageError. */
function timeOf(flag: string, text: string): number {
  const ms = parseDuration(/^\d+(\.\d+)?$/.test(text) ? `${text}s` : text);
  if (ms >= SHORTEST_MS && ms <= LONGEST_MS) return ms;
  throw new UsageError(`${flag} ${JSON.stringify(text)}: write a time from ${String(SHORTEST_MS)}ms to ${String(LONGEST_MS / 1_000)}s, such as 200ms or 0.5`);
}
