# What hypercore beacon serve takes: its store, and nothing else.
key_prefix "ibrl/v1/network/" { policy = "write" }
