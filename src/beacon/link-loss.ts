/**
 * Loss of one end's probing, as far as anybody can say in which direction. Pure; ratios 0..1.
 *
 * Two sources say how loss divides: the reflector's own sequence (the end's word, over its window) and the exchanges of
 * both ends (joined, over the chunks that both cover). The one that explains more loss is used, so that an end that
 * leaves lost probes out of its counts is held to its own exchanges. Loss beyond what the source explains is divided
 * alike, up to as much again; a source that explains less than that is about another time, and no direction is said.
 */
import type { JoinedLoss } from "./link-statistics-join.js";
import type { SignedLinkHalf } from "./record.js";

export interface ProbeLoss {
  /** Of probes that came back in time, all others. */
  ratio: number;
  /** Of the packets to the reflector, and of its answers. Absent where nobody can tell. */
  out?: number;
  back?: number;
}

const MAX_STRETCH = 2;

/** Absent for an end that does not probe. */
export function probeLoss(half: SignedLinkHalf, joined?: JoinedLoss): ProbeLoss | undefined {
  if (half.sent === 0) return undefined;
  const claimed = (half.sent - half.received) / half.sent;
  const [own, shown] = [ownSplit(half), joined === undefined ? NO_LOSS : splitOf(joined, joined.sent)];
  const split = own.out + own.back > shown.out + shown.back ? own : shown;
  const explained = split.out + split.back;
  const ratio = Math.max(claimed, explained);
  if (ratio === 0) return { ratio, out: 0, back: 0 };
  if (ratio > explained * MAX_STRETCH) return { ratio };
  const stretch = ratio / explained;
  const out = Math.min(1, split.out * stretch);
  // Only what arrived was answered.
  return out < 1 ? { ratio, out, back: Math.min(1, (split.back * stretch) / (1 - out)) } : { ratio, out };
}

interface Split {
  /** Both of the probes sent. */
  out: number;
  back: number;
}
const NO_LOSS: Split = { out: 0, back: 0 };

/** More lost by direction than lost at all is no division of it. */
function ownSplit({ sent, received, direction }: SignedLinkHalf): Split {
  if (direction === undefined || direction.forwardLost + direction.backwardLost > sent - received) return NO_LOSS;
  return splitOf(direction, sent);
}

function splitOf(lost: { forwardLost: number; backwardLost: number }, sent: number): Split {
  return sent === 0 ? NO_LOSS : { out: lost.forwardLost / sent, back: lost.backwardLost / sent };
}
