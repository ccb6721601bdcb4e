# What a sidecar that places work (--placer), or keeps decisions and policies, takes beside its own policy,
# consul-sidecar.hcl.tpl: one lock for the cluster, held with a session of its own node.

session "{{node}}" { policy = "write" }

key_prefix "ibrl/v1/placement/{{datacenter}}/" { policy = "write" }

# Decisions, each signed and under its own hash, and policies, each signed. The token may also take them away.
key_prefix "ibrl/v1/decisions/" { policy = "write" }
key_prefix "ibrl/v1/policies/" { policy = "write" }

# A policy that places near a service asks where that runs; for each such service:
# service "postgres" { policy = "read" }
