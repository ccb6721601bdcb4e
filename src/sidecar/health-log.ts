/**
 * One log line for each change of state of something we depend on, however often it is tried:
 *
 *   (unknown) ──► up ◄──► down        down: it may come back by itself (warn)
 *                  ▲        ▲
 *                  └► refused ◄┘      refused: an operator must act (error); another reason is another state
 */
import type { Clock } from "./clock.js";

export type HealthState = "unknown" | "up" | "down" | "refused";

/** As pino has it. */
export interface HealthLogger {
  info(fields: object, message: string): void;
  warn(fields: object, message: string): void;
  error(fields: object, message: string): void;
}

export interface HealthLogDeps {
  /** In the log: "consul events". */
  dependency: string;
  logger: HealthLogger;
  clock: Pick<Clock, "monoMs">;
}

export class HealthLog {
  #state: HealthState = "unknown";
  #reason = "";
  #sinceMs = 0;
  #failures = 0;

  constructor(private readonly deps: HealthLogDeps) {}

  get state(): HealthState {
    return this.#state;
  }

  up(): void {
    const { dependency, logger, clock } = this.deps;
    if (this.#state === "up") return;
    const after = this.#failures === 0 ? {} : { downForMs: Math.round(clock.monoMs() - this.#sinceMs), failures: this.#failures };
    this.#state = "up";
    this.#failures = 0;
    logger.info({ dependency, ...after }, "Dependency is up");
  }

  /** Errors with `transient: false` (ConsulError has it) are refusals; with code `aborted` they are no state at all. */
  down(error: unknown): void {
    const { dependency, logger, clock } = this.deps;
    const facts = factsOf(error);
    if (facts.code === "aborted") return;
    if (this.#failures === 0) this.#sinceMs = clock.monoMs();
    this.#failures += 1;
    const state = facts.transient ? "down" : "refused";
    const reason = facts.transient ? "" : `${facts.code} ${facts.permission}`;
    if (this.#state === state && this.#reason === reason) return;
    this.#state = state;
    this.#reason = reason;
    const { code, permission, message } = facts;
    const logged = { dependency, reason: message, ...(code && { code }), ...(permission && { permission }) };
    if (state === "down") logger.warn(logged, "Dependency is down");
    else logger.error(logged, "Dependency refuses us");
  }
}

interface ErrorFacts {
  code: string;
  permission: string;
  message: string;
  transient: boolean;
}

function factsOf(error: unknown): ErrorFacts {
  const { code, fields, transient } = (typeof error === "object" && error !== null ? error : {}) as {
    code?: unknown;
    fields?: { permission?: unknown };
    transient?: unknown;
  };
  return {
    code: typeof code === "string" ? code : "",
    permission: typeof fields?.permission === "string" ? fields.permission : "",
    message: error instanceof Error ? error.message : String(error),
    transient: transient !== false,
  };
}
