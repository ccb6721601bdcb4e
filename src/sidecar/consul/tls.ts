/**
 * The socket side of the connection: an http(s) agent that carries everything about where and how to
 * connect. Agent options win over request options in Node, which is what lets the `consul` package
 * reach a unix socket, an IPv6 address (it would look up `[::1]`, brackets included, in DNS) and a
 * server under another name.
 */
import { readFileSync, readdirSync, statSync } from "node:fs";
import { Agent as HttpAgent } from "node:http";
import { Agent as HttpsAgent, type AgentOptions } from "node:https";
import { isIP } from "node:net";
import { join } from "node:path";
import { type SecureContext, checkServerIdentity, createSecureContext, rootCertificates } from "node:tls";
import type { ConsulSettings, ConsulTlsSettings } from "./settings.js";
import { ConsulSettingsError } from "./settings-error.js";

/** Idle sockets kept for the next call; blocking reads hold theirs while they wait. */
const MAX_FREE_SOCKETS = 8;

/** Reads the certificate files. Throws ConsulSettingsError, which names the variable of the file. */
export function socketAgent(settings: ConsulSettings): HttpAgent {
  const { scheme, host, port, socketPath } = settings.address;
  const where = socketPath === null ? { host, port } : { socketPath };
  const options = { ...where, keepAlive: true, maxFreeSockets: MAX_FREE_SOCKETS };
  return scheme === "https" ? new HttpsAgent({ ...options, ...tlsOptions(settings.tls) }) : new HttpAgent(options);
}

/** One secure context for all sockets: given as `ca`, the whole bundle would be parsed again for each. */
function tlsOptions(tls: ConsulTlsSettings): AgentOptions {
  const options: AgentOptions = { rejectUnauthorized: tls.verify, secureContext: secureContext(tls) };
  if (tls.serverName !== null) {
    const name = tls.serverName;
    // RFC 6066 has no IP address in SNI; the certificate is checked for it all the same.
    options.servername = isIP(name) ? "" : name;
    options.checkServerIdentity = (_host, certificate) => checkServerIdentity(name, certificate);
  }
  return options;
}

function secureContext(tls: ConsulTlsSettings): SecureContext {
  const ca = authorities(tls);
  try {
    createSecureContext({ ca });
  } catch (cause) {
    const variable = tls.caFile === null ? "CONSUL_CAPATH" : "CONSUL_CACERT";
    const problem = `${tls.caFile ?? tls.caPath ?? "the system's list"} holds no valid certificate: name a PEM file`;
    throw new ConsulSettingsError(variable, problem, { cause });
  }
  if (tls.certFile === null || tls.keyFile === null) return createSecureContext({ ca });
  const cert = pem(tls.certFile, "CONSUL_CLIENT_CERT");
  const key = pem(tls.keyFile, "CONSUL_CLIENT_KEY");
  try {
    return createSecureContext({ ca, cert, key });
  } catch (cause) {
    const problem = `${tls.keyFile} is not the PEM key of the certificate ${tls.certFile} (CONSUL_CLIENT_CERT)`;
    throw new ConsulSettingsError("CONSUL_CLIENT_KEY", problem, { cause });
  }
}

/** CONSUL_CACERT, else CONSUL_CAPATH, else what the system trusts: the CLI's order (go-rootcerts). */
function authorities(tls: ConsulTlsSettings): string[] {
  if (tls.caFile !== null) return [pem(tls.caFile, "CONSUL_CACERT")];
  if (tls.caPath !== null) return pemFolder(tls.caPath);
  return [...rootCertificates, ...systemBundle()];
}

function pem(path: string, variable: string): string {
  let content: string;
  try {
    content = readFileSync(path, "utf8");
  } catch (cause) {
    throw new ConsulSettingsError(variable, `cannot read ${path}: name a PEM file`, { cause });
  }
  if (!content.includes("-----BEGIN ")) throw new ConsulSettingsError(variable, `${path} holds no PEM: name a PEM file`);
  return content;
}

/** Every file of the folder and below must be PEM, as with the CLI. */
function pemFolder(folder: string): string[] {
  let names: string[];
  try {
    names = readdirSync(folder, { recursive: true, encoding: "utf8" }).sort();
  } catch (cause) {
    const problem = `cannot read the folder ${folder}: name a folder of PEM files`;
    throw new ConsulSettingsError("CONSUL_CAPATH", problem, { cause });
  }
  const isFolder = (path: string) => statSync(path, { throwIfNoEntry: false })?.isDirectory() === true;
  const paths = names.map((name) => join(folder, name)).filter((path) => !isFolder(path));
  return paths.map((path) => pem(path, "CONSUL_CAPATH"));
}

/** The places Go looks in on Linux (crypto/x509/root_linux.go): Node brings its own list instead of the system's. */
const SYSTEM_BUNDLES = [
  "/etc/ssl/certs/ca-certificates.crt",
  "/etc/pki/tls/certs/ca-bundle.crt",
  "/etc/ssl/ca-bundle.pem",
  "/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem",
  "/etc/ssl/cert.pem",
];

function systemBundle(): string[] {
  for (const path of SYSTEM_BUNDLES) {
    try {
      return [readFileSync(path, "utf8")];
    } catch {
      // Not this distribution's place; without any, Node's own list stands.
    }
  }
  return [];
}
