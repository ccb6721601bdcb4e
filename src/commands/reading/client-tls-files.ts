/** The client's side of mTLS, from the files that --tls-ca, --tls-cert and --tls-key name. */
import { readFileSync } from "node:fs";
import { createSecureContext } from "node:tls";
import type { ClientTls } from "../../sidecar/api/client-tls.js";
import { UsageError } from "./usage-error.js";

export type TlsFlags = Partial<Record<"tls-ca" | "tls-cert" | "tls-key" | "tls-server-name", string | undefined>>;

/** Undefined where no flag is given: plain text. Throws UsageError. */
export function clientTlsFrom(flags: TlsFlags): ClientTls | undefined {
  const { "tls-ca": ca, "tls-cert": cert, "tls-key": key, "tls-server-name": serverName } = flags;
  if ([ca, cert, key, serverName].every((value) => value === undefined || value === "")) return undefined;
  if ((cert === undefined) !== (key === undefined)) throw new UsageError("--tls-cert and --tls-key go together: a certificate and its key");
  const tls: ClientTls = {
    ...(ca === undefined ? {} : { ca: fileOf("--tls-ca", ca) }),
    ...(cert === undefined ? {} : { cert: fileOf("--tls-cert", cert) }),
    ...(key === undefined ? {} : { key: fileOf("--tls-key", key) }),
    ...(serverName === undefined ? {} : { serverName }),
  };
  try {
    createSecureContext(tls);
  } catch (error) {
    throw new UsageError(`--tls-ca, --tls-cert and --tls-key: these files cannot be used together (${(error as NodeJS.ErrnoException).code ?? "unknown error"})`);
  }
  return tls;
}

function fileOf(flag: string, path: string): Buffer {
  try {
    return readFileSync(path);
  } catch (error) {
    throw new UsageError(`${flag} ${path} cannot be read (${(error as NodeJS.ErrnoException).code ?? "unknown error"})`);
  }
}
