/**
 * Reads the certificates that the settings name. A file that cannot be read is an error that names its variable and
 * its path, and so is one that holds no certificate or the key of another. Read once, when the client is made: new certificates are taken up by a restart.
 */
import { X509Certificate } from "node:crypto";
import { readdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import { type ConnectionOptions, createSecureContext } from "node:tls";
import { NomadSettingsError, type NomadTlsSettings } from "./settings.js";

/** Options for node:https. Rejects with NomadSettingsError. */
export async function loadTls(settings: NomadTlsSettings): Promise<ConnectionOptions> {
  const options: ConnectionOptions = { rejectUnauthorized: !settings.skipVerify };
  if (settings.serverName !== undefined) options.servername = settings.serverName;
  if (settings.caFile !== undefined) options.ca = await authority("NOMAD_CACERT", settings.caFile);
  else if (settings.caPath !== undefined) options.ca = await pemFolder("NOMAD_CAPATH", settings.caPath);
  if (settings.certFile !== undefined) options.cert = await pem("NOMAD_CLIENT_CERT", settings.certFile);
  if (settings.keyFile !== undefined) options.key = await pem("NOMAD_CLIENT_KEY", settings.keyFile);
  // OpenSSL's verdict now, with the variable's name, instead of a bare exception out of each request.
  const { cert, key } = options;
  if (cert !== undefined) usable("NOMAD_CLIENT_CERT", "the certificate and NOMAD_CLIENT_KEY", () => createSecureContext({ cert, key }));
  return options;
}

/** Checked here because OpenSSL passes over an authority that it cannot read, and then trusts nobody. */
async function authority(variable: string, path: string): Promise<string> {
  const text = await pem(variable, path);
  usable(variable, path, () => new X509Certificate(text));
  return text;
}

function usable(variable: string, what: string, attempt: () => unknown): void {
  try {
    attempt();
  } catch (cause) {
    const errno = (cause as NodeJS.ErrnoException).code ?? "unknown error";
    throw new NomadSettingsError(variable, `${what} cannot be used (${errno})`, { cause });
  }
}

async function pem(variable: string, path: string): Promise<string> {
  const text = await reading(variable, path, () => readFile(path, "utf8"));
  if (!text.includes("-----BEGIN ")) throw new NomadSettingsError(variable, `${path} holds no PEM block`);
  return text;
}

/** Every file directly in the folder, by name; sub-folders are left alone. */
async function pemFolder(variable: string, folder: string): Promise<string[]> {
  const entries = await reading(variable, folder, () => readdir(folder, { withFileTypes: true }));
  const files = entries.filter((entry) => !entry.isDirectory()).map((entry) => join(folder, entry.name));
  if (files.length === 0) throw new NomadSettingsError(variable, `${folder} holds no file`);
  // One after another, so that of several unusable files always the same one is named.
  const authorities: string[] = [];
  for (const file of files.sort()) authorities.push(await authority(variable, file));
  return authorities;
}

async function reading<T>(variable: string, path: string, read: () => Promise<T>): Promise<T> {
  try {
    return await read();
  } catch (cause) {
    const errno = (cause as NodeJS.ErrnoException).code ?? "unknown error";
    throw new NomadSettingsError(variable, `${path} cannot be read (${errno})`, { cause });
  }
}
