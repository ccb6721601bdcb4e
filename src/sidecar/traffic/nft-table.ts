/**
 * The kernel's counters: an nftables table of the sidecar's own that accepts every packet and counts those whose addresses and
 * ports are in its sets. An `nft` process holds it, as its owner: whatever ends the sidecar ends that process, and the kernel
 * then takes the table away. Nobody else can change it meanwhile. Needs CAP_NET_ADMIN. Specification: nft(8), seen on 1.0.6.
 */
import { type ChildProcess, execFile, spawn } from "node:child_process";
import { type Counter, counterId, isV6, type SetKind } from "./counters.js";

/** What matches, in the order of the elements' parts. In the words of nft, where ADDR is `ip` or `ip6`. */
const SETS: Readonly<Record<`${SetKind}_${"in" | "out"}`, { hook: "before" | "after"; match: readonly string[] }>> = {
  served_in: { hook: "before", match: ["ADDR daddr", "th dport"] },
  served_out: { hook: "after", match: ["ADDR saddr", "th sport"] },
  // Of a network of its own: after a host port was translated to it, and before its answer is translated back.
  own_in: { hook: "after", match: ["ADDR daddr"] },
  own_out: { hook: "before", match: ["ADDR saddr"] },
  peer_in: { hook: "before", match: ["ADDR daddr", "th dport", "ADDR saddr"] },
  peer_out: { hook: "after", match: ["ADDR saddr", "th sport", "ADDR daddr"] },
  far_in: { hook: "after", match: ["ADDR daddr", "th dport", "ADDR saddr"] },
  far_out: { hook: "before", match: ["ADDR saddr", "th sport", "ADDR daddr"] },
};
/** Outside of address translation, whose priorities are -100 and 100, and of connection tracking at -200. */
const HOOKS = { before: "type filter hook prerouting priority -350", after: "type filter hook postrouting priority 350" } as const;
const FAMILIES = [{ suffix: "", addr: "ip", type: "ipv4_addr" }, { suffix: "6", addr: "ip6", type: "ipv6_addr" }] as const;

const TIMEOUT_MS = 5_000;
const POLL_MS = 20;
/** 16,384 elements are some 4 MB. */
const MAX_LISTING_BYTES = 64 * 1024 * 1024;
/** Elements in one command. */
const BATCH = 200;
const KEPT_ERROR_CHARS = 400;

export class NftError extends Error {
  override readonly name = "NftError";
  constructor(
    readonly code: "missing" | "refused" | "timeout",
    message: string,
  ) {
    super(message);
  }
}

export class NftTable {
  #owner: ChildProcess | undefined;
  #said = "";

  constructor(
    /** Of the table: letters, digits and _. */
    private readonly name: string,
    private readonly env: NodeJS.ProcessEnv,
  ) {}

  get isOpen(): boolean {
    return this.#owner !== undefined && this.#owner.exitCode === null && this.#owner.signalCode === null;
  }

  /** Resolves when the kernel counts, with no element yet. Rejects with NftError. */
  async open(signal: AbortSignal): Promise<void> {
    await this.close();
    this.#said = "";
    const owner = spawn("nft", ["-i"], { env: this.#environment(), stdio: ["pipe", "ignore", "pipe"] });
    this.#owner = owner;
    const failed = new Promise<never>((_, reject) => {
      owner.once("error", (error: NodeJS.ErrnoException) => reject(error.code === "ENOENT" ? new NftError("missing", "there is no program nft: install nftables") : new NftError("refused", error.message)));
      owner.once("exit", () => reject(this.#refusal()));
    });
    failed.catch(() => {});
    owner.stdin?.on("error", () => {}); // it has ended: `exit` says so
    owner.stderr?.setEncoding("utf8").on("data", (text: string) => {
      this.#said = (this.#said + text).slice(-KEPT_ERROR_CHARS);
    });
    this.#tell(setUp(this.name));
    try {
      await Promise.race([failed, this.#untilThere(signal)]);
    } catch (error) {
      await this.close();
      throw error;
    }
  }

  /** Bytes by `counterId`. Rejects with NftError; what is gone then is counted from 0 after the next `open`. */
  async read(signal: AbortSignal): Promise<Map<string, number>> {
    const listed = await this.#list(signal);
    if (listed === undefined) throw this.#refusal();
    return countsIn(listed);
  }

  change(added: readonly Counter[], removed: readonly Counter[]): void {
    for (const [verb, counters] of [["delete", removed], ["add", added]] as const) {
      for (const set of new Set(counters.map(setOf))) {
        const elements = counters.filter((counter) => setOf(counter) === set);
        for (let at = 0; at < elements.length; at += BATCH) {
          this.#tell([`${verb} element inet ${this.name} ${set} { ${elements.slice(at, at + BATCH).map(elementText).join(", ")} }`]);
        }
      }
    }
  }

  async close(): Promise<void> {
    const owner = this.#owner;
    this.#owner = undefined;
    if (owner?.pid === undefined || owner.exitCode !== null || owner.signalCode !== null) return;
    const ended = new Promise<void>((resolve) => owner.once("exit", () => resolve()));
    owner.stdin?.end();
    const timer = setTimeout(() => owner.kill("SIGKILL"), 1_000);
    await ended;
    clearTimeout(timer);
  }

  #tell(lines: readonly string[]): void {
    this.#owner?.stdin?.write(`${lines.join("\n")}\n`);
  }

  async #untilThere(signal: AbortSignal): Promise<void> {
    const until = performance.now() + TIMEOUT_MS;
    for (;;) {
      if ((await this.#list(signal)) !== undefined) return;
      if (this.#said !== "" || signal.aborted) throw this.#refusal();
      if (performance.now() > until) throw new NftError("timeout", `nft has made no table within ${String(TIMEOUT_MS)} ms`);
      await new Promise((resolve) => setTimeout(resolve, POLL_MS));
    }
  }

  /** Undefined where there is no such table, or it may not be seen. As text: 1.0.6 spoils the JSON of a table with an owner. */
  #list(signal: AbortSignal): Promise<string | undefined> {
    return new Promise((resolve, reject) => {
      execFile("nft", ["-n", "list", "table", "inet", this.name], { env: this.#environment(), timeout: TIMEOUT_MS, maxBuffer: MAX_LISTING_BYTES, signal }, (error, stdout) => {
        if (error !== null && error.code === "ENOENT") return reject(new NftError("missing", "there is no program nft: install nftables"));
        resolve(error === null ? stdout : undefined);
      });
    });
  }

  #refusal(): NftError {
    const said = this.#said.replace(/\s+/g, " ").trim();
    const hint = /not permitted/i.test(said) ? ": counting needs the capability CAP_NET_ADMIN" : "";
    return new NftError("refused", `nft: ${said === "" ? "has ended, and its table with it" : said}${hint}`);
  }

  /** Debian has nft in /usr/sbin, which is not on every service's PATH. */
  #environment(): NodeJS.ProcessEnv {
    return { PATH: `${this.env["PATH"] ?? ""}:/usr/sbin:/sbin`, LC_ALL: "C" };
  }
}

function setUp(table: string): string[] {
  const lines = [`add table inet ${table} { flags owner; }`];
  for (const [hook, spec] of Object.entries(HOOKS)) lines.push(`add chain inet ${table} ${hook} { ${spec}; policy accept; }`);
  for (const [name, { hook, match }] of Object.entries(SETS)) {
    for (const { suffix, addr, type } of FAMILIES) {
      const types = match.map((field) => (field.startsWith("ADDR") ? type : "inet_service")).join(" . ");
      const ports = match.some((field) => field.startsWith("th")) ? "meta l4proto { tcp, udp } " : "";
      lines.push(`add set inet ${table} ${name}${suffix} { type ${types}; counter; }`);
      lines.push(`add rule inet ${table} ${hook} ${ports}${match.map((field) => field.replace("ADDR", addr)).join(" . ")} @${name}${suffix}`);
    }
  }
  return lines;
}

function setOf(counter: Counter): string {
  return `${counter.kind}_${counter.direction}${isV6(counter) ? "6" : ""}`;
}

function elementText({ address, port, other }: Counter): string {
  return [address, port, other].filter((part) => part !== undefined).join(" . ");
}

/** `set NAME {`, then its elements as `ADDRESS . PORT . ADDRESS counter packets N bytes N`. */
export function countsIn(listed: string): Map<string, number> {
  const counts = new Map<string, number>();
  for (const section of listed.split(/^\s*set /m).slice(1)) {
    const [, kind, direction] = /^(served|own|peer|far)_(in|out)6? \{/.exec(section) ?? [];
    if (kind === undefined || direction === undefined) continue;
    for (const [, element, bytes] of section.matchAll(/([0-9a-f.:]+(?: \. [0-9a-f.:]+)*) counter packets \d+ bytes (\d+)/g)) {
      const [address = "", port, other] = element?.split(" . ") ?? [];
      const counter: Counter = { kind: kind as SetKind, direction: direction as "in" | "out", address, ...(port === undefined ? {} : { port: Number(port) }), ...(other === undefined ? {} : { other }) };
      counts.set(counterId(counter), Number(bytes));
    }
  }
  return counts;
}
