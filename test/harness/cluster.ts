/**
 * The local cluster for tests: the same one as `hypercore dev`, on a set of ports away from a developer's, quiet, and
 * checked at the end to have left nothing. Also `eventually`, the one way in which a test waits.
 * With HYPERCORE_TEST_SECURED=1 its Consul has ACLs, TLS and the policies of nomad/acl/ (scripts/test-long.mjs).
 */
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { ACL_TEMPLATES, type AclRole, renderPolicy } from "../../src/acl/consul-policy.js";
import type { ConsulRules } from "../../src/dev/consul-security.js";
import { projectRoot } from "../../src/dev/project-root.js";
import { type LocalCluster, type LocalClusterOptions, startLocalCluster } from "../../src/dev/local-cluster.js";
import type { Progress } from "../../src/dev/progress.js";
import { RunFolder } from "../../src/dev/run-folder.js";
import { waitFor } from "../../src/dev/readiness.js";

/** `hypercore dev` starts its search for free ports at 0. */
export const TEST_FIRST_SHIFT = 5;
export const TEST_FOLDER_PREFIX = "hypercore-test";

export const quiet: Progress = {
  note: () => {},
  step: () => ({ update: () => {}, done: () => {}, fail: () => {} }),
};

/** The policy that `hypercore acl render` prints. */
export function policyOf(role: AclRole, node?: string, datacenter = "dc1"): string {
  return ACL_TEMPLATES[role].map((name) => renderPolicy(readFileSync(join(projectRoot(), "nomad/acl", name), "utf8"), { node, datacenter })).join("\n");
}

/** The rules that are shipped, for `secured`. */
export const SHIPPED_RULES: ConsulRules = { sidecar: (node, datacenter) => policyOf("sidecar", node, datacenter), reader: policyOf("reader") };

/** Where there is Nomad every sidecar places (src/dev). */
const PLACER_RULES: ConsulRules = { ...SHIPPED_RULES, sidecar: (node, datacenter) => policyOf("placer", node, datacenter) };

/** Whether this run is the one on a secured Consul. */
export const runsSecured = process.env["HYPERCORE_TEST_SECURED"] === "1";

/** Three nodes with a sidecar each unless told otherwise. */
export function startTestCluster(options: Partial<LocalClusterOptions> = {}): Promise<LocalCluster> {
  return startLocalCluster({
    nodes: 3,
    firstShift: TEST_FIRST_SHIFT,
    folderPrefix: TEST_FOLDER_PREFIX,
    env: process.env,
    progress: quiet,
    ...(runsSecured && { secured: options.nomad === true ? PLACER_RULES : SHIPPED_RULES }),
    ...options,
  });
}

/** Undefined (it failed to start, which beforeAll has told) is fine. Throws where a process or the folder is left. */
export async function stopTestCluster(cluster: LocalCluster | undefined): Promise<void> {
  if (!cluster) return;
  await cluster.stop();
  const left = cluster.survivors();
  if (left.length > 0) throw new Error(`Processes are left of ${cluster.folder}: ${left.join(", ")}`);
  if (existsSync(cluster.folder)) throw new Error(`${cluster.folder} is left`);
}

/** A folder for the processes and files of one test file; `remove()` it in afterAll. */
export function testRunFolder(): RunFolder {
  return RunFolder.create(TEST_FOLDER_PREFIX);
}

/**
 * Calls `attempt` until it neither throws (so `expect` may stand in it) nor returns false; resolves with what it returns.
 * Rejects with the last reason after `timeoutMs`.
 */
export function eventually<T>(
  attempt: (signal: AbortSignal) => Promise<T> | T,
  { timeoutMs = 30_000, everyMs = 200 }: { timeoutMs?: number; everyMs?: number } = {},
): Promise<T> {
  return waitFor(
    "what the test waits for",
    async (signal) => {
      const result = await attempt(signal);
      if (result === false) throw new Error("still false");
      return { result };
    },
    { timeoutMs, everyMs },
  ).then(({ result }) => result);
}
