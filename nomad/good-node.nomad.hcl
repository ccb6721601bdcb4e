# An example of a job of your own that asks for good nodes by what their sidecars measured. The sidecars run with
# --nomad-metadata (docs/nomad-metadata.md):
#
#   nomad job run nomad/good-node.nomad.hcl
#
# A constraint on a value that a node does not have, because it is unknown or no sidecar runs there, rejects the node. Where no
# node is left the job waits, and Nomad looks again when a node's metadata changes.

variable "driver" {
  type    = string
  default = "exec"
}

variable "max_latency_ms" {
  type    = number
  default = 50
}

variable "max_packet_loss" {
  description = "Percent."
  type        = number
  default     = 1
}

variable "max_price_per_gb" {
  description = "US dollars for 10^9 bytes."
  type        = number
  default     = 0.02
}

variable "cheap_price_per_gb" {
  type    = number
  default = 0.005
}

job "good-node" {
  constraint {
    attribute = "${meta.unique.ibrl.latency_ms}"
    operator  = "<="
    value     = var.max_latency_ms
  }

  constraint {
    attribute = "${meta.unique.ibrl.packet_loss}"
    operator  = "<="
    value     = var.max_packet_loss
  }

  constraint {
    attribute = "${meta.unique.ibrl.price_per_gb}"
    operator  = "<="
    value     = var.max_price_per_gb
  }

  # One score among others, bin packing above all: it leans, and does not decide.
  affinity {
    attribute = "${meta.unique.ibrl.price_per_gb}"
    operator  = "<="
    value     = var.cheap_price_per_gb
    weight    = 100
  }

  group "work" {
    task "main" {
      driver = var.driver

      config {
        command = "/bin/sleep"
        args    = ["86400"]
      }

      resources {
        cpu    = 20
        memory = 20
      }
    }
  }
}
