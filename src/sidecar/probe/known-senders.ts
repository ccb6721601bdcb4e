/**
 * The peers whose probes the reflector answers, by address, each with its budget and its sessions.
 * Several peers may share an address (a development cluster); the source port or the key then tells
 * them apart. All memory is bounded by the number of peers that the owner lists.
 */
import { canonicalAddress } from "./ip-address.js";
import type { KnownSender, ReflectorSettings } from "./probe-settings.js";
import { ReflectorSession } from "./reflector-session.js";
import { TokenBucket } from "../token-bucket.js";

/** Unverified packets under a keyed peer's address, relative to its answers: bounds the HMACs computed. */
const CHECKS_PER_ANSWER = 20;

export class SenderEntry {
  readonly answers: TokenBucket;
  readonly checks: TokenBucket;
  /** By source port and session identifier, the least recently used first. */
  private readonly sessions = new Map<string, ReflectorSession>();

  constructor(
    readonly sender: KnownSender,
    private readonly settings: ReflectorSettings,
  ) {
    const { answersPerSecond, burst } = settings;
    this.answers = new TokenBucket(answersPerSecond, burst);
    this.checks = new TokenBucket(answersPerSecond * CHECKS_PER_ANSWER, burst * CHECKS_PER_ANSWER);
  }

  session(sourcePort: number, ssid: number): ReflectorSession {
    const name = `${sourcePort}/${ssid}`;
    const session = this.sessions.get(name) ?? new ReflectorSession(ssid);
    this.sessions.delete(name);
    this.sessions.set(name, session);
    for (const oldest of this.sessions.keys()) {
      if (this.sessions.size <= this.settings.sessionsPerPeer) break;
      this.sessions.delete(oldest);
    }
    return session;
  }

  /** The session used last. */
  currentSession(): ReflectorSession | undefined {
    return [...this.sessions.values()].at(-1);
  }

  get sessionCount(): number {
    return this.sessions.size;
  }
}

export class KnownSenders {
  private byAddress = new Map<string, SenderEntry[]>();

  constructor(private settings: ReflectorSettings) {}

  /** Entries of senders that did not change keep their sessions. */
  replace(senders: readonly KnownSender[], settings: ReflectorSettings): void {
    const keep = settings === this.settings;
    const before = new Map(this.entries().map((entry) => [entry.sender.id, entry]));
    this.settings = settings;
    this.byAddress = new Map();
    for (const sender of senders) {
      const address = canonicalAddress(sender.address);
      if (address === undefined) continue;
      const known = keep ? before.get(sender.id) : undefined;
      const entry = known !== undefined && sameSender(known.sender, sender) ? known : new SenderEntry(sender, settings);
      const entries = this.byAddress.get(address);
      if (entries === undefined) this.byAddress.set(address, [entry]);
      else entries.push(entry);
    }
  }

  /** Those that may have sent from there. */
  at(address: string, port: number): SenderEntry[] {
    const entries = this.byAddress.get(address) ?? [];
    return entries.filter(({ sender }) => sender.sourcePort === undefined || sender.sourcePort === port);
  }

  entries(): SenderEntry[] {
    return [...this.byAddress.values()].flat();
  }
}

function sameSender(a: KnownSender, b: KnownSender): boolean {
  const sameKey = a.key === undefined || b.key === undefined ? a.key === b.key : Buffer.compare(a.key, b.key) === 0;
  return sameKey && a.address === b.address && a.sourcePort === b.sourcePort && a.stateful === b.stateful;
}
