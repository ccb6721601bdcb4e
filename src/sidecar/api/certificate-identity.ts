/**
 * Who a client certificate names, after TLS has verified it: the URIs of its subject alternative names first (SPIFFE:
 * Consul Connect), then its DNS names; the common name only where there is neither.
 */
import type { PeerCertificate } from "node:tls";

/** Node quotes a value that could be taken for two (CVE-2021-44532), so entries are read one by one, never searched for. */
const ENTRY = /(?:^|, )([A-Za-z ]+):("(?:[^"\\]|\\.)*"|[^,"]*)/y;

export function identitiesOf(certificate: Pick<PeerCertificate, "subject" | "subjectaltname">): string[] {
  const names = [...alternativeNames(certificate.subjectaltname ?? "")];
  const of = (kind: string) => names.filter((name) => name.kind === kind).map(({ value }) => value);
  const found = [...of("URI"), ...of("DNS")];
  const commonName: unknown = certificate.subject?.CN;
  return found.length > 0 || typeof commonName !== "string" || commonName === "" ? found : [commonName];
}

/** All of them, or none where the text is not as expected. */
function alternativeNames(text: string): { kind: string; value: string }[] {
  const names: { kind: string; value: string }[] = [];
  ENTRY.lastIndex = 0;
  let end = 0;
  for (let match = ENTRY.exec(text); match !== null; match = ENTRY.exec(text)) {
    end = ENTRY.lastIndex;
    const [, kind = "", value = ""] = match;
    if (!value.startsWith('"')) names.push({ kind, value }); // a quoted one holds what no name of ours has
  }
  return end === text.length ? names : [];
}
