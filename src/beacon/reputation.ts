/**
 * What the others observed of each node, as one score. Pure: of verified states and nothing else, no clock, so that
 * the same records give the same result on any machine. Integers only, in millionths (ppm), and sorted by key.
 *
 *   half of o about s ──▶ vote of o on s ──▶ lower median of all votes on s ──▶ standing ──▶ lower median again
 *
 * A vote is (3 × answered probes + 1 × chunks of probes with an answer) / 4, whole where the two ends agree on the link,
 * half where nothing could be compared, 0 where they contradict each other. One observer, one vote; none on itself.
 * docs/reputation.md says what colluders can do to it, and proves it. Which records are believed is the caller's.
 */
import { DEFAULT_SKEW_MS, type Verified } from "./envelope.js";
import { joinSigned } from "./links.js";
import type { JoinedLink } from "./link-statistics-join.js";
import { compareOrder, type NodeState, type SignedLinkHalf } from "./record.js";

const PPM = 1_000_000;
/** An end that has sent fewer has not observed anything yet. */
const MIN_PROBES = 10;
/** With two observers one liar decides. */
export const MIN_OBSERVERS = 3;
/** Below it an observer's own score takes its vote, where enough others are left. */
const STANDING_PPM = PPM / 2;
const PROBE_WEIGHT = 3;
const UPTIME_WEIGHT = 1;

export interface ReputationOptions {
  /** The lasting identity behind a key; a rotated key keeps the one of the first. The key itself unless told otherwise. */
  identityOf?: (key: string) => string;
}

export interface ScoredNode {
  identity: string;
  /** Lower-case hex of the key that signed its record. */
  key: string;
  node: string;
  /** Absent while too few observe it. */
  scorePpm?: number;
  /** Whose votes the score is; without a score, whose votes there are. */
  observers: number;
}

export interface Reputations {
  /** Lower-case hex SHA-256 of the records, sorted. */
  records: readonly string[];
  /** Nodes that observe at all. */
  observing: number;
  /** So many votes make a score: more than twice a third of the observing nodes. */
  quorum: number;
  /** Sorted by identity. */
  nodes: readonly ScoredNode[];
}

interface Speaker {
  identity: string;
  state: Verified<NodeState>;
  /** By the peer's identity. */
  halves: ReadonlyMap<string, SignedLinkHalf>;
}
type Votes = ReadonlyMap<string, number>;

export function reputationsOf(states: readonly Verified<NodeState>[], options: ReputationOptions = {}): Reputations {
  const { identityOf = (key) => key } = options;
  const speakers = speakersOf(states, identityOf);
  const works = worksOf(speakers, identityOf);
  const placers = new Set([...works.keys()].map((key) => key.split(" ")[0]));
  const observing = speakers.filter(({ identity, halves }) => placers.has(identity) || [...halves.values()].some(hasProbed)).length;
  const quorum = Math.max(MIN_OBSERVERS, 2 * Math.floor(observing / 3) + 1);

  const votes = new Map(speakers.map((subject) => [subject.identity, votesOn(subject, speakers, works, quorum)]));
  const first = new Map([...votes].map(([subject, cast]) => [subject, median(cast, quorum)]));
  const hasStanding = (observer: string): boolean => (first.get(observer) ?? PPM) >= STANDING_PPM;
  const nodes = speakers.map(({ identity, state }): ScoredNode => {
    const all: Votes = votes.get(identity) ?? new Map<string, number>();
    const standing = new Map([...all].filter(([observer]) => hasStanding(observer)));
    const counted = standing.size >= quorum ? standing : all;
    const scorePpm = median(counted, quorum);
    const known = { identity, key: state.key.hex, node: state.record.node, observers: counted.size };
    return scorePpm === undefined ? known : { ...known, scorePpm };
  });
  return { records: states.map(({ hash }) => hash).sort(), observing, quorum, nodes };
}

/** One for each identity, its newest; none for a key that speaks for two nodes, since nobody can tell which was observed. */
function speakersOf(states: readonly Verified<NodeState>[], identityOf: (key: string) => string): Speaker[] {
  const byIdentity = new Map<string, Verified<NodeState>[]>();
  for (const state of states) {
    const identity = identityOf(state.key.hex);
    byIdentity.set(identity, [...(byIdentity.get(identity) ?? []), state]);
  }
  return [...byIdentity].sort(([a], [b]) => (a < b ? -1 : 1)).flatMap(([identity, own]) => {
    const [state] = own.sort((a, b) => compareOrder(b.record, a.record) || (a.hash < b.hash ? -1 : 1));
    if (state === undefined || own.some(({ record }) => record.node !== state.record.node)) return [];
    return [{ identity, state, halves: halvesOf(state.record, identity, identityOf) }];
  });
}

/** Of two about one peer the newer. What ended long before the record was signed, or after it, says nothing. */
function halvesOf({ links = [], issuedAtMs, validityMs }: NodeState, self: string, identityOf: (key: string) => string): Map<string, SignedLinkHalf> {
  const halves = new Map<string, SignedLinkHalf>();
  for (const half of links) {
    const peer = identityOf(half.peerKey);
    const ageMs = issuedAtMs - half.endMs;
    if (peer === self || ageMs > validityMs || ageMs < -DEFAULT_SKEW_MS) continue;
    const other = halves.get(peer);
    if (other === undefined || half.endMs > other.endMs) halves.set(peer, half);
  }
  return halves;
}

/** By observer. Links are compared only where that can come to a score. */
function votesOn(subject: Speaker, speakers: readonly Speaker[], works: ReadonlyMap<string, number>, quorum: number): Votes {
  const observers = speakers.filter(({ identity, halves }) => {
    const half = halves.get(subject.identity);
    return (half !== undefined && hasProbed(half)) || works.has(pair(identity, subject.identity));
  });
  const enough = observers.length >= quorum;
  return new Map(observers.map((observer) => [observer.identity, enough ? voteOf(observer, subject, works) : 0]));
}

function voteOf(observer: Speaker, subject: Speaker, works: ReadonlyMap<string, number>): number {
  const half = observer.halves.get(subject.identity);
  const work = works.get(pair(observer.identity, subject.identity));
  if (half === undefined || !hasProbed(half)) return work ?? 0;
  const answer = subject.halves.get(observer.identity);
  const link = linkVote(half, answer === undefined ? "unconfirmed" : joinSigned(half, answer).state);
  return work === undefined ? link : Math.floor((link + work) / 2);
}

function linkVote(half: SignedLinkHalf, state: JoinedLink["state"]): number {
  if (state === "disputed") return 0;
  const measured = Math.floor((PROBE_WEIGHT * share(half.received, half.sent) + UPTIME_WEIGHT * uptime(half)) / (PROBE_WEIGHT + UPTIME_WEIGHT));
  // Whole credit only for what was compared: withholding one's exchanges earns less than showing them.
  return state === "agreed" ? measured : Math.floor(measured / 2);
}

/** Of the observer's chunks of 16 probes, those in which the subject answered at all; without chunks, of its one window. */
function uptime({ outgoing, received }: SignedLinkHalf): number {
  if (outgoing === undefined) return received > 0 ? PPM : 0;
  const answered = new Set(outgoing.chunks.map(({ index }) => index)).size;
  return share(answered, outgoing.lastChunk - outgoing.firstChunk + 1);
}

/** Of each speaker about each node that it placed work on: the share that ran. */
function worksOf(speakers: readonly Speaker[], identityOf: (key: string) => string): Map<string, number> {
  const counts = new Map<string, { ran: number; all: number }>();
  for (const { identity, state } of speakers) {
    for (const { peerKey, ran, failed } of state.record.workOutcomes ?? []) {
      const about = identityOf(peerKey);
      if (about === identity) continue;
      const sum = counts.get(pair(identity, about)) ?? { ran: 0, all: 0 };
      counts.set(pair(identity, about), { ran: sum.ran + ran, all: sum.all + ran + failed });
    }
  }
  return new Map([...counts].map(([key, { ran, all }]) => [key, share(ran, all)]));
}

/** Of an even number the lower one: a tie speaks against the node. */
function median(votes: Votes, quorum: number): number | undefined {
  if (votes.size < quorum) return undefined;
  return [...votes.values()].sort((a, b) => a - b)[Math.ceil(votes.size / 2) - 1];
}

function hasProbed({ sent }: SignedLinkHalf): boolean {
  return sent >= MIN_PROBES;
}

/** Exact: counts are below 2^32, so that the product stays below 2^53. */
function share(part: number, whole: number): number {
  return Math.floor((part * PPM) / whole);
}

function pair(observer: string, subject: string): string {
  return `${observer} ${subject}`;
}
