# The sidecar as in sidecar.nomad.hcl, in Docker: for hosts without Node.js, with the same host volumes. The image is nomad/Dockerfile's.
# The state folder must belong to user 1000 (chown 1000:1000 /var/lib/hypercore-ibrl), and the token file to its group, mode 0640. No
# traffic is counted.

variable "image" {
  type    = string
  default = "hypercore-ibrl:0.1.0"
}

variable "datacenters" {
  type    = list(string)
  default = ["*"]
}

variable "consul_http_addr" {
  type    = string
  default = "http://127.0.0.1:8500"
}

variable "consul_token_file" {
  description = "In the config volume; empty where Consul has no ACLs."
  type        = string
  default     = "consul-token"
}

job "hypercore-ibrl" {
  type        = "system"
  datacenters = var.datacenters
  priority    = 80

  constraint {
    attribute = "${attr.unique.consul.name}"
    operator  = "is_set"
  }

  update {
    max_parallel = 1
    stagger      = "30s"
  }

  group "sidecar" {
    restart {
      attempts = 5
      interval = "5m"
      delay    = "5s"
      mode     = "delay"
    }

    network {
      mode = "host"
      port "grpc" {
        static = 8000
      }
      port "http" {
        static = 8001
      }
      port "probe" {
        static = 8862
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
      address  = "127.0.0.1"

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
      driver       = "docker"
      kill_timeout = "15s"

      config {
        image        = var.image
        network_mode = "host"
      }

      env {
        CONSUL_HTTP_ADDR       = var.consul_http_addr
        CONSUL_HTTP_TOKEN_FILE = var.consul_token_file == "" ? "" : "/etc/hypercore-ibrl/${var.consul_token_file}"
        NOMAD_ADDR             = "unix://${NOMAD_SECRETS_DIR}/api.sock"
      }

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
