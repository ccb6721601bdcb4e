/** `hypercore probe` for people: a line for each probe as it ends, and the summary. Round trips are without the time that the reflector held the probe. */
import type { LinkSummary, ProbeSample } from "../../beacon/link-statistics.js";
import { printable } from "./printable.js";
import { type ProbedTarget, type ProbeFindings, probeProblem } from "./probe-problem.js";
import { percent } from "./wording.js";

export function probeHead(target: ProbedTarget): string {
  const mode = target.authenticated ? "authenticated" : "unauthenticated";
  return `PROBE ${nameOf(target)} port ${String(target.port)} (UDP, STAMP, ${mode}), ${String(target.sizeBytes)} bytes`;
}

export function probeLine(sample: ProbeSample): string {
  const after = "reordered" in sample && sample.reordered ? ", after the answer to a later probe" : "";
  return `seq=${String(sample.sequence)}  ${outcomeOf(sample)}${after}`;
}

/** Begins with an empty line. */
export function probeSummary(target: ProbedTarget, findings: ProbeFindings): string {
  const { summary, maxUs, leftOut } = findings;
  const { rtt, jitterUs, pdv } = summary;
  const problem = probeProblem(target, findings);
  return [
    "",
    `--- ${nameOf(target)} port ${String(target.port)} ---`,
    row("probes", countsOf(summary)),
    ...(summary.lost === 0 || summary.received === 0 ? [] : [row("lost", lossOf(summary))]),
    ...(rtt === undefined || maxUs === undefined ? [] : [row("rtt", `min ${ms(rtt.minUs)}  p50 ${ms(rtt.p50Us)}  p95 ${ms(rtt.p95Us)}  p99 ${ms(rtt.p99Us)}  max ${ms(maxUs)} ms`)]),
    ...(jitterUs === undefined ? [] : [row("jitter", `${ms(jitterUs)} ms (RFC 3550)`)]),
    ...(pdv === undefined ? [] : [row("pdv", `p95 ${ms(pdv.p95Us)}  p99 ${ms(pdv.p99Us)} ms over the minimum (RFC 5481)`)]),
    ...(leftOut === 0 ? [] : [row("window", `the last ${String(summary.sent)} probes; the ${String(leftOut)} samples before them are left out`)]),
    ...(summary.received === 0 && summary.late > 0 ? ["Every answer came too late: give it longer with -W."] : []),
    ...(problem === undefined ? [] : [problem.message]),
  ].join("\n");
}

function outcomeOf(sample: ProbeSample): string {
  switch (sample.outcome) {
    case "received":
      return `${ms(sample.rttUs)} ms`;
    case "discarded":
      return "answered; not measured, since this process was held up";
    case "lost":
      return "no answer";
    case "late":
      return "answered too late";
    case "duplicate":
      return "answered once more";
  }
}

function countsOf({ sent, received, lossRatio, discarded, late, duplicates, reordered }: LinkSummary): string {
  const more = Object.entries({ late, duplicates, reordered, "not measured": discarded }).filter(([, count]) => count > 0);
  return [
    `${String(sent)} sent`,
    `${String(received)} received`,
    ...(lossRatio === undefined ? [] : [`${percent(lossRatio)} lost`]),
    ...more.map(([name, count]) => `${String(count)} ${name}`),
  ].join(", ");
}

/** Only a reflector that counts its own answers tells in which direction a probe was lost. */
function lossOf({ direction, bursts }: LinkSummary): string {
  const burst = `longest burst ${String(bursts.longest)}`;
  if (direction === undefined) return `direction unknown (the reflector shows no count of its own), ${burst}`;
  const { forwardLost, backwardLost, undetermined } = direction;
  return `${String(forwardLost)} forward, ${String(backwardLost)} backward, ${String(undetermined)} not known, ${burst}`;
}

function nameOf({ host, address }: ProbedTarget): string {
  return host === address ? address : `${printable(host)} (${address})`;
}

function row(name: string, text: string): string {
  return `${name.padEnd(8)}${text}`;
}

/** Three decimals: a hop within a rack takes 50 µs. */
function ms(us: number): string {
  return (us / 1_000).toFixed(3);
}
