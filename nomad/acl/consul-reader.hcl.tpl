# Consul ACL policy of who reads the cluster straight from Consul: hypercore cluster metrics | list | links --consul.

# Which datacenter the agent is in. Not needed where --datacenter or CONSUL_DATACENTER names it.
agent_prefix "" { policy = "read" }

node_prefix "" { policy = "read" }

service "ibrl-beacon" { policy = "read" }

# "list" is read and recursive read, which acl.enable_key_list_policy asks for.
key_prefix "ibrl/v1/" { policy = "list" }
