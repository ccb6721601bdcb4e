/**
 * Every setting of the sidecar, once: flags, environment, config file and docs/settings.md come from this table.
 * Precedence: flag, environment, file, default. Tokens have no flag, since a command line is seen by every user of
 * the host. Reading the environment is the caller's; this file is pure.
 */
import { homedir } from "node:os";
import { join } from "node:path";
import { TRUST_MODES, type TrustMode } from "../beacon/trust-policy.js";
import { hexKeyOf, type HostPort, hostPortOf, listOf, lookUp, numberOf, type SettingSources, type SettingSpec, SettingsError, textOf } from "./setting-values.js";

export { type HostPort, parseDuration, type RawSettings, type SettingSpec, SettingsError, type SettingSources } from "./setting-values.js";

const consul = (name: string, env: string, help: string, more: Partial<SettingSpec> = {}): SettingSpec => ({
  name: `consul-${name}`, env, kind: "text", group: "Consul", help, ...more,
});
const nomad = (name: string, env: string, help: string, more: Partial<SettingSpec> = {}): SettingSpec => ({
  name: `nomad-${name}`, env, kind: "text", group: "Nomad", help, ...more,
});

export const SETTINGS = [
  { name: "state-dir", env: "IBRL_STATE_DIR", kind: "text", group: "Node", help: "Folder of the node's key, epoch and pins (0700). Default: /var/lib/hypercore-ibrl as root, else ~/.local/state/hypercore-ibrl." },
  { name: "node-name", env: "IBRL_NODE_NAME", kind: "text", group: "Node", help: "Name to serve under while there is no Consul agent. Default: the host's name." },
  { name: "advertise-addr", env: "IBRL_ADVERTISE_ADDR", kind: "text", group: "Node", help: "Address that peers reach this node at. Default: the Consul agent's member address." },
  { name: "capability", env: "IBRL_CAPABILITIES", kind: "list", group: "Node", help: "A capability to declare beside the detected ones (letters, digits, . _ -)." },
  { name: "trust-mode", env: "IBRL_TRUST_MODE", kind: "choice", group: "Trust", default: "first-use", choices: TRUST_MODES, help: "Whom to believe. first-use: the pinned key, or the first one seen. allow-list: whom the operator's signed list names, and nobody else. open: nobody; all is shown and labelled unverified." },
  { name: "operator-key", env: "IBRL_OPERATOR_KEYS", kind: "list", group: "Trust", help: "Public key of an operator, 64 hex digits or a file with one a line: whose allow-list counts. In first-use mode it settles the nodes that it names." },
  { name: "allow-list", env: "IBRL_ALLOW_LIST", kind: "text", group: "Trust", default: "", help: "File with a signed allow-list (hypercore trust allow writes one): with it an older list in KV is refused although this node has no history." },
  { name: "grpc-bind-addr", env: "IBRL_GRPC_BIND_ADDR", kind: "text", group: "Serving", default: "127.0.0.1:8000", help: "HOST:PORT of gRPC." },
  { name: "http-bind-addr", env: "IBRL_HTTP_BIND_ADDR", kind: "text", group: "Serving", default: "127.0.0.1:8001", help: "HOST:PORT of HTTP: /list, /metrics, /healthz, /readyz." },
  { name: "probe-bind-addr", env: "IBRL_PROBE_BIND_ADDR", kind: "text", group: "Measuring", default: "", help: "HOST:PORT of the STAMP reflector (UDP), and the address that probes are sent from. Default: the Consul agent's member address, port 8862. off: neither probe nor answer." },
  { name: "probe-interval", env: "IBRL_PROBE_INTERVAL", kind: "duration", group: "Measuring", default: "1s", min: 50, max: 60_000, help: "Between two probes to one peer." },
  { name: "probe-window", env: "IBRL_PROBE_WINDOW", kind: "duration", group: "Measuring", default: "30s", min: 2_000, max: 600_000, help: "How far back latency, jitter and loss of a node look: the probes of this time. A cut link shows after so long." },
  { name: "probe-peers", env: "IBRL_PROBE_PEERS", kind: "number", group: "Measuring", default: "8", min: 1, max: 64, help: "How many peers to probe, whatever the size of the cluster." },
  { name: "probe-key-file", env: "IBRL_PROBE_KEY_FILE", kind: "text", group: "Measuring", default: "", help: "File with a secret that all nodes share (raw, or hex: and hex digits), from which the probes' HMAC keys are made. Default: each two nodes agree their own by X25519." },
  { name: "probe-open-rate", env: "IBRL_PROBE_OPEN_RATE", kind: "number", group: "Measuring", default: "0", min: 0, max: 1000, help: "Unauthenticated probes a second, of all strangers together, that the reflector answers, stateless. 0: known peers only." },
  { name: "proof-interval", env: "IBRL_PROOF_INTERVAL", kind: "duration", group: "Measuring", default: "30s", min: 500, max: 600_000, help: "Between two looks at each Nomad allocation on this node, and at what it uses, for its proof (docs/proofs.md)." },
  { name: "traffic-meter", env: "IBRL_TRAFFIC_METER", kind: "choice", group: "Measuring", default: "nft", choices: ["nft", "off"], help: "nft: have the kernel count the bytes of each Nomad allocation, by an nftables table of the sidecar's own (needs the program nft and CAP_NET_ADMIN; without them nothing is counted, and the log says so). off: count nothing (docs/usage.md)." },
  { name: "usage-period", env: "IBRL_USAGE_PERIOD", kind: "duration", group: "Measuring", default: "1h", min: 1_000, max: 86_400_000, help: "Of the statements of what this node carried, in whole seconds; the same on all nodes, whose counts are compared by it." },
  { name: "insecure-bind", env: "IBRL_INSECURE_BIND", kind: "boolean", group: "Serving", default: "false", help: "Allow a bind address beyond loopback although it is plain text." },
  { name: "cluster-policy", env: "IBRL_CLUSTER_POLICY", kind: "text", group: "Policy", default: "", help: "Policy file or module of the cluster: every decision of this sidecar satisfies it too, whatever a spawn's policy says, and the node's signed state names it. Read at the start. Empty: none." },
  { name: "tls-cert-file", env: "IBRL_TLS_CERT_FILE", kind: "text", group: "Serving", default: "", help: "PEM certificate of the ports, and its chain: with it, and the two files below, they speak mTLS. Looked at every two seconds; a new one is taken up without a restart." },
  { name: "tls-key-file", env: "IBRL_TLS_KEY_FILE", kind: "text", group: "Serving", default: "", help: "PEM key of the certificate." },
  { name: "tls-client-ca-file", env: "IBRL_TLS_CLIENT_CA_FILE", kind: "text", group: "Serving", default: "", help: "PEM certificates of the CA that signs clients' certificates; a client without one is refused." },
  { name: "tls-ports", env: "IBRL_TLS_PORTS", kind: "choice", group: "Serving", default: "both", choices: ["both", "grpc", "http"], help: "Which ports speak mTLS; the other stays plain text." },
  { name: "tls-allow", env: "IBRL_TLS_ALLOW", kind: "list", group: "Serving", help: "A name (SPIFFE URI, DNS name, or common name) whose certificate may ask for changes (Spawn, Stop). Default: every certificate of the client CA." },
  { name: "beacon-endpoint", env: "IBRL_BEACON_ENDPOINT", kind: "text", group: "Beacon", default: "", help: "Beacon network: grpc or grpcs URL, to be a member of it; http, https or tcp, to tell only whether it answers. Empty: none." },
  { name: "beacon-network-key", env: "IBRL_BEACON_NETWORK_KEYS", kind: "list", group: "Beacon", help: "Public key of the beacon network, 64 hex digits, or of each of its servers: whose listings count. Default: the first that is seen after the start." },
  { name: "beacon-ca-file", env: "IBRL_BEACON_CA_FILE", kind: "text", group: "Beacon", default: "", help: "PEM certificates of the CA of a grpcs endpoint. Default: the CAs that Node brings." },
  { name: "beacon-cert-file", env: "IBRL_BEACON_CERT_FILE", kind: "text", group: "Beacon", default: "", help: "PEM certificate that this node shows to a grpcs endpoint." },
  { name: "beacon-key-file", env: "IBRL_BEACON_KEY_FILE", kind: "text", group: "Beacon", default: "", help: "PEM key of that certificate." },
  { name: "beacon-price", env: "IBRL_BEACON_PRICE", kind: "text", group: "Beacon", default: "0.01", help: "Price in US dollars for 10^9 bytes." },
  { name: "beacon-price-schedule", env: "IBRL_BEACON_PRICE_SCHEDULE", kind: "text", group: "Beacon", default: "", help: "Prices by the time of day, UTC, such as 00:00-06:00=0.005,18:00-23:00=0.02; --beacon-price at all other times." },
  { name: "beacon-price-script", env: "IBRL_BEACON_PRICE_SCRIPT", kind: "text", group: "Beacon", default: "", help: "Program that prints the price: run every minute without a shell or arguments, 10 s at most. Its last good price holds for an hour, then the price is unknown." },
  { name: "beacon-reputation", env: "IBRL_BEACON_REPUTATION", kind: "number", group: "Beacon", default: "1.0", min: 0, max: 1, help: "Reputation that the node declares, 0 to 1; shown as declared, and never used as evidence." },
  consul("http-addr", "CONSUL_HTTP_ADDR", "Address of the local agent: HOST:PORT, URL or unix:///path. Default: 127.0.0.1:8500."),
  consul("http-ssl", "CONSUL_HTTP_SSL", "true: use https."),
  consul("http-ssl-verify", "CONSUL_HTTP_SSL_VERIFY", "false: do not verify the agent's certificate."),
  consul("ca-file", "CONSUL_CACERT", "CA certificate file."),
  consul("ca-path", "CONSUL_CAPATH", "Folder of CA certificates."),
  consul("client-cert", "CONSUL_CLIENT_CERT", "Client certificate file."),
  consul("client-key", "CONSUL_CLIENT_KEY", "Client key file."),
  consul("tls-server-name", "CONSUL_TLS_SERVER_NAME", "Name expected in the agent's certificate."),
  consul("token", "CONSUL_HTTP_TOKEN", "ACL token.", { secret: true }),
  consul("token-file", "CONSUL_HTTP_TOKEN_FILE", "File with the ACL token; read again when it changes."),
  consul("http-auth", "CONSUL_HTTP_AUTH", "USER:PASSWORD of HTTP basic authentication.", { secret: true }),
  consul("datacenter", "CONSUL_DATACENTER", "Datacenter to read."),
  consul("namespace", "CONSUL_NAMESPACE", "Consul Enterprise only: refused."),
  consul("partition", "CONSUL_PARTITION", "Consul Enterprise only: refused."),
  nomad("addr", "NOMAD_ADDR", "Address of the local Nomad agent. Default: http://127.0.0.1:4646."),
  nomad("region", "NOMAD_REGION", "Region."),
  nomad("namespace", "NOMAD_NAMESPACE", "Namespace."),
  nomad("ca-file", "NOMAD_CACERT", "CA certificate file."),
  nomad("ca-path", "NOMAD_CAPATH", "Folder of CA certificates."),
  nomad("client-cert", "NOMAD_CLIENT_CERT", "Client certificate file."),
  nomad("client-key", "NOMAD_CLIENT_KEY", "Client key file."),
  nomad("tls-server-name", "NOMAD_TLS_SERVER_NAME", "Name expected in the agent's certificate."),
  nomad("skip-verify", "NOMAD_SKIP_VERIFY", "true: do not verify the agent's certificate."),
  nomad("token", "NOMAD_TOKEN", "ACL token.", { secret: true }),
  { name: "nomad-metadata", env: "IBRL_NOMAD_METADATA", kind: "boolean", group: "Placement", default: "false", help: "Publish the node's values as dynamic metadata of its Nomad client, for the constraints and affinities of any job: the Nomad token then needs node:write, which can also drain nodes (docs/nomad-metadata.md)." },
  { name: "placer", env: "IBRL_PLACER", kind: "boolean", group: "Placement", default: "false", help: "Place, stop and move workloads through Nomad: the Nomad token then needs submit-job, or each caller brings its own." },
  { name: "job-drivers", env: "IBRL_JOB_DRIVERS", kind: "list", group: "Placement", default: "docker,exec,java,podman,qemu", help: "Nomad drivers that a spawn may ask for. raw_exec, which runs as Nomad's own user without isolation, has to be named." },
  { name: "job-templates", env: "IBRL_JOB_TEMPLATES", kind: "text", group: "Placement", default: "", help: "Folder of job templates, DRIVER.json, that take the place of the package's own (docs/workloads.md)." },
  { name: "stop-on-client-after", env: "IBRL_STOP_ON_CLIENT_AFTER", kind: "duration", group: "Placement", default: "30s", min: 5_000, max: 86_400_000, help: "A workload that may not run twice ends itself when its node has lost Nomad's servers for so long. More than --nomad-down-after: Nomad's clients speak up to 20 s apart." },
  { name: "nomad-down-after", env: "IBRL_NOMAD_DOWN_AFTER", kind: "duration", group: "Placement", default: "20s", min: 0, max: 86_400_000, help: "How long, at least, Nomad's servers hear nothing of a client before they call it down: min_heartbeat_ttl and heartbeat_grace of theirs together, or failover_heartbeat_ttl where that is less." },
  { name: "log-level", env: "IBRL_LOG_LEVEL", kind: "choice", group: "Logging", default: "info", choices: ["debug", "info", "warn", "error"], help: "Least level that is logged; debug shows every reading." },
  { name: "log-format", env: "IBRL_LOG_FORMAT", kind: "choice", group: "Logging", default: "auto", choices: ["auto", "json", "text"], help: "auto: text on a terminal, JSON lines elsewhere." },
  { name: "beat", env: "IBRL_BEAT", kind: "duration", group: "Timing", default: "5s", min: 200, max: 60_000, help: "Period of measuring, of the TTL pass and, in a small cluster, of user events." },
  { name: "heartbeat-min", env: "IBRL_HEARTBEAT_MIN", kind: "duration", group: "Timing", default: "100s", min: 1_000, max: 86_400_000, help: "Shortest period at which an unchanged catalog entry and KV state are written again; grows with the cluster." },
  { name: "validity-min", env: "IBRL_VALIDITY_MIN", kind: "duration", group: "Timing", default: "300s", min: 3_000, max: 86_400_000, help: "Shortest validity of a signed record; at least three heartbeats." },
] as const satisfies readonly SettingSpec[];

/** Variables that no other program should see. */
export const SECRET_VARIABLES: ReadonlySet<string> = new Set((SETTINGS as readonly SettingSpec[]).filter(({ secret }) => secret === true).map(({ env }) => env));

export type SettingName = (typeof SETTINGS)[number]["name"];
export interface PlacementSettings {
  placer: boolean;
  jobDrivers: readonly string[];
  /** Empty: the package's own. */
  jobTemplates: string;
  stopOnClientAfterMs: number;
  nomadDownAfterMs: number;
}

export interface SidecarSettings {
  stateDir: string;
  nodeName: string;
  advertiseAddr?: string;
  capabilities: readonly string[];
  trustMode: TrustMode;
  /** Hex, or paths of files. */
  operatorKeys: readonly string[];
  /** Path; empty: none. */
  allowListFile: string;
  grpcBind: HostPort;
  httpBind: HostPort;
  insecureBind: boolean;
  /** mTLS, and which ports speak it; absent: none. */
  tls?: { certFile: string; keyFile: string; clientCaFile: string; grpc: boolean; http: boolean };
  tlsAllow: readonly string[];
  /** Null: off. Undefined: the member address and the default port. */
  probeBind: HostPort | null | undefined;
  probeIntervalMs: number;
  probeWindowMs: number;
  probePeers: number;
  probeKeyFile: string;
  probeOpenRate: number;
  proofIntervalMs: number;
  countTraffic: boolean;
  usagePeriodMs: number;
  clusterPolicy: string;
  beaconEndpoint: string;
  /** Lower-case hex. */
  beaconNetworkKeys: readonly string[];
  /** Paths; empty: none. */
  beaconTls: { caFile: string; certFile: string; keyFile: string };
  beaconPrice: string;
  /** Empty: none. At most one of the two is set. */
  beaconPriceSchedule: string;
  beaconPriceScript: string;
  beaconReputation: number;
  /** CONSUL_* and NOMAD_* by their variable names, whatever brought them. */
  consulEnv: Record<string, string | undefined>;
  nomadEnv: Record<string, string | undefined>;
  nomadMetadata: boolean;
  placement: PlacementSettings;
  logLevel: "debug" | "info" | "warn" | "error";
  logFormat: "auto" | "json" | "text";
  beatMs: number;
  heartbeatMinMs: number;
  validityMinMs: number;
}

export function defaultStateDir(isRoot: boolean): string {
  return isRoot ? "/var/lib/hypercore-ibrl" : join(homedir(), ".local/state/hypercore-ibrl");
}

/** Throws SettingsError naming the first source that is wrong. */
export function resolveSettings(sources: SettingSources): SidecarSettings {
  refuseUnknownKeys(sources.file);
  const found = new Map(SETTINGS.map((spec) => [spec.name, lookUp(spec, sources)]));
  const text = (name: SettingName) => textOf(found.get(name));
  const number = (name: SettingName) => numberOf(found.get(name));
  const settings: SidecarSettings = {
    stateDir: text("state-dir") ?? defaultStateDir(sources.isRoot),
    nodeName: text("node-name") ?? sources.hostname,
    capabilities: listOf(found.get("capability")),
    trustMode: text("trust-mode") as TrustMode,
    operatorKeys: listOf(found.get("operator-key")),
    allowListFile: text("allow-list") ?? "",
    grpcBind: hostPortOf(found.get("grpc-bind-addr")),
    httpBind: hostPortOf(found.get("http-bind-addr")),
    insecureBind: text("insecure-bind") === "true",
    ...tlsOf((name) => ({ text: text(name) ?? "", where: found.get(name)?.where ?? "" })),
    tlsAllow: listOf(found.get("tls-allow")),
    probeBind: text("probe-bind-addr") === "" ? undefined : text("probe-bind-addr") === "off" ? null : hostPortOf(found.get("probe-bind-addr")),
    probeIntervalMs: number("probe-interval"),
    proofIntervalMs: number("proof-interval"),
    countTraffic: text("traffic-meter") !== "off",
    usagePeriodMs: number("usage-period"),
    probeWindowMs: number("probe-window"),
    probePeers: Math.floor(number("probe-peers")),
    probeKeyFile: text("probe-key-file") ?? "",
    probeOpenRate: Math.floor(number("probe-open-rate")),
    clusterPolicy: text("cluster-policy") ?? "",
    beaconEndpoint: text("beacon-endpoint") ?? "",
    beaconNetworkKeys: listOf(found.get("beacon-network-key")).map((key) => hexKeyOf(found.get("beacon-network-key"), key)),
    beaconTls: { caFile: text("beacon-ca-file") ?? "", certFile: text("beacon-cert-file") ?? "", keyFile: text("beacon-key-file") ?? "" },
    beaconPrice: text("beacon-price") ?? "",
    beaconPriceSchedule: text("beacon-price-schedule") ?? "",
    beaconPriceScript: text("beacon-price-script") ?? "",
    beaconReputation: number("beacon-reputation"),
    consulEnv: {},
    nomadEnv: {},
    nomadMetadata: text("nomad-metadata") === "true",
    placement: {
      placer: text("placer") === "true",
      jobDrivers: listOf(found.get("job-drivers")),
      jobTemplates: text("job-templates") ?? "",
      stopOnClientAfterMs: number("stop-on-client-after"),
      nomadDownAfterMs: number("nomad-down-after"),
    },
    logLevel: text("log-level") as SidecarSettings["logLevel"],
    logFormat: text("log-format") as SidecarSettings["logFormat"],
    beatMs: number("beat"),
    heartbeatMinMs: number("heartbeat-min"),
    validityMinMs: number("validity-min"),
  };
  if (settings.beaconPriceSchedule !== "" && settings.beaconPriceScript !== "") {
    const other = found.get("beacon-price-schedule")?.where ?? "";
    throw new SettingsError(found.get("beacon-price-script")?.where ?? "", `is given together with ${other}: the price comes from one of them`);
  }
  if (settings.usagePeriodMs % 1_000 !== 0 || 86_400_000 % settings.usagePeriodMs !== 0) {
    throw new SettingsError(found.get("usage-period")?.where ?? "", "does not divide a day into whole seconds");
  }
  if (settings.trustMode === "allow-list" && settings.operatorKeys.length === 0) {
    throw new SettingsError(found.get("trust-mode")?.where ?? "", "allow-list needs --operator-key: whose list counts");
  }
  const advertise = text("advertise-addr");
  if (advertise !== undefined) settings.advertiseAddr = advertise;
  for (const spec of SETTINGS as readonly SettingSpec[]) {
    const env = spec.group === "Consul" ? settings.consulEnv : spec.group === "Nomad" ? settings.nomadEnv : undefined;
    if (env !== undefined) env[spec.env] = text(spec.name as SettingName);
  }
  return settings;
}

/** All three files or none. */
function tlsOf(of: (name: SettingName) => { text: string; where: string }): Pick<SidecarSettings, "tls"> {
  const names = ["tls-cert-file", "tls-key-file", "tls-client-ca-file"] as const;
  const [certFile = "", keyFile = "", clientCaFile = ""] = names.map((name) => of(name).text);
  const given = names.find((name) => of(name).text !== "");
  if (given === undefined) return {};
  const missing = names.find((name) => of(name).text === "");
  if (missing !== undefined) throw new SettingsError(of(given).where, `is given without --${missing}: mTLS takes a certificate, its key and the clients' CA`);
  const ports = of("tls-ports").text;
  return { tls: { certFile, keyFile, clientCaFile, grpc: ports !== "http", http: ports !== "grpc" } };
}

function refuseUnknownKeys(file: SettingSources["file"]): void {
  for (const [key, value] of Object.entries(file?.content ?? {})) {
    const where = `"${key}" in ${file?.path ?? ""}`;
    if (!SETTINGS.some((spec) => spec.name === key)) {
      const near = SETTINGS.find((spec) => spec.name.includes(key) || key.includes(spec.name) || spec.name.replace(/-/g, "") === key.replace(/[-_]/g, "").toLowerCase());
      throw new SettingsError(where, `no such setting${near === undefined ? "; see docs/settings.md" : `; did you mean "${near.name}"?`}`);
    }
    const isList = Array.isArray(value) && value.every((item) => typeof item === "string");
    if (!isList && !["string", "number", "boolean"].includes(typeof value)) {
      throw new SettingsError(where, "takes a string, a number, true, false, or a list of strings");
    }
  }
}
