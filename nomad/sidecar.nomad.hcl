# The sidecar beside every Consul agent, as a Nomad system job:
#
#   nomad job run nomad/sidecar.nomad.hcl
#
# Each host needs Node.js and the package (npm install --global hypercore-ibrl), a user for it, who owns both folders
# (useradd --system hypercore-ibrl), and two host volumes in its Nomad client's configuration (docs/deployment.md):
#
#   client {
#     host_volume "hypercore-ibrl-state"  { path = "/var/lib/hypercore-ibrl" }                    # the node's key
#     host_volume "hypercore-ibrl-config" { path = "/etc/hypercore-ibrl"  read_only = true }      # its Consul token
#   }
#
# The Consul token is each host's own: a file of mode 0400 that only root and that user read, never a variable of this job,
# which every reader of the job would see. An update replaces one host's sidecar at a time; the key stays in the volume.

variable "datacenters" {
  type    = list(string)
  default = ["*"]
}

variable "namespace" {
  type    = string
  default = "default"
}

variable "node_program" {
  description = "Node.js, 20.19 or newer, as the task sees it."
  type        = string
  default     = "/usr/bin/node"
}

variable "hypercore" {
  description = "The package's bin/run.js, as the task sees it."
  type        = string
  default     = "/usr/lib/node_modules/hypercore-ibrl/bin/run.js"
}

variable "user" {
  description = "Of the host; owns the two folders. Nomad refuses root to the exec driver, and the sidecar needs no privilege."
  type        = string
  default     = "hypercore-ibrl"
}

variable "consul_http_addr" {
  description = "The local Consul agent. With https:// the CA is ca.pem in the config volume."
  type        = string
  default     = "http://127.0.0.1:8500"
}

variable "consul_token_file" {
  description = "In the config volume; empty where Consul has no ACLs."
  type        = string
  default     = "consul-token"
}

variable "consul_client_certificate" {
  description = "Where Consul asks for one: client.pem and client-key.pem in the config volume."
  type        = bool
  default     = false
}

variable "bind_address" {
  description = "Of gRPC and HTTP. Beyond loopback they need mTLS (docs/ports.md), with the rest of the settings in the settings file."
  type        = string
  default     = "127.0.0.1"
}

variable "grpc_port" {
  type    = number
  default = 8000
}

variable "http_port" {
  type    = number
  default = 8001
}

variable "probe_port" {
  description = "UDP, reserved here. Another than 8862 goes into the settings file too (probe-bind-addr)."
  type        = number
  default     = 8862
}

variable "settings_file" {
  description = "Further settings (docs/settings.md), in the config volume; empty for none."
  type        = string
  default     = ""
}

variable "count_traffic" {
  description = "Have the bytes of each allocation counted (docs/usage.md): the task is given CAP_NET_ADMIN, which each client has to allow."
  type        = bool
  default     = false
}

variable "stagger" {
  description = "Between one host's update and the next's. Longer than a sidecar takes to start, so that one is always there."
  type        = string
  default     = "30s"
}

variable "release" {
  description = "Any text; a new one replaces the sidecars, as after an upgrade of the package."
  type        = string
  default     = "1"
}

locals {
  config = "/etc/hypercore-ibrl"
  tls    = substr(var.consul_http_addr, 0, 8) == "https://"
}

job "hypercore-ibrl" {
  type        = "system"
  datacenters = var.datacenters
  namespace   = var.namespace
  # Above the work that it measures for, below what the cluster itself needs.
  priority = 80

  meta {
    release = var.release
  }

  constraint {
    attribute = "${attr.unique.consul.name}"
    operator  = "is_set"
  }

  update {
    max_parallel = 1
    stagger      = var.stagger
  }

  group "sidecar" {
    # A sidecar that cannot start says why in its log; it is tried again for as long as the host is there.
    restart {
      attempts = 5
      interval = "5m"
      delay    = "5s"
      mode     = "delay"
    }

    network {
      mode = "host"
      port "grpc" {
        static = var.grpc_port
      }
      port "http" {
        static = var.http_port
      }
      port "probe" {
        static = var.probe_port
      }
    }

    volume "state" {
      type   = "host"
      source = "hypercore-ibrl-state"
    }

    volume "config" {
      type      = "host"
      source    = "hypercore-ibrl-config"
      read_only = true
    }

    service {
      name     = "hypercore-ibrl"
      provider = "nomad"
      port     = "http"
      address  = var.bind_address

      check {
        name     = "alive"
        type     = "http"
        path     = "/healthz"
        interval = "10s"
        timeout  = "2s"
      }

      check {
        name     = "ready"
        type     = "http"
        path     = "/readyz"
        interval = "10s"
        timeout  = "2s"
      }
    }

    task "sidecar" {
      driver       = "exec"
      user         = var.user
      kill_timeout = "15s"

      config {
        command  = var.node_program
        cap_drop = ["all"]
        cap_add  = var.count_traffic ? ["net_admin"] : []
        args = concat(
          [var.hypercore, "sidecar"],
          var.settings_file == "" ? [] : ["--config", "${local.config}/${var.settings_file}"],
        )
      }

      env {
        NODE_ENV               = "production"
        IBRL_STATE_DIR         = "/var/lib/hypercore-ibrl"
        IBRL_GRPC_BIND_ADDR    = "${var.bind_address}:${var.grpc_port}"
        IBRL_HTTP_BIND_ADDR    = "${var.bind_address}:${var.http_port}"
        IBRL_LOG_FORMAT        = "json"
        IBRL_TRAFFIC_METER     = var.count_traffic ? "nft" : "off"
        CONSUL_HTTP_ADDR       = var.consul_http_addr
        CONSUL_HTTP_TOKEN_FILE = var.consul_token_file == "" ? "" : "${local.config}/${var.consul_token_file}"
        CONSUL_CACERT          = local.tls ? "${local.config}/ca.pem" : ""
        CONSUL_CLIENT_CERT     = var.consul_client_certificate ? "${local.config}/client.pem" : ""
        CONSUL_CLIENT_KEY      = var.consul_client_certificate ? "${local.config}/client-key.pem" : ""
        # The task's own socket to Nomad: no address and no certificate to give.
        NOMAD_ADDR = "unix://${NOMAD_SECRETS_DIR}/api.sock"
      }

      # NOMAD_TOKEN. The socket asks for one even without ACLs, where the task's identity is enough. With ACLs Nomad takes a
      # token there, and no identity, for the node itself; so the template puts a token in its place (docs/deployment.md).
      identity {
        env = true
      }

      template {
        destination = "${NOMAD_SECRETS_DIR}/nomad.env"
        env         = true
        data        = <<-EOT
          {{ if nomadVarExists "nomad/jobs/hypercore-ibrl" }}{{ with nomadVar "nomad/jobs/hypercore-ibrl" }}NOMAD_TOKEN={{ .nomad_token }}{{ end }}{{ end }}
        EOT
      }

      volume_mount {
        volume      = "state"
        destination = "/var/lib/hypercore-ibrl"
      }

      volume_mount {
        volume      = "config"
        destination = "/etc/hypercore-ibrl"
        read_only   = true
      }

      resources {
        cpu    = 100
        memory = 192
      }
    }
  }
}
