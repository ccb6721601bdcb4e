/**
 * Whom this node probes and answers, and what came of it. Peers' probe addresses and X25519 keys come from their
 * signed states; the probes themselves run in a worker (probe/). A few peers at a time, chosen alike on every machine
 * (probe/choose-peers.ts), so that the cost of a node stays constant as the cluster grows.
 */
import { isShown } from "../beacon/node-view.js";
import type { Coordinate, NodeState, ProbeContact, SignedLinkHalf } from "../beacon/record.js";
import { signedDistanceUs } from "../beacon/coordinate.js";
import { type Headline, headlineOf } from "../beacon/link-statistics-headline.js";
import type { ExchangeRecord } from "../beacon/link-statistics-exchange.js";
import type { Entry, Registry } from "../beacon/registry.js";
import type { Clock } from "./clock.js";
import type { HostPort } from "./settings.js";
import type { StateVerdict } from "./state-reader.js";

export interface ProbePeer {
  /** Lower-case hex of the whole ed25519 key. */
  key: string;
  name: string;
  contact: ProbeContact;
  /** Round trip by both coordinates; absent where there is none. */
  estimateUs?: number;
}

/** What the prober reports of one peer; probe/prober-messages.ts has the whole. */
export interface PeerReport {
  key: string;
  summary: Parameters<typeof headlineOf>[0][number];
  link: Parameters<typeof headlineOf>[0][number];
  outgoing?: ExchangeRecord;
}

export interface ProbeOutcome {
  /** Unix milliseconds. */
  atMs: number;
  peers: readonly PeerReport[];
  /** By peer key: what our reflector saw of their probes. */
  incoming: ReadonlyMap<string, ExchangeRecord>;
}

/** The prober as this loop uses it; main.ts puts it over the worker. */
export interface ProbeRunner {
  /** Binds reflector and sender; resolves with where peers reach the reflector. Rejects where it cannot be bound. */
  start(bind: HostPort): Promise<HostPort>;
  /** `probed` are among `known`; every known peer is answered. */
  setPeers(probed: readonly ProbePeer[], known: readonly ProbePeer[]): void;
  /** Latest; undefined before the first report and while the worker is away. */
  outcome(): ProbeOutcome | undefined;
  stop(): Promise<void>;
}

export interface ProbeObserver {
  /** Once for each change: undefined when the reflector listens. */
  bound(at: HostPort | undefined, error: unknown): void;
  peers(probed: readonly ProbePeer[], known: number): void;
  statesRead(error: unknown): void;
}

/** A state is some kilobytes and all are read: once a second for every node of the cluster, and not more than every 15 s. */
const REFRESH_MIN_MS = 15_000;
const REFRESH_PER_MEMBER_MS = 1_000;
/** While nodes appear that were not read yet. */
const REFRESH_NEW_MS = 2_000;
/**
 * From our contact standing in KV to our first probe: peers answer only whom they know, and read the states of nodes
 * that are new to them every two seconds. A probe before that would be counted as lost, and no network lost it.
 */
const INTRODUCTION_MS = 4_000;
/** Peers are drawn again, a quarter of them, this often; the same on every machine whose clock is about right. */
const DRAW_MS = 600_000;
const REBIND_MS = 30_000;

export class Probing {
  #listening: HostPort | undefined;
  /** By key; kept while Consul knows the node, since a silent peer is one to probe, not one to forget. */
  #contacts = new Map<string, ProbePeer>();
  #publishedAtMs: number | undefined;
  #retryBindAtMs = Number.NEGATIVE_INFINITY;

  constructor(
    private readonly deps: {
      runner: ProbeRunner;
      publicKey: string;
      states: () => Promise<ReadonlyMap<string, StateVerdict>>;
      registry: Registry;
      clock: Clock;
      observer: ProbeObserver;
      /** What of us peers can read in KV. */
      published: () => ProbeContact | undefined;
      /** Where to bind; undefined before the node joined. */
      bind: () => HostPort | undefined;
      advertiseAddr?: string;
      ownKey: () => string;
      /** How many chunks of 16 probes a published half holds at most: enough that two ends' records meet. */
      chunks: () => number;
      ownCoordinate: () => Coordinate | undefined;
      choose: (choice: { self: string; members: readonly string[]; estimatesUs: ReadonlyMap<string, number>; epoch: number }) => readonly string[];
    },
  ) {}

  /** For the signed state; absent while no reflector listens. */
  get contact(): ProbeContact | undefined {
    if (this.#listening === undefined) return undefined;
    return { address: this.deps.advertiseAddr ?? this.#listening.host, port: this.#listening.port, publicKey: this.deps.publicKey };
  }

  /** Undefined while nothing is probed: then, and only then, an estimate may stand in. */
  headline(): Headline | undefined {
    const outcome = this.deps.runner.outcome();
    if (outcome === undefined) return undefined;
    const headline = headlineOf(outcome.peers.map(({ summary }) => summary));
    return headline.peersProbed === 0 ? undefined : headline;
  }

  /** This node's end of its links, for the signed state; those that it probes and those that probe it. */
  halves(): SignedLinkHalf[] {
    const outcome = this.deps.runner.outcome();
    if (outcome === undefined) return [];
    const { chunks } = this.deps;
    const probed = new Map(outcome.peers.filter(({ link }) => link.sent > 0).map((peer) => [peer.key, peer]));
    return [...this.#contacts].flatMap(([key, { name }]) => {
      const incoming = newestChunks(outcome.incoming.get(key), chunks());
      const peer = probed.get(key);
      if (peer !== undefined) return [{ ...halfOf(peer, name), ...labelled({ outgoing: newestChunks(peer.outgoing, chunks()), incoming }) }];
      // Only answered, not probed: what it saw of the peer's probes is all it has to say, and what confirms them.
      return incoming === undefined ? [] : [{ ...silentHalf(key, name, outcome.atMs), incoming }];
    });
  }

  /** Until the signal aborts. Never rejects. */
  async run(signal: AbortSignal): Promise<void> {
    const { clock } = this.deps;
    let readAtMs = Number.NEGATIVE_INFINITY;
    let settled = -1;
    while (!signal.aborted) {
      await this.bind();
      const now = this.#believed().length;
      const introduced = this.#isIntroduced();
      const refreshMs = introduced && now === settled ? Math.max(REFRESH_MIN_MS, now * REFRESH_PER_MEMBER_MS) : REFRESH_NEW_MS;
      if (this.#listening !== undefined && clock.monoMs() - readAtMs >= refreshMs) {
        readAtMs = clock.monoMs();
        settled = (await this.#refresh(introduced)) === now && introduced ? now : -1;
      }
      await clock.sleep(1_000, signal);
    }
    await this.deps.runner.stop();
  }

  /** Binds the reflector where the node knows its address; after a failure not again for half a minute. Never rejects. */
  async bind(): Promise<void> {
    const { clock, runner, observer, bind } = this.deps;
    const at = bind();
    if (this.#listening !== undefined || at === undefined || clock.monoMs() < this.#retryBindAtMs) return;
    this.#retryBindAtMs = clock.monoMs() + REBIND_MS;
    try {
      this.#listening = await runner.start(at);
      observer.bound(this.#listening, undefined);
    } catch (error) {
      observer.bound(undefined, error);
    }
  }

  #isIntroduced(): boolean {
    if (this.#publishedAtMs === undefined && this.contact !== undefined && this.deps.published()?.publicKey === this.contact.publicKey) {
      this.#publishedAtMs = this.deps.clock.monoMs();
    }
    return this.#publishedAtMs !== undefined && this.deps.clock.monoMs() - this.#publishedAtMs >= INTRODUCTION_MS;
  }

  /** Peers that are believed, or were until their records ran out. */
  #believed(): Entry[] {
    return this.deps.registry
      .list({ verifiedOnly: false }, this.deps.clock.monoMs())
      .filter(({ trust, verified }) => (isShown(trust) || trust === "expired") && verified.key.hex !== this.deps.ownKey());
  }

  /** How many peers can be probed. */
  async #refresh(introduced: boolean): Promise<number> {
    const { observer, runner, choose, clock, ownKey } = this.deps;
    const entries = this.#believed();
    await this.#learnContacts(entries);
    const reachable = entries.flatMap((entry) => {
      const contact = this.#contacts.get(entry.verified.key.hex);
      return contact === undefined ? [] : [{ contact, alive: entry.alive !== false }];
    });
    const alive = reachable.filter((peer) => peer.alive);
    // Where Consul calls most peers dead it may be us who are cut off: then they are probed on, and their silence counts.
    const known = (alive.length * 2 >= reachable.length ? alive : reachable).map(({ contact }) => contact);
    const estimatesUs = new Map(known.flatMap(({ key, estimateUs: us }) => (us === undefined ? [] : [[key, us] as const])));
    const epoch = Math.floor(clock.nowMs() / DRAW_MS);
    const chosen = new Set(choose({ self: ownKey(), members: known.map(({ key }) => key), estimatesUs, epoch }));
    const probed = introduced ? known.filter(({ key }) => chosen.has(key)) : [];
    runner.setPeers(probed, known);
    observer.peers(probed, known.length);
    return known.length;
  }

  async #learnContacts(entries: readonly Entry[]): Promise<void> {
    const { states, observer } = this.deps;
    const contacts = new Map<string, ProbePeer>();
    let read: ReadonlyMap<string, StateVerdict> = new Map();
    try {
      read = await states();
      observer.statesRead(undefined);
    } catch (error) {
      observer.statesRead(error);
    }
    for (const { verified } of entries) {
      const { hex } = verified.key;
      const state = read.get(verified.record.node);
      const fresh = state?.ok === true && state.verified.key.hex === hex ? this.#peerOf(hex, state.verified.record) : undefined;
      const peer = fresh ?? this.#contacts.get(hex);
      if (peer !== undefined) contacts.set(hex, peer);
    }
    this.#contacts = contacts;
  }

  #peerOf(key: string, { node, probe, coordinate }: NodeState): ProbePeer | undefined {
    if (probe === undefined) return undefined;
    const own = this.deps.ownCoordinate();
    const us = own === undefined || coordinate === undefined ? undefined : signedDistanceUs(own, coordinate);
    return { key, name: node, contact: probe, ...(us === undefined ? {} : { estimateUs: us }) };
  }
}

function halfOf({ key, link }: PeerReport, name: string): SignedLinkHalf {
  const half: SignedLinkHalf = {
    peerKey: key,
    peer: name,
    startMs: Math.round(link.startMs),
    endMs: Math.round(link.endMs),
    sent: link.sent,
    received: link.received,
    duplicates: link.duplicates,
    reordered: link.reordered,
    longestBurst: link.bursts.longest,
  };
  if (link.direction !== undefined) half.direction = { forwardLost: link.direction.forwardLost, backwardLost: link.direction.backwardLost };
  if (link.rtt !== undefined) half.rtt = link.rtt;
  if (link.jitterUs !== undefined) half.jitterUs = link.jitterUs;
  if (link.pdv !== undefined) half.pdv = link.pdv;
  return half;
}

function silentHalf(peerKey: string, peer: string, atMs: number): SignedLinkHalf {
  return { peerKey, peer, startMs: atMs, endMs: atMs, sent: 0, received: 0, duplicates: 0, reordered: 0, longestBurst: 0 };
}

function labelled(records: { outgoing: ExchangeRecord | undefined; incoming: ExchangeRecord | undefined }): Pick<SignedLinkHalf, "outgoing" | "incoming"> {
  const { outgoing, incoming } = records;
  return { ...(outgoing === undefined ? {} : { outgoing }), ...(incoming === undefined ? {} : { incoming }) };
}

function newestChunks(record: ExchangeRecord | undefined, most: number): ExchangeRecord | undefined {
  if (record === undefined) return undefined;
  const firstChunk = Math.max(record.firstChunk, record.lastChunk - most + 1);
  return { ...record, firstChunk, chunks: record.chunks.filter(({ index }) => index >= firstChunk) };
}
