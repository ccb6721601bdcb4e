# What a sidecar that places work (--placer) takes beside its own policy, consul-sidecar.hcl.tpl: one lock for the
# cluster, held with a session of its own node, and what it decided.

session "{{node}}" { policy = "write" }

key_prefix "ibrl/v1/placement/{{datacenter}}/" { policy = "write" }

# Its signed decisions.
key_prefix "ibrl/v1/decisions/" { policy = "write" }
