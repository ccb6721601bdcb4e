/** The prober's worker as the probing loop uses it: keys agreed with each peer, reports kept, counters handed on. */
import type { ExchangeRecord } from "../../beacon/link-statistics-exchange.js";
import type { ProbeOutcome, ProbePeer, ProbeRunner } from "../probing.js";
import type { HostPort } from "../settings.js";
import { familyOf } from "./ip-address.js";
import { agreeProbeKeys, type ProbeKeyPair } from "./probe-keys.js";
import { type KnownSender, type ProbeSettings, type ProbeTarget } from "./probe-settings.js";
import { systemTimers } from "./probe-clock.js";
import { Prober } from "./prober.js";
import type { ProbeReport, TargetSample } from "./prober-messages.js";

export interface StampRunnerEvents {
  onReport(report: ProbeReport): void;
  onSamples(samples: readonly TargetSample[]): void;
  onCrash(error: Error, respawnMs: number): void;
  /** A peer whose probing key cannot be used: it is neither probed nor answered. */
  onBadKey(peer: ProbePeer, reason: string): void;
}

export class StampRunner implements ProbeRunner {
  #prober: Prober | undefined;
  #report: ProbeReport | undefined;

  constructor(
    private readonly keys: ProbeKeyPair,
    private readonly settings: ProbeSettings,
    private readonly events: StampRunnerEvents,
    /** From the settings, instead of what each two nodes agree. */
    private readonly shared?: Uint8Array,
  ) {}

  async start(bind: HostPort): Promise<HostPort> {
    const family = familyOf(bind.host);
    const settings: ProbeSettings = {
      ...this.settings,
      listen: [{ address: bind.host, port: bind.port }],
      // Peers know us by this address: a probe from another one is a stranger's.
      source: family === undefined ? {} : { [family]: bind.host },
    };
    const prober = new Prober(settings, {
      timers: systemTimers,
      onSamples: (samples) => this.events.onSamples(samples),
      onReport: (report) => {
        this.#report = report;
        this.events.onReport(report);
      },
      onCrash: (error, respawnMs) => {
        this.#report = undefined; // its windows are gone with it: unmeasured until the new one reports
        this.events.onCrash(error, respawnMs);
      },
    });
    const [endpoint] = await prober.start();
    this.#prober = prober;
    return { host: endpoint?.address ?? bind.host, port: endpoint?.port ?? bind.port };
  }

  setPeers(probed: readonly ProbePeer[], known: readonly ProbePeer[]): void {
    const wanted = new Set(probed.map(({ key }) => key));
    const targets: ProbeTarget[] = [];
    const senders: KnownSender[] = [];
    for (const peer of known) {
      const { key: id, contact } = peer;
      const agreement = agreeProbeKeys(this.keys, Buffer.from(contact.publicKey, "hex"), this.shared);
      if (!agreement.ok) {
        this.events.onBadKey(peer, agreement.reason);
        continue;
      }
      const { outgoing, incoming } = agreement.keys;
      senders.push({ id, address: contact.address, key: incoming, stateful: true });
      if (wanted.has(id)) targets.push({ id, address: contact.address, port: contact.port, key: outgoing, reflector: "stateful" });
    }
    this.#prober?.setPeers({ targets, senders });
  }

  outcome(): ProbeOutcome | undefined {
    if (this.#report === undefined) return undefined;
    const incoming = new Map<string, ExchangeRecord>();
    for (const { id, exchanges } of this.#report.incoming) if (exchanges !== undefined) incoming.set(id, exchanges);
    const peers = this.#report.outgoing.map(({ id, summary, link, exchanges }) => ({
      key: id, summary, link, ...(exchanges === undefined ? {} : { outgoing: exchanges }),
    }));
    return { atMs: this.#report.atMs, peers, incoming };
  }

  async stop(): Promise<void> {
    await this.#prober?.stop();
  }
}
