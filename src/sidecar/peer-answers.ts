/** Whether a peer's sidecar answers, now, by the key that its state is signed with; asked before work is sent to its node. */
import type { Verified } from "../beacon/envelope.js";
import type { NodeState } from "../beacon/record.js";
import type { HostPort } from "./settings.js";

/** Why it does not, for people; undefined where it does, or where nothing can be known. Never rejects. api/peer-call.ts. */
export type PeerAnswers = (at: HostPort, state: Verified<NodeState>, signal: AbortSignal) => Promise<string | undefined>;
