/** What the ancestor's calls for workloads answer while placement through Nomad does not exist: one sentence each. */
export const NOT_YET = {
  Spawn: "This sidecar does not place workloads yet: run them with `nomad job run`.",
  Stop: "This sidecar does not stop workloads yet: stop them with `nomad job stop`.",
  Logs: "This sidecar does not read workload logs yet: read them with `nomad alloc logs`.",
} as const;
