/** Why no probe was answered, as far as this end can tell, and what to do about it. */
import type { LinkSummary } from "../../beacon/link-statistics.js";

export interface ProbedTarget {
  /** As it was given. */
  host: string;
  /** Numeric. */
  address: string;
  port: number;
  authenticated: boolean;
  /** Of the UDP payload. */
  sizeBytes: number;
}

/** What a run found; src/sidecar/probe/ping.ts. */
export interface ProbeFindings {
  summary: LinkSummary;
  maxUs?: number;
  leftOut: number;
  refused: Readonly<Record<string, number>>;
  unreachable?: string;
}

export interface ProbeProblem {
  code: "port-unreachable" | "unreachable" | "not-permitted" | "bad-hmac" | "no-stamp" | "no-answer" | "none-finished";
  message: string;
}

const NOT_PERMITTED = new Set(["EPERM", "EACCES"]);

/** Something came back, be it too late. */
export function wasAnswered({ summary }: Pick<ProbeFindings, "summary">): boolean {
  return summary.received + summary.late > 0;
}

/** Undefined where something answered. */
export function probeProblem(target: ProbedTarget, findings: ProbeFindings): ProbeProblem | undefined {
  if (wasAnswered(findings)) return undefined;
  const { summary, refused, unreachable } = findings;
  const badHmac = refused["bad-hmac"] ?? 0;
  const others = Object.entries(refused).filter(([reason, count]) => reason !== "bad-hmac" && count > 0);
  if (badHmac > 0) {
    return {
      code: "bad-hmac",
      message: `${counted(badHmac, "answer")} had an HMAC of another key, or none: the reflector must use the key of --key-file. Without --key-file the probes are unauthenticated.`,
    };
  }
  if (others.length > 0) {
    const reasons = others.map(([reason, count]) => `${reason} ${String(count)}`).join(", ");
    return { code: "no-stamp", message: `Packets came back that are no STAMP answers to these probes (${reasons}): what listens there is something else.` };
  }
  if (unreachable === "ECONNREFUSED") {
    return {
      code: "port-unreachable",
      message: `${target.address} says that nothing listens on UDP port ${String(target.port)}: give the reflector's port as HOST:PORT (a sidecar's is 8862 unless it was changed, STAMP's own is 862), or start it.`,
    };
  }
  if (unreachable !== undefined && NOT_PERMITTED.has(unreachable)) {
    return { code: "not-permitted", message: `This host does not let the probes out (${unreachable}): look at its own firewall.` };
  }
  if (unreachable !== undefined) {
    return { code: "unreachable", message: `There is no way to ${target.address} (${unreachable}): look at the address, and at this host's routes.` };
  }
  if (summary.sent === 0) return { code: "none-finished", message: "No probe was answered or lost before it ended." };
  return { code: "no-answer", message: noAnswer(target) };
}

function noAnswer({ port, authenticated }: ProbedTarget): string {
  const mode = authenticated
    ? "A reflector with another key, or with none, does not answer."
    : "A reflector in authenticated mode answers only with its key: --key-file.";
  return (
    "No probe was answered. A sidecar's reflector answers the known peers of its cluster only; what they measure is in `hypercore cluster metrics`. " +
    `${mode} A firewall may drop UDP port ${String(port)}, or the host is down.`
  );
}

function counted(count: number, noun: string): string {
  return `${String(count)} ${noun}${count === 1 ? "" : "s"}`;
}
