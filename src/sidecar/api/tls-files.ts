/**
 * The certificate, the key and the client CA of the ports, from files that others write (openssl, consul, a Vault agent):
 * looked at every few seconds and taken up when they changed. Connections that stand keep what they began with. Three
 * files are not written at one instant, so a set that does not fit is looked at once more before it is said; the last
 * good one goes on meanwhile.
 */
import { X509Certificate } from "node:crypto";
import { readFileSync, statSync } from "node:fs";
import { createSecureContext, type Server, type TlsOptions } from "node:tls";
import type { Logger } from "pino";
import type { Clock } from "../clock.js";
import { SettingsError } from "../settings.js";

export interface TlsPaths {
  certFile: string;
  keyFile: string;
  clientCaFile: string;
}

const LOOK_MS = 2_000;
/** A client that connects and does not shake hands. */
const HANDSHAKE_MS = 10_000;

interface Pem {
  cert: Buffer;
  key: Buffer;
  ca: Buffer;
}

export class TlsFiles {
  readonly #servers = new Set<Server>();
  #pem: Pem;
  #mark: string;
  #failed: { mark: string; said: boolean } | undefined;

  /** Throws SettingsError that names the file. */
  constructor(
    private readonly paths: TlsPaths,
    private readonly logger: Logger,
  ) {
    this.#mark = markOf(paths);
    this.#pem = read(paths);
    this.#tell("serving mTLS");
  }

  /** For the making of a server, which `keep` then keeps up to date. */
  get options(): TlsOptions {
    return { ...this.#pem, requestCert: true, rejectUnauthorized: true, minVersion: "TLSv1.2", handshakeTimeout: HANDSHAKE_MS };
  }

  /** As a client of the peers' ports: they take the certificates of the same authority. */
  get client(): { ca: Buffer; cert: Buffer; key: Buffer } {
    return this.#pem;
  }

  keep(server: Server): void {
    this.#servers.add(server);
  }

  async run(clock: Clock, signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      await clock.sleep(LOOK_MS, signal);
      if (!signal.aborted) this.look();
    }
  }

  /** One look at the files. */
  look(): void {
    const mark = markOf(this.paths);
    if (mark === this.#mark) {
      this.#failed = undefined;
      return;
    }
    try {
      this.#pem = read(this.paths);
      for (const server of this.#servers) server.setSecureContext({ ...this.#pem, minVersion: "TLSv1.2" });
      this.#mark = mark;
      this.#failed = undefined;
      this.#tell("new TLS files are in use for new connections");
    } catch (error) {
      const again = this.#failed?.mark === mark;
      if (again && this.#failed?.said !== true) {
        this.logger.error({ reason: error instanceof Error ? error.message : String(error) }, "new TLS files cannot be used: the ones before stay in use");
      }
      this.#failed = { mark, said: again };
    }
  }

  #tell(message: string): void {
    const { subject, validTo, fingerprint256 } = new X509Certificate(this.#pem.cert);
    this.logger.info({ certFile: this.paths.certFile, subject, validTo, fingerprint256 }, message);
    if (Date.parse(validTo) < Date.now()) this.logger.error({ certFile: this.paths.certFile, validTo }, "the certificate has ended: clients will refuse it");
  }
}

/** Changes when a file does, or what a link points at. */
function markOf({ certFile, keyFile, clientCaFile }: TlsPaths): string {
  return [certFile, keyFile, clientCaFile].map((path) => {
    const stat = statSync(path, { bigint: true, throwIfNoEntry: false });
    return stat === undefined ? "none" : `${stat.ino}:${stat.size}:${stat.mtimeNs}`;
  }).join(" ");
}

/** Throws SettingsError. */
function read({ certFile, keyFile, clientCaFile }: TlsPaths): Pem {
  const cert = pem("--tls-cert-file", certFile, "CERTIFICATE");
  const key = pem("--tls-key-file", keyFile, "PRIVATE KEY");
  const ca = pem("--tls-client-ca-file", clientCaFile, "CERTIFICATE");
  usable("--tls-client-ca-file", `${clientCaFile} holds no usable certificate`, () => new X509Certificate(ca));
  usable("--tls-cert-file", `${certFile} holds no usable certificate`, () => new X509Certificate(cert));
  usable("--tls-key-file", `${keyFile} is not the key of ${certFile}`, () => createSecureContext({ cert, key, ca }));
  return { cert, key, ca };
}

function pem(where: string, path: string, label: string): Buffer {
  let content: Buffer;
  try {
    content = readFileSync(path);
  } catch (error) {
    throw new SettingsError(where, `${path} cannot be read (${(error as NodeJS.ErrnoException).code ?? "unknown error"})`);
  }
  if (!content.includes(`${label}-----`)) throw new SettingsError(where, `${path} holds no PEM ${label.toLowerCase()}`);
  return content;
}

function usable(where: string, problem: string, attempt: () => unknown): void {
  try {
    attempt();
  } catch (error) {
    throw new SettingsError(where, `${problem} (${(error as NodeJS.ErrnoException).code ?? "unknown error"})`);
  }
}
