/** The flags of every command that reads the cluster: where from, which nodes, how often. */
import { Flags, type Interfaces } from "@oclif/core";
import { TRUST_MODES } from "../../beacon/trust-policy.js";
import { SORT_KEYS } from "./sort.js";
import { UsageError } from "./usage-error.js";

/** The period of the sidecar's own measuring; more often shows nothing new. */
const DEFAULT_INTERVAL = "5s";
const MIN_INTERVAL_MS = 100;
const MAX_INTERVAL_MS = 86_400_000;

const source = "READING";
const choice = "CHOOSING";

/** For commands that verify for themselves: whom to believe. docs/trust.md. */
export const trustFlags = {
  "trust-mode": Flags.option({
    summary: "With --consul: whom to believe. Default: first-use, which is what KV pins, for a reader without a history.",
    helpGroup: source,
    options: TRUST_MODES,
    dependsOn: ["consul"],
  })(),
  "operator-key": Flags.string({
    summary: "With --consul: public key of an operator whose allow-list counts, 64 hex digits or a file with one a line. Repeatable.",
    helpValue: "HEX|FILE",
    helpGroup: source,
    multiple: true,
    multipleNonGreedy: true,
    dependsOn: ["consul"],
  }),
  "allow-list": Flags.file({
    summary: "With --consul: file with a signed allow-list; an older one in KV does not count then.",
    helpGroup: source,
    dependsOn: ["consul"],
  }),
};
export type TrustFlags = Partial<Interfaces.InferredFlags<typeof trustFlags>>;

/** Of every command that calls a sidecar. */
export const tlsFlags = {
  "tls-ca": Flags.string({
    summary: "Of a sidecar that speaks mTLS: PEM certificates of the CA that signed its certificate.",
    env: "IBRL_TLS_CA",
    helpValue: "FILE",
    helpGroup: source,
  }),
  "tls-cert": Flags.string({ summary: "PEM certificate to show to it.", env: "IBRL_TLS_CERT", helpValue: "FILE", helpGroup: source }),
  "tls-key": Flags.string({ summary: "PEM key of that certificate.", env: "IBRL_TLS_KEY", helpValue: "FILE", helpGroup: source }),
  "tls-server-name": Flags.string({
    summary: "Name that its certificate must have: a DNS name, an address or a SPIFFE URI. Default: the host of --grpc-addr.",
    env: "IBRL_TLS_SERVER_NAME",
    helpValue: "NAME",
    helpGroup: source,
  }),
};

export const readingFlags = {
  "grpc-addr": Flags.string({
    summary: "gRPC address of the sidecar to ask.",
    env: "IBRL_GRPC_ADDR",
    default: "127.0.0.1:8000",
    helpValue: "HOST:PORT",
    helpGroup: source,
  }),
  ...tlsFlags,
  consul: Flags.boolean({
    summary: "Read straight from Consul (CONSUL_HTTP_ADDR and the other CONSUL_* variables) and verify here, without a sidecar.",
    helpGroup: source,
  }),
  datacenter: Flags.string({
    summary: "With --consul: the datacenter to read. Default: the agent's own.",
    helpValue: "NAME",
    helpGroup: source,
    dependsOn: ["consul"],
  }),
  ...trustFlags,
  strict: Flags.boolean({
    summary: "Exit with 3 where a node's record fails verification.",
    helpGroup: source,
  }),
  watch: Flags.boolean({
    summary: "Read again and again until Ctrl-C: in place on a terminal, one after the other in a pipe, as one line each with --json.",
    helpGroup: source,
  }),
  interval: Flags.string({
    summary: `With --watch: time between two reads, such as 2s or 500ms. Default: ${DEFAULT_INTERVAL}.`,
    helpValue: "TIME",
    helpGroup: source,
    dependsOn: ["watch"],
  }),
  node: Flags.string({
    summary: "Only this node, by name, node ID or beacon ID (four characters of an ID are enough). Repeatable.",
    helpValue: "NAME|ID",
    helpGroup: choice,
    multiple: true,
    multipleNonGreedy: true,
  }),
  filter: Flags.string({
    summary: "Only nodes of which this holds, such as latency<=20, price<0.02, loss<1%, capability=vm, trust=pinned or jitter!=unknown. Repeatable: all must hold.",
    helpValue: "EXPR",
    helpGroup: choice,
    multiple: true,
    multipleNonGreedy: true,
  }),
  sort: Flags.option({
    summary: "Best first, unknown last.",
    helpGroup: choice,
    options: SORT_KEYS,
    default: "name" as const,
  })(),
};

export type ReadingFlags = Interfaces.InferredFlags<typeof readingFlags>;

/** HOST:PORT or [IPv6]:PORT. Throws UsageError. */
export function hostPort(text: string): string {
  const [, port] = /^(?:\[[0-9A-Fa-f:.]+\]|[^\s:/[\]]+):(\d{1,5})$/.exec(text) ?? [];
  if (port === undefined || Number(port) < 1 || Number(port) > 65_535) {
    throw new UsageError(`--grpc-addr (IBRL_GRPC_ADDR) ${JSON.stringify(text)}: write HOST:PORT, such as 127.0.0.1:8000 or [::1]:8000`);
  }
  return text;
}

/** A number with `ms`, `s` or `min`; seconds without. Throws UsageError. */
export function intervalMs(text: string = DEFAULT_INTERVAL): number {
  const [, digits, unit = "s"] = /^(\d+(?:\.\d+)?)(ms|s|min)?$/.exec(text) ?? [];
  const ms = Math.round(Number(digits) * { ms: 1, s: 1_000, min: 60_000 }[unit as "ms" | "s" | "min"]);
  if (!(ms >= MIN_INTERVAL_MS && ms <= MAX_INTERVAL_MS)) {
    throw new UsageError(`--interval ${JSON.stringify(text)}: write a time from ${String(MIN_INTERVAL_MS)}ms to a day, such as 2s`);
  }
  return ms;
}
