/**
 * What a network answers beside its listing: the order of its nodes by a policy, and whether a file of proofs stands. Both
 * rest on the keys that the member clusters' lists name; the decision is signed by the network and replays anywhere.
 */
import type { KeyObject } from "node:crypto";
import type { KeyAdmission } from "../../beacon/keys.js";
import type { NodeView } from "../../beacon/node-view.js";
import { type ProofFileVerdict, verifyProofFile } from "../../beacon/proof-file.js";
import { registryHash } from "../../beacon/registry-hash.js";
import { decide } from "../../policy/decide.js";
import { sealDecision, type SealedDecision } from "../../policy/decision-document.js";
import { openPolicy } from "../../policy/open-policy.js";
import { decisionOpener } from "../../policy/proved-decision.js";
import { problemText } from "../../policy/wording.js";

/** Who decided, in the record: the key beside it is the network's. */
const DECIDER = { node: "beacon-network", datacenter: "beacon-network" };
const WASM_MAGIC = Buffer.from("\0asm");
/** Every field of the longest policy file is within this. */
const MAX_POLICY_BYTES = 64 * 1024;

export class NetworkQueryError extends Error {
  override readonly name = "NetworkQueryError";
  readonly code = "invalid";
}

export class NetworkDesk {
  constructor(
    private readonly deps: {
      /** The members whose beacons are within their validity. */
      views: () => NodeView[];
      /** Hex of every admitted key. */
      trusted: () => ReadonlySet<string>;
      keys: KeyAdmission;
      identity: { publicKey: Uint8Array; privateKey: KeyObject };
      clock: { nowMs: () => number };
    },
  ) {}

  /** Rejects with NetworkQueryError, naming every field that is wrong. */
  async order(policy: Uint8Array): Promise<SealedDecision> {
    const { views, keys, identity, clock } = this.deps;
    if (policy.length > MAX_POLICY_BYTES) throw new NetworkQueryError(`the policy has ${String(policy.length)} bytes; at most ${String(MAX_POLICY_BYTES)}`);
    if (WASM_MAGIC.equals(policy.subarray(0, WASM_MAGIC.length))) throw new NetworkQueryError("a network runs no policy modules: send a policy file");
    const opened = openPolicy(policy, "query");
    if (!opened.ok) throw new NetworkQueryError(`the policy cannot be used: ${opened.problems.map(problemText).join("; ")}`);
    return sealDecision(await decide({ nodes: views(), policies: { spawn: opened.evaluator }, nowMs: clock.nowMs() }), DECIDER, identity, keys);
  }

  /** Never throws on any bytes. */
  verify(file: Uint8Array): { verdict: ProofFileVerdict; registryHash: string } {
    const { trusted, keys, views } = this.deps;
    return { verdict: verifyProofFile(Buffer.from(file).toString("utf8"), trusted(), keys, decisionOpener(keys)), registryHash: registryHash(views()) };
  }
}
