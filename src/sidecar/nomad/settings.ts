/**
 * Where Nomad is and how to speak to it, from the environment variables of Nomad's own command line. Pure: it opens
 * no file (tls.ts does). An empty variable is an unset one, as for Nomad. Messages never hold a variable's value,
 * because any of them may be mixed up with the token.
 */

export interface NomadTlsSettings {
  caFile?: string;
  /** A folder of PEM files; `caFile` comes first where both are set, as in Nomad. */
  caPath?: string;
  certFile?: string;
  keyFile?: string;
  serverName?: string;
  skipVerify: boolean;
}

export type NomadEndpoint =
  | { kind: "tcp"; secure: boolean; host: string; port: number }
  | { kind: "unix"; socketPath: string };

export interface NomadSettings {
  endpoint: NomadEndpoint;
  /** For people and logs; holds no secret. */
  address: string;
  token?: string;
  region?: string;
  namespace?: string;
  tls: NomadTlsSettings;
}

/** A variable says what cannot be; `variable` names it, `message` begins with it. */
export class NomadSettingsError extends Error {
  override readonly name = "NomadSettingsError";
  constructor(
    readonly variable: string,
    message: string,
    options?: ErrorOptions,
  ) {
    super(`${variable}: ${message}`, options);
  }
}

const DEFAULT_ADDRESS = "http://127.0.0.1:4646";
const TRUE = new Set(["1", "t", "T", "true", "TRUE", "True"]);
const FALSE = new Set(["0", "f", "F", "false", "FALSE", "False"]);

/** Throws NomadSettingsError. */
export function nomadSettingsFrom(env: Readonly<Record<string, string | undefined>>): NomadSettings {
  const text = (name: string): string | undefined => env[name] || undefined;
  const address = text("NOMAD_ADDR") ?? DEFAULT_ADDRESS;
  const tls: NomadTlsSettings = { skipVerify: readBoolean("NOMAD_SKIP_VERIFY", text("NOMAD_SKIP_VERIFY")) };
  assign(tls, "caFile", text("NOMAD_CACERT"));
  assign(tls, "caPath", text("NOMAD_CAPATH"));
  assign(tls, "certFile", text("NOMAD_CLIENT_CERT"));
  assign(tls, "keyFile", text("NOMAD_CLIENT_KEY"));
  assign(tls, "serverName", text("NOMAD_TLS_SERVER_NAME"));
  if (tls.certFile !== undefined && tls.keyFile === undefined) {
    throw new NomadSettingsError("NOMAD_CLIENT_KEY", "not set, while NOMAD_CLIENT_CERT is; both or neither");
  }
  if (tls.keyFile !== undefined && tls.certFile === undefined) {
    throw new NomadSettingsError("NOMAD_CLIENT_CERT", "not set, while NOMAD_CLIENT_KEY is; both or neither");
  }
  const settings: NomadSettings = { ...readAddress(address), tls };
  const token = text("NOMAD_TOKEN");
  // What an HTTP header cannot carry would fail at each call, with the token in the error of node:http.
  if (token !== undefined && !/^[\x21-\x7e]+$/.test(token)) {
    throw new NomadSettingsError("NOMAD_TOKEN", "holds a space, a line break or another character that no token has");
  }
  assign(settings, "token", token);
  assign(settings, "region", text("NOMAD_REGION"));
  assign(settings, "namespace", text("NOMAD_NAMESPACE"));
  return settings;
}

function readAddress(text: string): { endpoint: NomadEndpoint; address: string } {
  if (text.startsWith("unix://")) {
    const socketPath = text.slice("unix://".length);
    if (!socketPath.startsWith("/")) throw wrongAddress("unix:// takes an absolute path, as in unix:///run/nomad.sock");
    return { endpoint: { kind: "unix", socketPath }, address: text };
  }
  const url = URL.canParse(text) ? new URL(text) : undefined;
  if (url === undefined || (url.protocol !== "http:" && url.protocol !== "https:")) {
    throw wrongAddress("takes http://HOST:PORT, https://HOST:PORT or unix:///PATH");
  }
  if (url.username !== "" || url.password !== "") throw wrongAddress("takes no user or password; NOMAD_TOKEN does");
  if (url.pathname !== "/" || url.search !== "" || url.hash !== "") throw wrongAddress("takes no path, query or fragment");
  const secure = url.protocol === "https:";
  // Without a port the scheme's own, as Nomad's command line has it. Brackets are URL syntax, not the address.
  const port = url.port === "" ? (secure ? 443 : 80) : Number(url.port);
  const host = url.hostname.replace(/^\[(.*)\]$/, "$1");
  return { endpoint: { kind: "tcp", secure, host, port }, address: url.origin };
}

function wrongAddress(message: string): NomadSettingsError {
  return new NomadSettingsError("NOMAD_ADDR", message);
}

/** The spellings that Go's strconv.ParseBool takes; unset is false. */
function readBoolean(variable: string, text: string | undefined): boolean {
  if (text === undefined || FALSE.has(text)) return false;
  if (TRUE.has(text)) return true;
  throw new NomadSettingsError(variable, "takes true or false (1, t, TRUE, 0, f, FALSE)");
}

function assign<T, K extends keyof T>(target: T, key: K, value: T[K] | undefined): void {
  if (value !== undefined) target[key] = value;
}
