/**
 * The adapter of ConsulApi over the `consul` package. It opens no socket before the first call and
 * keeps none busy after the last; `close()` drops the idle ones.
 */
import type { ConsulApi } from "../consul-api.js";
import type { ConsulSessions } from "../consul-sessions.js";
import { displayAddress } from "./address.js";
import { agentCalls } from "./agent-calls.js";
import { catalogCalls } from "./catalog-calls.js";
import { eventCalls } from "./event-calls.js";
import { kvCalls } from "./kv-calls.js";
import { papiClient } from "./papi.js";
import { sessionCalls } from "./session-calls.js";
import type { ConsulSettings } from "./settings.js";
import { socketAgent } from "./tls.js";
import { TokenSource } from "./token.js";
import { Transport } from "./transport.js";

export interface ConnectOptions {
  /** Called with the number of entries of an answer that were not understood and left out. */
  onSkipped?: (operation: string, count: number) => void;
}

export interface ConsulConnection extends ConsulApi, ConsulSessions {
  /** Without secrets, for logs. */
  readonly address: string;
  close(): void;
}

/** Reads the certificate files; throws ConsulSettingsError where one cannot be used. */
export function connectConsul(settings: ConsulSettings, options: ConnectOptions = {}): ConsulConnection {
  const { address } = settings;
  const agent = socketAgent(settings);
  // The agent decides where to connect; this host is what the Host header says.
  const host = address.host.includes(":") ? `[${address.host.replace(/%.*$/, "")}]` : address.host;
  const baseUrl = `${address.scheme}://${host}:${address.port}${address.pathPrefix}/v1`;
  const client = papiClient(baseUrl, agent, authorization(settings));
  const tokens = new TokenSource(settings.token, settings.tokenFile);
  const transport = new Transport(client, tokens, displayAddress(address), settings.datacenter);
  const onSkipped = options.onSkipped ?? (() => {});
  return {
    address: transport.address,
    close: () => agent.destroy(),
    ...agentCalls(transport, onSkipped),
    ...catalogCalls(transport, onSkipped),
    ...kvCalls(transport, onSkipped),
    ...eventCalls(transport, onSkipped),
    ...sessionCalls(transport),
  };
}

function authorization({ basicAuth }: ConsulSettings): Record<string, string> {
  if (basicAuth === null) return {};
  const pair = Buffer.from(`${basicAuth.username}:${basicAuth.password}`);
  return { authorization: `Basic ${pair.toString("base64")}` };
}
