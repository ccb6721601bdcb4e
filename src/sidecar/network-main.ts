/**
 * The composition root of `hypercore beacon serve`: a server of a beacon network, with a Consul cluster as its store. It is
 * no sidecar: it measures nothing, places nothing, and speaks for no node.
 */
import { status } from "@grpc/grpc-js";
import type { Logger } from "pino";
import { Counter, Gauge, Registry } from "prom-client";
import { KeyAdmission } from "../beacon/keys.js";
import { federatedName, type NodeView } from "../beacon/node-view.js";
import { formatHostPort } from "./api/bind-address.js";
import { CallerGuard } from "./api/caller.js";
import { GrpcNetwork } from "./api/grpc-network.js";
import { GrpcPort } from "./api/grpc-port.js";
import { HttpApi } from "./api/http-server.js";
import { BeaconNetworkDefinition, NETWORK_NAME } from "./api/service-definition.js";
import { TlsFiles } from "./api/tls-files.js";
import { Backoff } from "./backoff.js";
import { systemClock } from "./clock.js";
import { connectConsul } from "./consul/connect.js";
import { consulSettingsFrom } from "./consul/settings.js";
import { HealthLog } from "./health-log.js";
import { MemberLists } from "./network/member-lists.js";
import { NetworkBook, NETWORK_REFUSALS } from "./network/network-book.js";
import { NetworkDesk } from "./network/network-desk.js";
import { NetworkStore } from "./network/network-store.js";
import { Nonces } from "./network/nonces.js";
import { readOperatorKeys } from "./operator-keys.js";
import { PlacementError } from "./placement-error.js";
import type { SidecarSettings } from "./settings.js";
import { loadOrCreateApiToken } from "./state/api-token.js";
import { makeStateFolder } from "./state/atomic-file.js";
import { loadOrCreateIdentity } from "./state/identity.js";
import type { Workloads } from "./workloads.js";

/** A member holds one connection and one stream for as long as it lives, and asks for a listing every few beats. */
const LIMITS = { total: 4_096, perClient: 1_024, open: 4_096, openPerClient: 1_024 };
/** Above the bounds that refuse by name and are counted: a statement's and a proof file's. gRPC refuses what is larger unread. */
const MAX_REQUEST_BYTES = 1024 * 1024;
const DRAIN_MS = 2_000;

export type NetworkSettings = Pick<SidecarSettings, "stateDir" | "grpcBind" | "httpBind" | "insecureBind" | "tls" | "operatorKeys" | "consulEnv"> & {
  /** Paths of signed allow-lists, one of each member cluster. */
  admit: readonly string[];
};

/** Serves until the signal aborts. Rejects with SettingsError, ConsulSettingsError, StateError or BindError. */
export async function runBeaconNetwork(settings: NetworkSettings, logger: Logger, signal: AbortSignal): Promise<void> {
  const clock = systemClock;
  const keys = new KeyAdmission();
  const members = new MemberLists({ paths: settings.admit, operators: readOperatorKeys(settings.operatorKeys), keys, clock, logger });
  const consul = connectConsul(consulSettingsFrom(settings.consulEnv));
  const tls = settings.tls === undefined ? undefined : new TlsFiles(settings.tls, logger);
  makeStateFolder(settings.stateDir);
  const identity = loadOrCreateIdentity(settings.stateDir);
  const nonces = new Nonces(() => clock.monoMs());
  const book = new NetworkBook({ lists: members.held, keys, nonces, identity, clock });
  const { registry, accepted, refused, calls } = createNetworkMetrics(() => book.list().members.length);
  const store = new NetworkStore({ consul, book, clock, backoff: new Backoff(Math.random), health: new HealthLog({ dependency: "consul", logger, clock }) });
  const service = new GrpcNetwork({
    book, nonces, clock,
    // An operator's list names their keys: for the network itself that is what pinned means.
    desk: new NetworkDesk({ views: () => viewsOf(book, "pinned"), trusted: () => book.admitted, keys, identity, clock }),
    onAccepted: (member) => {
      accepted.inc();
      store.offer(member);
    },
    onRefused: (reason) => refused.inc({ reason }),
  });
  const ports = { insecureBind: settings.insecureBind, logger, limits: LIMITS };
  const grpc = new GrpcPort({ ...ports, bind: settings.grpcBind, tls: settings.tls?.grpc === true ? tls : undefined, maxRequestBytes: MAX_REQUEST_BYTES, onAnswer: (path, code) => calls.inc({ method: path.slice(path.lastIndexOf("/") + 1), code: status[code] ?? String(code) }) }, NETWORK_NAME);
  grpc.server.addService(BeaconNetworkDefinition, { Attest: service.attest, Heartbeat: service.heartbeat, ListNodes: service.list, QueryPolicy: service.queryPolicy, VerifyProof: service.verifyProof });
  const http = new HttpApi({
    ...ports, bind: settings.httpBind, tls: settings.tls?.http === true ? tls : undefined, registry, workloads: NO_WORKLOADS,
    guard: new CallerGuard({ apiToken: loadOrCreateApiToken(settings.stateDir), nomadToken: async () => ({ known: false, reason: "refused" }), allowed: [], logger }),
    reader: { list: async () => viewsOf(book, "federated") },
    readiness: { status: () => ({ ready: true, consul: store.state, standalone: false }) },
  });
  try {
    const addresses = { grpc: formatHostPort(await grpc.start()), http: formatHostPort(await http.start()) };
    grpc.setServing(true);
    logger.info({ ...addresses, networkKey: Buffer.from(identity.publicKey).toString("hex"), members: members.held.map(({ datacenter, nodes }) => `${datacenter}: ${String(nodes.length)}`), consul: consul.address }, "beacon network ready");
    await Promise.all([store.run(signal), members.run((lists) => {
      book.admit(lists);
      store.lookAgain();
    }, signal), tls?.run(clock, signal)]);
  } finally {
    await Promise.all([grpc.close(DRAIN_MS), http.close(DRAIN_MS)]);
    consul.close();
  }
}

function createNetworkMetrics(live: () => number) {
  const registry = new Registry();
  const registers = [registry];
  const accepted = new Counter({ name: "hypercore_ibrl_network_statements_total", help: "Statements of nodes that this server took.", registers });
  const refused = new Counter({ name: "hypercore_ibrl_network_refused_total", help: "Statements that it refused, by reason.", labelNames: ["reason"], registers });
  for (const reason of NETWORK_REFUSALS) refused.inc({ reason }, 0);
  new Gauge({ name: "hypercore_ibrl_network_nodes", help: "Nodes whose beacon is within its validity.", registers, collect() { this.set(live()); } });
  const calls = new Counter({ name: "hypercore_ibrl_network_calls_total", help: "Calls by method and gRPC status; one whose message is too large to be read counts as CANCELLED.", labelNames: ["method", "code"], registers });
  return { registry, accepted, refused, calls };
}

function viewsOf(book: NetworkBook, trust: "federated" | "pinned"): NodeView[] {
  return book.list().members.map(({ member: { beacon } }) => ({ name: federatedName(beacon.record), id: "", address: "", datacenter: beacon.record.datacenter, trust, beacon }));
}

const refuse = (): Promise<never> => Promise.reject(new PlacementError("not-a-placer", "a beacon network runs no workloads"));
const NO_WORKLOADS: Workloads = {
  spawn: refuse,
  stop: refuse,
  logs: refuse,
  // oxlint-disable-next-line require-yield -- it refuses before it has anything
  follow: async function* () {
    await refuse();
  },
};
