/**
 * Which peers a node probes. Pure: the same members, estimates and epoch give the same answer on
 * any machine, so anybody can check who was due to probe whom.
 *
 * The random part is a set of rings. In each ring all members stand in the order of a hash and each
 * probes its successor, so each member is probed exactly once a ring: with four rings nobody is left
 * out, which independent draws would do to 2 % of 1,000 nodes. Near and far peers come from the
 * nearest and the farthest members by estimate; among those a hash chooses, so that not everybody
 * picks the same one. Each place has its own salt, which changes once in `REDRAW_EPOCHS` epochs and
 * not in the same epoch as its neighbour's: a quarter of the places is drawn again each epoch.
 * Work is O(members) an epoch; probes are `count`, whatever the number of members.
 */

export interface PeerChoice {
  self: string;
  /** Ids, in any order; `self` may be among them. */
  members: readonly string[];
  /** Default 8. */
  count?: number;
  /** Estimated round trips from `self` in microseconds, by id; members without one are only drawn at random. */
  estimatesUs?: ReadonlyMap<string, number>;
  /** The same for the whole cluster: its name. */
  seed: string;
  /** Counts up slowly and alike everywhere, such as Unix time divided by ten minutes. */
  epoch: number;
}

export const DEFAULT_PEER_COUNT = 8;
export const REDRAW_EPOCHS = 4;
const { imul } = Math;
const NEAR_SHARE = 1 / 4;
const FAR_SHARE = 1 / 4;
/** Near and far peers are drawn from this share of the members, but at least twice the places. */
const POOL_SHARE = 1 / 10;

/** `count` ids, or all other members where there are no more; sorted. */
export function choosePeers(choice: PeerChoice): string[] {
  const others = [...new Set(choice.members)].filter((id) => id !== choice.self);
  const count = choice.count ?? DEFAULT_PEER_COUNT;
  if (others.length <= count) return others.sort();

  const chosen = new Set<string>();
  const near = Math.floor(count * NEAR_SHARE);
  const far = Math.floor(count * FAR_SHARE);
  const addSuccessor = (place: number): void => {
    const id = successor(choice.self, others, chosen, saltOf(choice, "ring", place));
    if (id !== undefined) chosen.add(id);
  };
  for (let place = near + far; place < count; place += 1) addSuccessor(place);
  const byDistance = sortedByEstimate(others, choice.estimatesUs);
  drawFrom(byDistance, 0, near, choice, chosen);
  drawFrom(byDistance.reverse(), near, near + far, choice, chosen);
  // Places that found no estimate are filled from further rings.
  for (let place = count; chosen.size < count; place += 1) addSuccessor(place);
  return [...chosen].sort();
}

function saltOf(choice: PeerChoice, kind: string, place: number): number {
  const draw = Math.floor((choice.epoch + place) / REDRAW_EPOCHS);
  return hash(`${choice.seed}/${kind}/${place}/${draw}`, 0);
}

/** The member that follows `self` in the ring and is not chosen yet. */
function successor(self: string, others: readonly string[], chosen: ReadonlySet<string>, salt: number): string | undefined {
  const own = hash(self, salt);
  let best: string | undefined;
  let bestStep = Infinity;
  for (const id of others) {
    if (chosen.has(id)) continue;
    const step = (hash(id, salt) - own) >>> 0;
    if (step < bestStep || (step === bestStep && best !== undefined && id < best)) [best, bestStep] = [id, step];
  }
  return best;
}

/** Fills the places from `from` to `to` out of the first of `pool`, by the highest hash. */
function drawFrom(pool: readonly string[], from: number, to: number, choice: PeerChoice, chosen: Set<string>): void {
  const candidates = pool.slice(0, Math.max(2 * (to - from), Math.ceil(pool.length * POOL_SHARE)));
  for (let place = from; place < to; place += 1) {
    const salt = saltOf(choice, choice.self, place);
    let best: string | undefined;
    let bestHash = -1;
    for (const id of candidates) {
      const height = chosen.has(id) ? -1 : hash(id, salt);
      if (height > bestHash) [best, bestHash] = [id, height];
    }
    if (best !== undefined) chosen.add(best);
  }
}

function sortedByEstimate(others: readonly string[], estimatesUs?: ReadonlyMap<string, number>): string[] {
  if (estimatesUs === undefined) return [];
  return others
    .map((id) => ({ id, us: estimatesUs.get(id) ?? NaN }))
    .filter(({ us }) => Number.isFinite(us))
    .sort((a, b) => a.us - b.us || (a.id < b.id ? -1 : 1))
    .map(({ id }) => id);
}

/** FNV-1a with the finaliser of MurmurHash3: 32 well-mixed bits, no defence against chosen ids. */
function hash(text: string, salt: number): number {
  let value = (0x811c9dc5 ^ salt) >>> 0;
  for (let index = 0; index < text.length; index += 1) {
    value = imul(value ^ text.charCodeAt(index), 0x01000193);
  }
  value = imul(value ^ (value >>> 16), 0x85ebca6b);
  value = imul(value ^ (value >>> 13), 0xc2b2ae35);
  return (value ^ (value >>> 16)) >>> 0;
}
