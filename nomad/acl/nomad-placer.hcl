# Nomad ACL policy of a sidecar that places work (--placer), or of a caller of it who brings a token of their own.
# The namespace is that of NOMAD_NAMESPACE. nomad acl policy apply ibrl-placer nomad/acl/nomad-placer.hcl

# Which nodes there are, their drivers, and whether work is placed on them.
node { policy = "read" }
agent { policy = "read" }

namespace "default" {
  # list-jobs and read-job: what is placed. submit-job: plan, register, stop. read-logs: logs.
  capabilities = ["list-jobs", "read-job", "submit-job", "read-logs"]
}
