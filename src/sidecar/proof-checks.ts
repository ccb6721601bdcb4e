/**
 * PROOF_VERIFY: whether a hash is the newest proof of a workload, by what its node signed. Bytes of proofs are not asked for:
 * a file of them is verified by beacon/proof-file.ts.
 */
import { isBelieved, type NodeView } from "../beacon/node-view.js";
import { registryHash } from "../beacon/registry-hash.js";

export interface ProofCheck {
  /** That a node that is believed names this hash, in its signed state, as the newest proof of the workload. */
  newest: boolean;
  registryHash: string;
}

export class ProofCheckError extends Error {
  override readonly name = "ProofCheckError";
  readonly code = "not-found";
}

type Result = "newest" | "not-newest" | "not-found";

export class ProofChecks {
  constructor(
    private readonly nodes: () => Promise<NodeView[]>,
    private readonly clock: { monoMs(): number },
    private readonly onChecked: (result: Result, elapsedMs: number) => void,
  ) {}

  /** `workload`: Nomad's allocation or job; `proofHash`: hex. Rejects with ProofCheckError, and as `nodes` does. */
  async check(workload: string, proofHash: string): Promise<ProofCheck> {
    const startedMs = this.clock.monoMs();
    const tell = (result: Result): void => this.onChecked(result, this.clock.monoMs() - startedMs);
    const views = await this.nodes();
    const named = views
      .flatMap(({ trust, state }) => (isBelieved(trust) ? (state?.record.workloads ?? []) : []))
      .filter(({ id, job }) => id === workload || job === workload);
    if (named.length === 0) tell("not-found");
    if (named.length === 0) throw new ProofCheckError(`no node that is believed here runs ${JSON.stringify(workload)}`);
    const wanted = proofHash.toLowerCase();
    const newest = named.some(({ proof }) => proof?.hash === wanted);
    tell(newest ? "newest" : "not-newest");
    return { newest, registryHash: registryHash(views) };
  }
}
