/**
 * The publish loop: every beat it learns who the agent says we are, reads this node, seals, and offers the records to
 * the planes. Each plane degrades alone: it has one write under way at most, a slow one holds up neither the others nor
 * the TTL, and what could not be written is written once, newest value, when it can be.
 *
 *   standalone --agent answers--> joined (pin, epoch above what the cluster remembers) --agent silent--> joined, degraded
 */
import { EVENT_NAME, parseStateDocument, stateKey } from "../beacon/documents.js";
import { open, STATE, type Verified } from "../beacon/envelope.js";
import type { KeyAdmission } from "../beacon/keys.js";
import type { PinBook } from "../beacon/pins.js";
import type { Beacon, NodeState } from "../beacon/record.js";
import type { Registry } from "../beacon/registry.js";
import { type Cadence, type CadenceLimits, cadenceFor } from "./cadence.js";
import type { Clock } from "./clock.js";
import type { Self } from "./cluster-view.js";
import { type AgentSelf, type ConsulApi, ConsulError } from "./consul-api.js";
import type { NodeReader, Readings } from "./node-reader.js";
import type { Plane } from "./metrics.js";
import type { OwnPin } from "./own-pin.js";
import type { OwnVoice } from "./own-voice.js";
import { Registration } from "./registration.js";
import type { OwnLinks, Sealed, Sealer } from "./sealer.js";
import { beaconMovement, stateMoved } from "./significance.js";
import { StateWriter } from "./state-writer.js";
import type { EpochCounter } from "./state/epoch.js";
import { TokenBucket } from "./token-bucket.js";
import { WrittenPlane, type WriteOutcome } from "./written-plane.js";
import type { Backoff } from "./backoff.js";


/** What the loop tells: metrics and the log are its listener's. */
export interface PublishObserver {
  beat(readings: Readings, sealed: Sealed, cadence: Cadence): void;
  joined(self: AgentSelf): void;
  consulAnswers(error: unknown): void;
  plane(plane: Plane, outcome: WriteOutcome, error?: unknown): void;
  recordRefused(error: unknown): void;
}

export interface PublisherDeps {
  consul: ConsulApi;
  clock: Clock;
  random: () => number;
  backoff: () => Backoff;
  pin: OwnPin;
  /** Whether a key is this node's, now or before it rotated. */
  isOwnKey: (publicKeyHex: string) => boolean;
  epoch: EpochCounter;
  /** Whether another process speaks by this key. */
  voice: OwnVoice;
  keys: KeyAdmission;
  sealer: Sealer;
  registry: Registry;
  pins: Pick<PinBook, "isGone" | "learn">;
  reader: NodeReader;
  /** Sealed into every state. */
  links: () => Promise<OwnLinks>;
  limits: CadenceLimits;
  observer: PublishObserver;
  standalone: { node: string; address: string };
  advertiseAddr?: string;
  /** The service's port in the catalog: gRPC's where peers reach it over mTLS at `address`, else 0. */
  grpcPort: (address: string) => number;
}

/** A beacon before one was sealed: the cadence needs a size. */
const TYPICAL_SEALED_BYTES = 180;
/** The datacenter under which a sidecar without Consul seals: no Consul datacenter may have this name. */
export const STANDALONE_DATACENTER = "standalone";

export class Publisher {
  readonly #registration: Registration;
  readonly #budget: TokenBucket;
  readonly #service: WrittenPlane<Beacon>;
  readonly #kv: WrittenPlane<NodeState>;
  readonly #states: StateWriter;
  #self: Self | undefined;
  #agent: AgentSelf | undefined;
  /** The agent is there, and may not be asked who it is: what it said last goes on being written. */
  #refused = false;
  #sealed: Sealed | undefined;
  #cadence: Cadence;
  #pinned = false;
  #eventAtMs: number;
  readonly #underWay = new Map<Plane, Promise<void>>();

  constructor(private readonly deps: PublisherDeps) {
    const { clock, random, backoff, limits } = deps;
    this.#registration = new Registration(deps.consul, limits.beatMs, deps.grpcPort);
    this.#cadence = cadenceFor(1, TYPICAL_SEALED_BYTES, limits);
    this.#budget = new TokenBucket(this.#cadence.writesPerS, this.#cadence.writeBurst);
    const monoMs = () => clock.monoMs();
    this.#service = new WrittenPlane({ moved: beaconMovement(), budget: this.#budget, backoff: backoff(), random, monoMs });
    this.#kv = new WrittenPlane({ moved: stateMoved, budget: this.#budget, backoff: backoff(), random, monoMs });
    this.#states = new StateWriter(deps.consul);
    this.#eventAtMs = clock.monoMs();
  }

  /** Who we are; undefined before the first beat. */
  get self(): Self | undefined {
    return this.#self;
  }
  /** The agent's member address, bare; undefined before it answered. */
  get memberAddress(): string | undefined {
    return this.#agent?.address;
  }
  /** What stands in KV, as far as we know. */
  get publishedState(): NodeState | undefined {
    return this.#kv.last;
  }
  get sealed(): Sealed | undefined {
    return this.#sealed;
  }
  get cadence(): Cadence {
    return this.#cadence;
  }
  get ttlMs(): number {
    return this.#registration.ttlMs;
  }

  /** A Raft write of another part of the sidecar, within this node's share: false where it has to wait. */
  mayWrite(): boolean {
    return this.#budget.tryTake(this.deps.clock.monoMs());
  }

  /** Beats until the signal aborts. Never rejects. */
  async run(signal: AbortSignal): Promise<void> {
    await Promise.all([this.#every(() => this.beat(signal), signal), this.#every(() => this.#passTtl(signal), signal)]);
    await Promise.all(this.#underWay.values());
  }

  /** Leaves the cluster: service and state are taken away, the pin stays. Rejects with ConsulError. */
  async leave(signal: AbortSignal): Promise<void> {
    if (this.#self?.joined !== true || this.deps.voice.yielded) return; // then it is another process's service
    await this.#registration.deregister(signal);
    await this.#states.remove(this.#self.node.node, { signal });
  }

  /** Changes the key between two records: nothing of the old one is under way then, and everything is due by the new one. */
  async rekey(change: () => void): Promise<void> {
    while (this.#underWay.size > 0) await Promise.all(this.#underWay.values());
    change();
    this.#pinned = false;
    this.#service.forget();
    this.#kv.forget();
    // Events name no reason for a new key: peers meet it in the catalog first.
    this.#eventAtMs = this.deps.clock.monoMs() + 1.5 * this.deps.limits.beatMs;
  }

  async beat(signal: AbortSignal): Promise<void> {
    const { voice } = this.deps;
    const agent = await this.#askAgent(signal);
    if (voice.yielded) return;
    const readings = await this.deps.reader.read(agent, signal);
    if (signal.aborted) return;
    if (!this.#seal(readings, await this.deps.links())) return;
    const known = agent ?? (this.#refused ? this.#agent : undefined);
    if (known === undefined || this.#sealed === undefined) return;
    const { beacon, state } = this.#sealed;
    if (await voice.signed(beacon, signal)) this.#publishAll();
    this.#start("service", async () => {
      await this.#pin(signal); // first, so that a peer meets the key in KV before it meets it in the catalog
      await this.#write("service", this.#service, beacon.record, signal, () =>
        this.#registration.register(beacon, this.#address(known), signal));
    });
    this.#start("kv", () =>
      this.#write("kv", this.#kv, state.record, signal, async () => {
        await this.#states.write(state, { signal });
        this.deps.epoch.persist();
      }));
    this.#start("event", () => this.#fire(beacon, signal));
  }

  /** Everything is due now. */
  #publishAll(): void {
    this.#service.forget();
    this.#kv.forget();
    this.#eventAtMs = this.deps.clock.monoMs();
  }

  async #every(act: () => Promise<void>, signal: AbortSignal): Promise<void> {
    const { clock, limits } = this.deps;
    let nextMs = clock.monoMs();
    while (!signal.aborted) {
      await act();
      // Even spacing; beats that a suspended process missed are skipped, not made up for.
      nextMs = Math.max(nextMs + limits.beatMs, clock.monoMs() - limits.beatMs);
      await clock.sleep(Math.max(0, nextMs - clock.monoMs()), signal);
    }
  }

  /** Leaves a plane alone whose last write is still under way: the next beat offers a newer value anyway. */
  #start(plane: Plane, act: () => Promise<void>): void {
    if (this.#underWay.has(plane)) return;
    this.#underWay.set(plane, act().finally(() => this.#underWay.delete(plane)));
  }

  async #askAgent(signal: AbortSignal): Promise<AgentSelf | undefined> {
    try {
      const agent = await this.deps.consul.self({ signal });
      if (!this.#isWhoWeAre(agent)) await this.#join(agent, signal);
      this.#agent = agent;
      this.#refused = false;
      this.deps.observer.consulAnswers(undefined);
      this.#recompute(agent.lanMembers);
      return agent;
    } catch (error) {
      if (!signal.aborted) this.deps.observer.consulAnswers(error);
      this.#refused = error instanceof ConsulError && error.code === "permission";
      this.#self ??= this.#standalone();
      return undefined;
    }
  }

  #isWhoWeAre(agent: AgentSelf): boolean {
    return this.#self?.joined === true && this.#agent?.nodeName === agent.nodeName && this.#agent.nodeId === agent.nodeId && this.#agent.datacenter === agent.datacenter;
  }

  /** The first answer of an agent, or of another one than before. Rejects when the cluster cannot be asked yet. */
  async #join(agent: AgentSelf, signal: AbortSignal): Promise<void> {
    await this.#riseAboveOwnPast(agent, signal);
    this.#self = {
      joined: true,
      node: { node: agent.nodeName, nodeId: agent.nodeId, datacenter: agent.datacenter, address: this.#address(agent) },
    };
    this.#pinned = false;
    this.#service.forget();
    this.#kv.forget();
    this.#states.forget();
    this.deps.observer.joined(agent);
  }

  /** A restored disk or a lost epoch file must not make us look like our own replay. */
  async #riseAboveOwnPast(agent: AgentSelf, signal: AbortSignal): Promise<void> {
    const context = {
      keys: this.deps.keys,
      // Our own records count whatever their age: only their order matters here.
      nowMs: 0,
      skewMs: Number.POSITIVE_INFINITY,
      datacenter: agent.datacenter,
      node: agent.nodeName,
    };
    const value = await this.#ownState(agent, signal);
    const document = value === null ? null : parseStateDocument(value);
    if (document === null) return;
    const opened = open(STATE, document.sealed, context);
    if (opened.ok && this.deps.isOwnKey(opened.verified.key.hex)) {
      this.deps.epoch.raiseAbove(opened.verified.record.epoch);
    }
  }

  async #ownState(agent: AgentSelf, signal: AbortSignal): Promise<Uint8Array | null> {
    try {
      const { value } = await this.deps.consul.kvGet(stateKey(agent.nodeName), { signal });
      return value?.value ?? null;
    } catch (error) {
      // A token without the right to read costs this precaution, not the start; what may pass is tried again.
      if (error instanceof ConsulError && error.code === "permission") return null;
      throw error;
    }
  }

  #standalone(): Self {
    const { node, address } = this.deps.standalone;
    return { joined: false, node: { node, nodeId: "", datacenter: STANDALONE_DATACENTER, address } };
  }

  #seal(readings: Readings, links: OwnLinks): boolean {
    if (this.#self === undefined) return false;
    const { sealer, registry, clock, observer } = this.deps;
    try {
      this.#sealed = sealer.seal(this.#self.node, readings, this.#cadence.validityMs, links);
    } catch (error) {
      observer.recordRefused(error);
      return false;
    }
    registry.admit(this.#sealed.beacon, "self", clock.monoMs());
    observer.beat(readings, this.#sealed, this.#cadence);
    return true;
  }

  #recompute(members: number): void {
    const sealedBytes = this.#sealed?.beacon.sealed.length ?? TYPICAL_SEALED_BYTES;
    this.#cadence = cadenceFor(members, sealedBytes, this.deps.limits);
    this.#budget.setRate(this.#cadence.writesPerS, this.#cadence.writeBurst);
  }

  async #pin(signal: AbortSignal): Promise<void> {
    if (this.#self === undefined) return;
    const { pin, pins } = this.deps;
    const { node, datacenter } = this.#self.node;
    if (this.#pinned && !pins.isGone(node, datacenter)) return;
    try {
      const own = await pin.publish({ node, datacenter }, signal);
      if (own !== undefined) pins.learn([own]);
      this.#pinned = true;
      this.deps.observer.plane("pin", own === undefined ? "not-due" : "written");
    } catch (error) {
      if (!signal.aborted) this.deps.observer.plane("pin", "failed", error);
    }
  }

  async #passTtl(signal: AbortSignal): Promise<void> {
    if (this.#self?.joined !== true || this.#service.last === undefined || this.deps.voice.yielded) return; // registering passes it
    try {
      if (!(await this.#registration.pass(signal))) this.#service.forget();
      this.deps.observer.plane("check", "written");
    } catch (error) {
      if (!signal.aborted) this.deps.observer.plane("check", "failed", error);
    }
  }

  async #write<R>(name: Plane, plane: WrittenPlane<R>, record: R, signal: AbortSignal, write: () => Promise<void>): Promise<void> {
    try {
      const outcome = await plane.offer(record, this.#cadence.heartbeatMs, write);
      this.deps.observer.plane(name, outcome);
    } catch (error) {
      if (!signal.aborted) this.deps.observer.plane(name, "failed", error);
    }
  }

  async #fire(beacon: Verified<Beacon>, signal: AbortSignal): Promise<void> {
    const { eventMs } = this.#cadence;
    const nowMs = this.deps.clock.monoMs();
    if (eventMs === null || nowMs < this.#eventAtMs) return;
    // A beat early is closer to the period than a beat late.
    this.#eventAtMs = nowMs + eventMs - this.deps.limits.beatMs / 2;
    try {
      await this.deps.consul.fireEvent(EVENT_NAME, beacon.sealed, { signal });
      this.deps.observer.plane("event", "written");
    } catch (error) {
      if (!signal.aborted) this.deps.observer.plane("event", "failed", error);
    }
  }

  #address(agent: AgentSelf): string {
    return this.deps.advertiseAddr ?? agent.address;
  }
}
