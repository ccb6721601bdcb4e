/** One real Consul server with production timings on ports of its own, for the tests of the adapter. */
import { execFile } from "node:child_process";
import { randomBytes } from "node:crypto";
import { join } from "node:path";
import { promisify } from "node:util";
import { findBinary } from "../../src/dev/binaries.js";
import { ConsulAgent } from "../../src/dev/consul-agent.js";
import { reservePorts } from "../../src/dev/ports.js";
import type { Progress } from "../../src/dev/progress.js";
import { RunFolder } from "../../src/dev/run-folder.js";
import { type ConnectOptions, type ConsulConnection, connectConsul } from "../../src/sidecar/consul/connect.js";
import { consulSettingsFrom } from "../../src/sidecar/consul/settings.js";

/** Building Consul, where there is none, takes minutes. */
export const START_WITHIN_MS = 900_000;

const SILENT: Progress = { note: () => {}, step: () => ({ update: () => {}, done: () => {}, fail: () => {} }) };

export interface OneAgent {
  agent: ConsulAgent;
  folder: string;
  /** A port of the set for an HTTPS listener. */
  httpsPort: number;
  /** By CONSUL_* variables; closed with the agent. CONSUL_HTTP_ADDR is the agent's where it is not given. */
  connect(env?: Record<string, string>, options?: ConnectOptions): ConsulConnection;
  consul(...args: string[]): Promise<string>;
  stop(): Promise<void>;
}

/** What a test adds to the configuration may need the folder, a port, or files made with the program. */
export type ExtraConfig = (place: Pick<OneAgent, "folder" | "httpsPort" | "consul">) => Promise<Record<string, unknown>> | Record<string, unknown>;

export async function startOneAgent(extra: ExtraConfig = () => ({})): Promise<OneAgent> {
  const binary = await findBinary("consul", { env: process.env, progress: SILENT });
  // Far from the sets that `hypercore dev` takes first.
  const ports = await reservePorts(1, "addresses", 14);
  const run = RunFolder.create("ibrl-consul-test");
  const [endpoint] = ports.endpoints;
  if (endpoint === undefined) throw new Error("no ports were reserved");
  const httpsPort = endpoint.ports.sidecarGrpc;
  const consul = async (...args: string[]) => (await promisify(execFile)(binary.path, args, { cwd: run.path })).stdout;
  const agent = new ConsulAgent({
    nodeName: "contract-1",
    address: endpoint.address,
    ports: endpoint.ports,
    bootstrapExpect: 1,
    retryJoin: [],
    gossipKey: randomBytes(32).toString("base64"),
    datacenter: "dc1",
    ui: false,
    binary: binary.path,
    folder: join(run.path, "agent"),
    host: { run, env: { PATH: process.env["PATH"] ?? "" } },
    extraConfig: await extra({ folder: run.path, httpsPort, consul }),
  });
  const connections: ConsulConnection[] = [];
  const stop = async () => {
    for (const connection of connections) connection.close();
    await agent.stop();
    await run.remove();
    ports.release();
  };
  try {
    await agent.start();
    await agent.waitReady();
  } catch (error) {
    await stop();
    throw error;
  }
  const connect = (env: Record<string, string> = {}, options: ConnectOptions = {}) => {
    const connection = connectConsul(consulSettingsFrom({ CONSUL_HTTP_ADDR: agent.httpAddr, ...env }), options);
    connections.push(connection);
    return connection;
  };
  return { agent, folder: run.path, httpsPort, connect, consul, stop };
}
