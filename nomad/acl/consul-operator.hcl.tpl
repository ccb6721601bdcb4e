# What an operator takes beside the reader's policy, consul-reader.hcl.tpl: hypercore trust allow | pin | unpin.

# The allow-list. What counts of it is the operator's signature, not who may write it.
key_prefix "ibrl/v1/trust/{{datacenter}}/" { policy = "write" }

# Every node's pin: a reader without history believes what stands here (SECURITY.md).
key_prefix "ibrl/v1/pins/{{datacenter}}/" { policy = "write" }
