/** What the mover of workloads tells: placement/mover.ts moves, metrics.ts counts. */

/** Its copy failed or was stopped there, it never came to run, its node left Consul, Consul calls the node failed, it breaks a policy, or another is better by one. */
export const MOVE_CAUSES = ["failed", "stopped", "unplaced", "node-left", "node-failed", "policy", "rebalance"] as const;
export type MoveCause = (typeof MOVE_CAUSES)[number];

/** Workloads that should move and do not: `moved-too-often` is left where it is until a person looks. */
export const STUCK_STATES = ["moved-too-often", "no-node"] as const;
export type StuckState = (typeof STUCK_STATES)[number];

export interface MoverObserver {
  moving(isMover: boolean): void;
  moved(cause: MoveCause): void;
  /** Undefined: this is not the mover, and another one knows. */
  stuck(counts: Readonly<Record<StuckState, number>> | undefined): void;
}
