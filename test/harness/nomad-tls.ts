/** A certificate authority of Nomad's own making, with one certificate for its agents and one for who asks them. */
import { execFile } from "node:child_process";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { promisify } from "node:util";
import type { HttpsAccess } from "../../src/dev/https-access.js";

export interface NomadTls {
  /** `tls` of every agent's configuration: both ways, on HTTP and between agents. */
  config: Readonly<Record<string, unknown>>;
  /** NOMAD_* of a caller, its address aside. */
  env: Readonly<Record<string, string>>;
  access: HttpsAccess;
}

/** Writes into `folder`, which must be there. The agents may have these addresses. */
export async function nomadTls(binary: string, folder: string, addresses: readonly string[]): Promise<NomadTls> {
  const pem = (name: string): string => join(folder, `${name}.pem`);
  for (const args of [["ca", "create"], ["cert", "create", "-server", ...addresses.map((address) => `-additional-ipaddress=${address}`)], ["cert", "create", "-cli"]]) {
    await promisify(execFile)(binary, ["tls", ...args], { cwd: folder });
  }
  const [ca, cert, key] = await Promise.all(["nomad-agent-ca", "global-cli-nomad", "global-cli-nomad-key"].map((name) => readFile(pem(name), "utf8")));
  return {
    config: {
      http: true,
      rpc: true,
      verify_https_client: true,
      verify_server_hostname: true,
      ca_file: pem("nomad-agent-ca"),
      cert_file: pem("global-server-nomad"),
      key_file: pem("global-server-nomad-key"),
    },
    env: {
      NOMAD_CACERT: pem("nomad-agent-ca"),
      NOMAD_CLIENT_CERT: pem("global-cli-nomad"),
      NOMAD_CLIENT_KEY: pem("global-cli-nomad-key"),
      NOMAD_TLS_SERVER_NAME: "server.global.nomad",
    },
    access: { ca: ca ?? "", cert: cert ?? "", key: key ?? "", token: "" },
  };
}
