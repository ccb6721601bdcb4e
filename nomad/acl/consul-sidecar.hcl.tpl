# Consul ACL policy of the IBRL sidecar on {{node}} in {{datacenter}}: one policy and one token for each node.
# Every prefix of a node ends in /, so that the rules of node-1 are not those of node-10.

# Who its agent is, and Serf's queues: /v1/agent/self.
agent "{{node}}" { policy = "read" }

# Members, nodes, coordinates, and the health of the others.
node_prefix "" { policy = "read" }

# Its own service and check at its agent, and those of its peers in the catalog.
service "ibrl-beacon" { policy = "write" }

# States and pins of all nodes. "list" is read and recursive read, which acl.enable_key_list_policy asks for.
key_prefix "ibrl/v1/" { policy = "list" }

# Its own state.
key_prefix "ibrl/v1/nodes/{{node}}/" { policy = "write" }

# What it carried, a statement for each period.
key_prefix "ibrl/v1/usage/{{datacenter}}/{{node}}/" { policy = "write" }

# Its own pin, written once. Consul has no right to create only: the token may change it too (SECURITY.md).
key "ibrl/v1/pins/{{datacenter}}/{{node}}" { policy = "write" }

# Statements that its key was rotated.
key_prefix "ibrl/v1/rotations/{{datacenter}}/{{node}}/" { policy = "write" }

# Beacons between two writes, fired and read.
event "ibrl" { policy = "write" }
