/**
 * Sender, reflector, their sockets and the windows, put together for one thread. The worker runs it
 * off the main thread; `hypercore probe` and tests may run it where they are. Samples are handed on
 * as they come, reports every `reportMs` and on demand.
 */
import { ProbeWindow } from "../../beacon/link-statistics-window.js";
import { familyOf, type AddressFamily } from "./ip-address.js";
import { systemTimers, SystemProbeClock } from "./probe-clock.js";
import type { ProbeEndpoint, ProbeSettings, ProbeTarget } from "./probe-settings.js";
import type { ProbePeers, ProbeReport, TargetSample } from "./prober-messages.js";
import { Reflector } from "./reflector.js";
import { seededRandom } from "./seeded-random.js";
import { SessionSender } from "./session-sender.js";
import { ANY_ADDRESS, UdpSocket } from "./udp-socket.js";

export interface ProbeEngineEvents {
  onSample(sample: TargetSample): void;
  onReport(report: ProbeReport): void;
}

export class ProbeEngine {
  private readonly clock = new SystemProbeClock();
  private readonly sender: SessionSender;
  private readonly reflector: Reflector;
  private readonly windows = new Map<string, { target: ProbeTarget; window: ProbeWindow; link: ProbeWindow }>();
  private readonly sources = new Map<AddressFamily, UdpSocket>();
  private listeners: UdpSocket[] = [];
  private targets: ProbeTarget[] = [];
  private socketErrors = 0;
  private cancelReport: (() => void) | undefined;
  private running = false;

  constructor(
    private settings: ProbeSettings,
    private readonly events: ProbeEngineEvents,
  ) {
    this.reflector = new Reflector(settings.reflector, this.clock);
    this.sender = new SessionSender(settings, {
      clock: this.clock,
      timers: systemTimers,
      random: settings.seed === undefined ? Math.random : seededRandom(settings.seed),
      send: (packet, to) => this.send(packet, to),
      onSample: (target, sample) => {
        const windows = this.windows.get(target.id);
        windows?.window.add(sample);
        windows?.link.add(sample);
        this.events.onSample({ id: target.id, sample });
      },
    });
  }

  /** Binds and begins. Rejects, with nothing left open, where an address cannot be bound. */
  async start(peers: ProbePeers): Promise<ProbeEndpoint[]> {
    await this.listen(this.settings.listen);
    this.running = true;
    await this.setPeers(peers);
    this.sender.start();
    this.scheduleReport();
    return this.listeners.map((socket) => socket.endpoint);
  }

  async stop(): Promise<void> {
    this.running = false;
    this.cancelReport?.();
    this.sender.stop();
    const sockets = [...this.listeners.splice(0), ...this.sources.values()];
    this.sources.clear();
    await Promise.all(sockets.map((socket) => socket.close()));
  }

  async setPeers({ targets, senders }: ProbePeers): Promise<void> {
    this.reflector.setSenders(senders);
    await this.openSources(targets);
    this.targets = targets;
    this.keepWindows();
    this.sender.setTargets(targets);
  }

  async setSettings(settings: ProbeSettings): Promise<ProbeEndpoint[]> {
    const before = this.settings;
    this.settings = settings;
    this.sender.setSettings(settings);
    if (JSON.stringify(before.reflector) !== JSON.stringify(settings.reflector)) {
      this.reflector.setSettings(settings.reflector);
    }
    if (before.windowMs !== settings.windowMs || before.linkWindowMs !== settings.linkWindowMs) this.windows.clear();
    this.keepWindows();
    if (JSON.stringify(before.listen) !== JSON.stringify(settings.listen)) await this.listen(settings.listen);
    return this.listeners.map((socket) => socket.endpoint);
  }

  report(): ProbeReport {
    const atMs = Date.now();
    const sessions = new Map(this.sender.sessions().map((session) => [session.target.id, session]));
    const outgoing = [...this.windows].map(([id, { window, link }]) => {
      const exchanges = sessions.get(id)?.exchanges.record();
      return { id, summary: window.summary(atMs), link: link.summary(atMs), ...(exchanges === undefined ? {} : { exchanges }) };
    });
    const { sender, reflector } = this;
    return {
      atMs, outgoing, incoming: reflector.incoming(),
      sender: sender.counters, reflector: reflector.counters, socketErrors: this.socketErrors,
    };
  }

  private send(packet: Uint8Array, to: ProbeEndpoint): boolean {
    const family = familyOf(to.address);
    return family !== undefined && this.sources.get(family)?.send(packet, to) === true;
  }

  private async listen(endpoints: readonly ProbeEndpoint[]): Promise<void> {
    await Promise.all(this.listeners.splice(0).map((socket) => socket.close()));
    for (const { address, port } of endpoints) {
      const socket: UdpSocket = await UdpSocket.open({
        address,
        port,
        onMessage: (bytes, from, receivedNs) => {
          const result = this.reflector.reflect(bytes, from, receivedNs);
          if (result.ok) socket.send(result.reply, from);
        },
        onError: () => (this.socketErrors += 1),
      }).catch(async (error: unknown) => {
        await this.stop();
        throw error;
      });
      this.listeners.push(socket);
    }
  }

  /** One sending socket for each family that has a target. */
  private async openSources(targets: readonly ProbeTarget[]): Promise<void> {
    for (const family of new Set(targets.map((target) => familyOf(target.address)))) {
      if (family === undefined || this.sources.has(family)) continue;
      const socket = await UdpSocket.open({
        address: this.settings.source[family] ?? ANY_ADDRESS[family],
        port: 0,
        onMessage: (bytes, from, receivedNs) => this.sender.receive(bytes, from, receivedNs),
        onError: () => (this.socketErrors += 1),
      });
      this.sources.set(family, socket);
    }
  }

  /** A window belongs to one target as it is now; another address under the same id is another link. */
  private keepWindows(): void {
    const before = new Map(this.windows);
    this.windows.clear();
    for (const target of this.targets) {
      const known = before.get(target.id);
      const same = known !== undefined && known.target.address === target.address && known.target.port === target.port;
      const { windowMs, linkWindowMs } = this.settings;
      const { reflector } = target;
      const window = same ? known.window : new ProbeWindow({ windowMs, reflector });
      const link = same ? known.link : new ProbeWindow({ windowMs: linkWindowMs, reflector });
      this.windows.set(target.id, { target, window, link });
    }
  }

  private scheduleReport(): void {
    this.cancelReport = systemTimers.after(this.settings.reportMs, () => {
      this.clock.reanchor();
      this.events.onReport(this.report());
      if (this.running) this.scheduleReport();
    });
  }
}
