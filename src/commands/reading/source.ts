/**
 * Where the nodes come from: a sidecar's gRPC, or Consul itself. Either way every record is verified here. What a
 * source needs is loaded when it is opened, so that `--help` and a bad flag cost none of it.
 */
import type { NodeView } from "../../beacon/node-view.js";
import type { ServiceNodes } from "../../policy/candidates.js";
import type { StoredDocument, StoredRecords } from "../../sidecar/stored-records.js";
import type { ClientTls } from "../../sidecar/api/client-tls.js";
import type { ReaderTrust } from "../../sidecar/api/consul-reader.js";
import type { ConsulConnection } from "../../sidecar/consul/connect.js";
import { clientTlsFrom, type TlsFlags } from "./client-tls-files.js";
import { hostPort, type ReadingFlags, type TrustFlags } from "./flags.js";
import { UsageError } from "./usage-error.js";

export interface Source {
  /** For people: "the sidecar at 127.0.0.1:8000". */
  readonly name: string;
  /** Rejects with ApiError or ConsulError. */
  read(signal: AbortSignal, onProgress: (step: string) => void): Promise<NodeView[]>;
  /** SHA-256 of the scores as the sidecar computed them over the records read last; undefined straight from Consul. */
  servedReputationSha256(): string | undefined;
  /** Decisions and policies of KV, unverified. */
  readonly stored: StoredRecords;
  /** Where Consul's services run. Rejects with ApiError or ConsulError. */
  services(names: readonly string[]): Promise<ServiceNodes>;
  /** The asked sidecar's policy of the cluster, unverified; undefined where it has none, and straight from Consul. */
  clusterPolicy(): Promise<StoredDocument | undefined>;
  close(): void;
}

type Environment = Readonly<Record<string, string | undefined>>;

/** Asks nobody yet. Rejects with UsageError, or ConsulSettingsError where a CONSUL_* variable cannot be used. */
export async function openSource(flags: Pick<ReadingFlags, "consul" | "datacenter" | "grpc-addr"> & TlsFlags & TrustFlags, env: Environment): Promise<Source> {
  return flags.consul ? consulSource(env, flags.datacenter, flags) : sidecarSource(hostPort(flags["grpc-addr"]), clientTlsFrom(flags));
}

async function sidecarSource(address: string, tls: ClientTls | undefined): Promise<Source> {
  const [{ listCluster }, { askForClusterPolicy, findServices, storedAt }, { KeyAdmission }, { silenceGrpcLog }] = await Promise.all([
    import("../../sidecar/api/client.js"),
    import("../../sidecar/api/policy-client.js"),
    import("../../beacon/keys.js"),
    import("../../sidecar/api/grpc-log.js"),
  ]);
  silenceGrpcLog();
  const keys = new KeyAdmission(); // judging a key costs milliseconds: once for a whole --watch
  let served: string | undefined;
  return {
    name: `the sidecar at ${address}`,
    read: async (signal) => {
      const listing = await listCluster({ address, tls, keys, signal });
      served = listing.servedReputationSha256;
      return listing.views;
    },
    servedReputationSha256: () => served,
    stored: storedAt({ address, tls }),
    services: (names) => findServices(names, { address, tls }),
    clusterPolicy: () => askForClusterPolicy({ address, tls }),
    close: () => {},
  };
}

async function consulSource(env: Environment, given: string | undefined, flags: TrustFlags): Promise<Source> {
  const [{ readCluster }, { storedIn }, { serviceNodes }, trust, { consul, datacenter }] = await Promise.all([
    import("../../sidecar/api/consul-reader.js"),
    import("../../sidecar/stored-records.js"),
    import("../../sidecar/service-nodes.js"),
    trustFrom(flags),
    openConsul(env, given),
  ]);
  const at = datacenter === undefined ? {} : { datacenter };
  return {
    name: `Consul at ${consul.address}`,
    read: (signal, onProgress) => readCluster(consul, { datacenter, trust, signal, onProgress }),
    servedReputationSha256: () => undefined,
    stored: storedIn(consul, at),
    services: (names) => serviceNodes(consul, names, at),
    clusterPolicy: async () => undefined,
    close: () => consul.close(),
  };
}

/** Asks nobody yet; `datacenter` undefined is the agent's own. Rejects with ConsulSettingsError. */
export async function openConsul(env: Environment, datacenter: string | undefined): Promise<{ consul: ConsulConnection; datacenter: string | undefined }> {
  const [{ connectConsul }, { consulSettingsFrom }] = await Promise.all([import("../../sidecar/consul/connect.js"), import("../../sidecar/consul/settings.js")]);
  const settings = consulSettingsFrom(env);
  const chosen = datacenter ?? settings.datacenter;
  return { consul: connectConsul({ ...settings, datacenter: chosen }), datacenter: chosen ?? undefined };
}

/** Rejects with UsageError or SettingsError. */
async function trustFrom(flags: TrustFlags): Promise<ReaderTrust> {
  const [{ readOperatorKeys }, { readFile }] = await Promise.all([import("../../sidecar/operator-keys.js"), import("node:fs/promises")]);
  const mode = flags["trust-mode"] ?? "first-use";
  const operators = readOperatorKeys(flags["operator-key"] ?? []);
  if (mode === "allow-list" && operators.size === 0) throw new UsageError("--trust-mode allow-list needs --operator-key: whose list counts");
  const path = flags["allow-list"];
  const file = path === undefined ? undefined : await readFile(path).catch((error: Error) => Promise.reject(new UsageError(`--allow-list ${path}: ${error.message}`)));
  return { mode, operators, ...(file === undefined ? {} : { file }) };
}
