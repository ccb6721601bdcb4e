# Nomad ACL policy of a sidecar with --nomad-metadata, beside nomad-sidecar.hcl. Nomad has no narrower right: who holds it
# may write the metadata of every node, and drain every node.
# nomad acl policy apply ibrl-metadata nomad/acl/nomad-metadata.hcl

node { policy = "write" }
