# Nomad ACL policy of a sidecar that places no work: it reads its own node and what runs there.
# nomad acl policy apply ibrl-sidecar nomad/acl/nomad-sidecar.hcl

node { policy = "read" }
agent { policy = "read" }

# The workloads of every namespace count; without one its own are missing from the node's signed state.
namespace "*" {
  capabilities = ["list-jobs", "read-job"]
}
