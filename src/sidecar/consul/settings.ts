/**
 * Settings of the connection to Consul, from the variables of the Consul CLI and with its meaning
 * (consul api/api.go, defaultConfig and NewClient): an empty variable is an unset one, a token file
 * wins over a token, TLS is verified unless CONSUL_HTTP_SSL_VERIFY says no. Where the CLI only warns
 * (a boolean it cannot read) we refuse: it would go on without TLS, or without verifying.
 * Pure: no file is read here.
 */
import { isIP } from "node:net";
import { type ConsulAddress, parseConsulAddress } from "./address.js";
import { ConsulSettingsError } from "./settings-error.js";

export interface ConsulTlsSettings {
  verify: boolean;
  caFile: string | null;
  /** A folder of PEM files; used where there is no `caFile`. */
  caPath: string | null;
  certFile: string | null;
  keyFile: string | null;
  serverName: string | null;
}

export interface ConsulSettings {
  address: ConsulAddress;
  tls: ConsulTlsSettings;
  /** Used where there is no token file, or where that file is empty. */
  token: string | null;
  tokenFile: string | null;
  basicAuth: { username: string; password: string } | null;
  /** null: the datacenter of the agent. */
  datacenter: string | null;
}

type Environment = Readonly<Record<string, string | undefined>>;

/** Throws ConsulSettingsError. */
export function consulSettingsFrom(env: Environment): ConsulSettings {
  refuseEnterprise(env);
  const ssl = boolean(env, "CONSUL_HTTP_SSL") ?? false;
  return {
    address: parseConsulAddress(text(env, "CONSUL_HTTP_ADDR") ?? "127.0.0.1:8500", ssl),
    tls: tlsSettings(env),
    token: token(env),
    tokenFile: text(env, "CONSUL_HTTP_TOKEN_FILE"),
    basicAuth: basicAuth(text(env, "CONSUL_HTTP_AUTH")),
    datacenter: datacenter(text(env, "CONSUL_DATACENTER")),
  };
}

function tlsSettings(env: Environment): ConsulTlsSettings {
  const certFile = text(env, "CONSUL_CLIENT_CERT");
  const keyFile = text(env, "CONSUL_CLIENT_KEY");
  if (certFile !== null && keyFile === null) {
    throw new ConsulSettingsError("CONSUL_CLIENT_KEY", "needed beside CONSUL_CLIENT_CERT: the path of the key's PEM file");
  }
  if (keyFile !== null && certFile === null) {
    throw new ConsulSettingsError("CONSUL_CLIENT_CERT", "needed beside CONSUL_CLIENT_KEY: the path of the certificate's PEM file");
  }
  return {
    verify: boolean(env, "CONSUL_HTTP_SSL_VERIFY") ?? true,
    caFile: text(env, "CONSUL_CACERT"),
    caPath: text(env, "CONSUL_CAPATH"),
    certFile,
    keyFile,
    serverName: serverName(text(env, "CONSUL_TLS_SERVER_NAME")),
  };
}

function refuseEnterprise(env: Environment): void {
  for (const variable of ["CONSUL_NAMESPACE", "CONSUL_PARTITION"]) {
    if (text(env, variable) === null) continue;
    throw new ConsulSettingsError(
      variable,
      "namespaces and admin partitions are Consul Enterprise, which IBRL does not support: unset it (one IBRL cluster is one Consul datacenter)",
    );
  }
}

function text(env: Environment, variable: string): string | null {
  const value = env[variable];
  return value === undefined || value === "" ? null : value;
}

/** The spellings of Go's strconv.ParseBool, which the CLI uses. */
function boolean(env: Environment, variable: string): boolean | null {
  const value = text(env, variable);
  if (value === null) return null;
  if (/^(1|t|T|true|TRUE|True)$/.test(value)) return true;
  if (/^(0|f|F|false|FALSE|False)$/.test(value)) return false;
  throw new ConsulSettingsError(variable, "neither true nor false: write true or false");
}

/** What may stand in a header. A stray newline is the usual mistake. */
export const TOKEN_FORM = /^[\x21-\x7e]+$/;

function token(env: Environment): string | null {
  const value = text(env, "CONSUL_HTTP_TOKEN");
  if (value !== null && !TOKEN_FORM.test(value)) {
    throw new ConsulSettingsError(
      "CONSUL_HTTP_TOKEN",
      "has a space, a newline or another character that no token has: write the token's SecretID",
    );
  }
  return value;
}

function basicAuth(value: string | null): ConsulSettings["basicAuth"] {
  if (value === null) return null;
  const colon = value.indexOf(":");
  if (colon < 0) return { username: value, password: "" };
  return { username: value.slice(0, colon), password: value.slice(colon + 1) };
}

/** The CLI accepts, and drops, a port here (SetupTLSConfig). */
function serverName(value: string | null): string | null {
  if (value === null) return null;
  const name = isIP(value) ? value : value.replace(/:\d+$/, "").replace(/^\[(.*)\]$/, "$1");
  if (isIP(name) || /^[\w.-]+$/.test(name)) return name;
  throw new ConsulSettingsError(
    "CONSUL_TLS_SERVER_NAME",
    "not a host name: write the name in the server's certificate, such as server.dc1.consul",
  );
}

function datacenter(value: string | null): string | null {
  if (value === null || /^[A-Za-z0-9_-]+$/.test(value)) return value;
  throw new ConsulSettingsError("CONSUL_DATACENTER", "not a datacenter name: letters, digits, - and _ only");
}
