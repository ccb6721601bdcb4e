/** Workloads of a sidecar that does not place, for tests of the servers. What a test is about it brings itself. */
import { PlacementError } from "../../src/sidecar/placement-error.js";
import type { Workloads } from "../../src/sidecar/workloads.js";

export function someWorkloads(more: Partial<Workloads> = {}): Workloads {
  const refuse = (): Promise<never> => Promise.reject(new PlacementError("not-a-placer", "this sidecar runs without --placer"));
  return {
    spawn: refuse,
    stop: refuse,
    logs: refuse,
    // oxlint-disable-next-line require-yield -- it refuses before it has anything
    follow: async function* () {
      await refuse();
    },
    ...more,
  };
}
