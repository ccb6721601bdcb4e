/** `hypercore sidecar` as a child process: the program that a user runs, from bin/run.js. */
import { join } from "node:path";
import { ManagedService, type NodeHost } from "./managed-service.js";
import { projectRoot } from "./project-root.js";

export interface SidecarSpec {
  nodeName: string;
  address: string;
  ports: { sidecarGrpc: number; sidecarHttp: number; sidecarProbe: number };
  /** host:port of the Consul agent beside it. */
  consulAddr: string;
  /** host:port; given even where no Nomad runs there yet, so that it never asks one of the machine's own. */
  nomadAddr: string;
  folder: string;
  host: NodeHost;
  /** Further flags, and variables, for `hypercore sidecar`. */
  args?: readonly string[];
  env?: Readonly<Record<string, string>>;
  /** As `program`. Default: this project's. */
  program?: string;
}

export class SidecarProcess extends ManagedService {
  /** bin/run.js of the version that the next start runs, with the same state folder: set and restarted, it is upgraded in place. */
  program: string;
  readonly nodeName: string;
  readonly httpAddr: string;
  readonly grpcAddr: string;

  constructor(spec: SidecarSpec) {
    const grpcAddr = `${spec.address}:${spec.ports.sidecarGrpc}`;
    const httpAddr = `${spec.address}:${spec.ports.sidecarHttp}`;
    super({
      name: `sidecar ${spec.nodeName}`,
      folder: spec.folder,
      host: spec.host,
      env: { CONSUL_HTTP_ADDR: spec.consulAddr, NOMAD_ADDR: `http://${spec.nomadAddr}`, ...spec.env },
      command: () => [
        process.execPath,
        this.program,
        "sidecar",
        `--state-dir=${join(spec.folder, "data")}`,
        `--grpc-bind-addr=${grpcAddr}`,
        `--http-bind-addr=${httpAddr}`,
        `--probe-bind-addr=${spec.address}:${spec.ports.sidecarProbe}`,
        ...(spec.args ?? []),
      ],
    });
    this.program = spec.program ?? join(projectRoot(), "bin", "run.js");
    this.nodeName = spec.nodeName;
    this.grpcAddr = grpcAddr;
    this.httpAddr = httpAddr;
  }

  /** Who can read it may ask the sidecar for changes. */
  get apiTokenFile(): string {
    return join(this.dataFolder, "api.token");
  }

  /** Its key, epoch and pins. Kept by a restart unless wiped. */
  get stateFolder(): string {
    return this.dataFolder;
  }

  /** /readyz answers 2xx. */
  protected async isReady(signal: AbortSignal): Promise<boolean> {
    const response = await this.request("/readyz", { signal });
    await response.body?.cancel();
    return response.ok;
  }

  protected async configure(): Promise<void> {
    // All of its settings are flags and variables.
  }
}
