/** Clusters of signed states for tests of reputation: who probed whom with what success, and what both ends show of it. */
import { open, seal, STATE, type Verified } from "../../src/beacon/envelope.js";
import { KeyAdmission } from "../../src/beacon/keys.js";
import type { NodeState, SignedLinkHalf } from "../../src/beacon/record.js";
import { bothEnds, type Fate, halfAbout, recordOf } from "./links.js";
import { context, identity, NOW_MS, state } from "./records.js";

const keys = new KeyAdmission(); // judging a key takes milliseconds, and every test uses the same few
const clean = bothEnds(Array.from<Fate>({ length: 64 }).fill("back"));
/** What the two ends of one direction of probing sign, and what a liar signs in their place: times of its own. */
const SENDER = recordOf(clean.sender, 64);
const REFLECTOR = recordOf(clean.reflector, 64);
const FORGED = recordOf(clean.sender.map((item) => ({ ...item, answered: item.answered + 1n })), 64);

export interface Observed {
  /** Of 64 probes. */
  received?: number;
  sent?: number;
  /** What of the exchanges it signs: nothing, what it saw, or what it invented. */
  exchanges?: "none" | "seen" | "forged";
}

/** The half about a peer that both probes and answers. */
export function observation(peer: number, { sent = 64, received = sent, exchanges = "seen" }: Observed = {}): SignedLinkHalf {
  const shown = { none: {}, seen: { outgoing: SENDER, incoming: REFLECTOR }, forged: { outgoing: FORGED, incoming: FORGED } }[exchanges];
  return halfAbout(peer, { sent, received: Math.min(received, sent), ...shown });
}

/** Really sealed and opened. `by` is the seed of its key, and of its name unless that is given. */
export function signedState(by: number, links: readonly SignedLinkHalf[], parts: Partial<NodeState> = {}): Verified<NodeState> {
  const record = state({ node: `node-${String(by)}`, ...(links.length === 0 ? {} : { links }), ...parts });
  const opened = open(STATE, seal(STATE, record, identity(by)), context({ keys, nowMs: parts.issuedAtMs ?? NOW_MS }));
  if (!opened.ok) throw new Error(`${opened.reason}: ${opened.detail}`);
  return opened.verified;
}

/** Nodes 1 to n, each probing every other; `seen(from, to)` says what came of it, null that it does not probe. */
export function mesh(n: number, seen: (from: number, to: number) => Observed | null = () => ({}), nowMs = NOW_MS): Verified<NodeState>[] {
  const seeds = Array.from({ length: n }, (_, i) => i + 1);
  return seeds.map((from) =>
    signedState(from, seeds.flatMap((to) => {
      const observed = to === from ? null : seen(from, to);
      return observed === null ? [] : [{ ...observation(to, observed), startMs: nowMs - 61_000, endMs: nowMs - 1_000 }];
    }), { issuedAtMs: nowMs }),
  );
}
