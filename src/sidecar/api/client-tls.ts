/**
 * TLS of a gRPC client: its own certificate, and whom it takes the server for. A name is a DNS name, an address, or a
 * SPIFFE URI, which is all that a certificate of Consul Connect has.
 */
import { isIP } from "node:net";
import { checkServerIdentity, type PeerCertificate } from "node:tls";
import { type ChannelCredentials, type ClientOptions, credentials } from "@grpc/grpc-js";
import { identitiesOf } from "./certificate-identity.js";

/** PEM. */
export interface ClientTls {
  /** Absent: the authorities that Node brings. */
  ca?: Buffer;
  cert?: Buffer;
  key?: Buffer;
  /** Absent: the host of the address. */
  serverName?: string;
}

/** Plain text without TLS. Throws OpenSSL's error where a certificate and a key do not fit. */
export function credentialsFor(address: string, tls: ClientTls | undefined): ChannelCredentials {
  if (tls === undefined) return credentials.createInsecure();
  const expected = tls.serverName ?? hostOf(address);
  return credentials.createSsl(tls.ca ?? null, tls.key ?? null, tls.cert ?? null, {
    checkServerIdentity: (_name, certificate) => differenceFrom(expected, certificate),
  });
}

export function channelOptions(address: string, tls: ClientTls | undefined): ClientOptions {
  return {
    // A sidecar is never behind the proxy that the environment names for the web.
    "grpc.enable_http_proxy": 0,
    // What is down is said at once; who wants to wait calls again.
    "grpc.enable_retries": 0,
    ...(tls === undefined ? {} : { "grpc.ssl_target_name_override": serverNameFor(tls, address) }),
  };
}

/** For SNI, which takes no addresses (RFC 6066) and no URIs; what is checked is `differenceFrom`'s. */
function serverNameFor(tls: ClientTls, address: string): string {
  const expected = tls.serverName ?? hostOf(address);
  return isIP(expected) !== 0 || expected.includes("/") ? "localhost" : expected;
}

function differenceFrom(expected: string, certificate: PeerCertificate): Error | undefined {
  if (!expected.includes("://")) return checkServerIdentity(expected, certificate);
  const names = identitiesOf(certificate);
  return names.includes(expected) ? undefined : new Error(`the server's certificate is of ${names.join(", ") || "nobody"}, not of ${expected}`);
}

function hostOf(address: string): string {
  return address.slice(0, address.lastIndexOf(":")).replace(/^\[|\]$/g, "");
}
