/**
 * PeerAnswers over gRPC and mTLS: the peer attests to its node over a nonce of ours. What says nothing of the peer is no reason
 * against it: certificates that do not fit each other, a version that cannot attest, a caller that is cut off itself.
 */
import { randomBytes } from "node:crypto";
import { ATTESTATION, type Asked } from "../../beacon/attestation.js";
import { DEFAULT_SKEW_MS, open } from "../../beacon/envelope.js";
import type { KeyAdmission } from "../../beacon/keys.js";
import type { Clock } from "../clock.js";
import type { PeerAnswers } from "../peer-answers.js";
import { ApiError, type ApiErrorCode } from "./api-error.js";
import { askToAttest } from "./attest-client.js";
import { formatHostPort } from "./bind-address.js";
import type { ClientTls } from "./client-tls.js";

/** A candidate that does not answer costs so long: the next best is to be asked within a second. */
const WITHIN_MS = 800;
const SAYS_IT: ReadonlySet<ApiErrorCode> = new Set(["unreachable", "deadline", "protocol"]);
const NONCE_BYTES = 32;

/** `tls`: what this sidecar shows, and whom it takes the peer's certificate from. */
export function peerCall({ tls, keys, clock }: { tls: () => ClientTls; keys: KeyAdmission; clock: Pick<Clock, "nowMs"> }): PeerAnswers {
  return async (at, state, signal) => {
    const address = formatHostPort(at);
    const asked: Asked = { type: "NODE_IDENTITY", nonce: randomBytes(NONCE_BYTES).toString("hex") };
    try {
      const { sealed } = await askToAttest(asked, { address, tls: tls(), timeoutMs: WITHIN_MS, signal });
      const { node, datacenter } = state.record;
      const opened = open(ATTESTATION, sealed, { keys, nowMs: clock.nowMs(), skewMs: DEFAULT_SKEW_MS, node, datacenter });
      if (!opened.ok) return `its sidecar at ${address} answers, but not for the node: ${opened.reason}: ${opened.detail}`;
      const { key, record } = opened.verified;
      return key.hex === state.key.hex && record.nonce === asked.nonce && record.type === asked.type ? undefined : `what answers at ${address} is not the sidecar that signed its state`;
    } catch (error) {
      return error instanceof ApiError && SAYS_IT.has(error.code) && !signal.aborted ? `its sidecar at ${address} does not answer: ${error.message}` : undefined;
    }
  };
}
