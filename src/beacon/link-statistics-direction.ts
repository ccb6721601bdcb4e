/**
 * In which direction probes were lost. Pure. A stateful reflector counts its own answers, so between
 * two answers that came back the step of the sender's number says how many probes left and the step
 * of the reflector's how many arrived (RFC 8762, 4.3.1):
 *
 *   probe      10   11   12   13        two probes are missing in between, and the reflector gave
 *   answer      7    ×    ×    9        one answer more: one of 11 and 12 was lost on the way out
 *                                       (forward), the other on the way back (backward).
 *
 * An answer that came after its timeout counts as lost backward: it did reach the reflector. What
 * the reflector refuses (rate, replay) looks like forward loss. Losses that no later answer has
 * bracketed yet, and those across a restart of the reflector, stay undetermined.
 */

export interface LossDirection {
  forwardLost: number;
  backwardLost: number;
  undetermined: number;
}

/** The last answer before the window. */
export interface DirectionAnchor {
  sequence: number;
  reflectorSequence: number;
}

/** A probe that was counted as lost, or an answer that came back, whatever it counts as. */
export interface DirectionEvidence {
  sequence: number;
  lost: boolean;
  /** Absent without an answer. */
  reflectorSequence?: number;
}

export type ReflectorMode = "stateful" | "stateless" | "detect";

/** Absent for a stateless reflector, and in mode `detect` until its numbers differ from the sender's. */
export function lossDirection(
  evidence: readonly DirectionEvidence[],
  mode: ReflectorMode,
  anchor?: DirectionAnchor,
): LossDirection | undefined {
  if (mode === "stateless") return undefined;
  const probes = mergeBySequence(evidence);
  if (mode === "detect" && !probes.some(differs)) return undefined;

  const direction: LossDirection = { forwardLost: 0, backwardLost: 0, undetermined: 0 };
  let previous = anchor?.reflectorSequence;
  let lostInGap = 0;
  for (const { lost, reflectorSequence } of probes) {
    if (reflectorSequence === undefined) {
      lostInGap += 1;
      continue;
    }
    if (lost) direction.backwardLost += 1;
    attribute(direction, lostInGap, previous === undefined ? undefined : reflectorSequence - previous - 1);
    lostInGap = 0;
    previous = reflectorSequence;
  }
  direction.undetermined += lostInGap;
  return direction;
}

/** `answered`: answers of the reflector that did not come back; absent or negative where nobody can tell. */
function attribute(direction: LossDirection, lost: number, answered: number | undefined): void {
  if (answered === undefined || answered < 0) {
    direction.undetermined += lost;
    return;
  }
  const backward = Math.min(lost, answered);
  direction.backwardLost += backward;
  direction.forwardLost += lost - backward;
}

function differs(probe: DirectionEvidence): boolean {
  return probe.reflectorSequence !== undefined && probe.reflectorSequence !== probe.sequence;
}

function mergeBySequence(evidence: readonly DirectionEvidence[]): DirectionEvidence[] {
  const merged = new Map<number, DirectionEvidence>();
  for (const item of evidence) {
    const known = merged.get(item.sequence);
    if (known === undefined) merged.set(item.sequence, { ...item });
    else {
      known.lost ||= item.lost;
      if (item.reflectorSequence !== undefined) known.reflectorSequence ??= item.reflectorSequence;
    }
  }
  return [...merged.values()].sort((a, b) => a.sequence - b.sequence);
}
