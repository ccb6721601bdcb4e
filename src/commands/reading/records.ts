/** What the believed nodes signed, read once: what reputations are computed from. */
import { type BelievedRecords, believedRecords } from "../../beacon/reputation-views.js";
import type { TlsFlags } from "./client-tls-files.js";
import { type ReadingFlags, readingFlags, tlsFlags, type TrustFlags, trustFlags } from "./flags.js";
import { openSource } from "./source.js";

const { "grpc-addr": grpcAddr, consul, datacenter } = readingFlags;
export const sourceFlags = { "grpc-addr": grpcAddr, ...tlsFlags, consul, datacenter, ...trustFlags };

export interface ReadRecords extends BelievedRecords {
  datacenter: string;
  /** Unix milliseconds. */
  readAtMs: number;
  /** What the sidecar that served them computed from them. */
  servedSha256: string | undefined;
}

/** A cluster without a believed node is an error: there is nothing to compute from. */
export class NoRecordsError extends Error {
  override readonly name = "NoRecordsError";
  readonly code = "no-records";
}

/** Rejects like openSource and Source.read, and with NoRecordsError. */
export async function readRecords(flags: Pick<ReadingFlags, "consul" | "datacenter" | "grpc-addr"> & TlsFlags & TrustFlags, env: NodeJS.ProcessEnv): Promise<ReadRecords> {
  const source = await openSource(flags, env);
  try {
    const believed = believedRecords(await source.read(new AbortController().signal, () => {}));
    const [first] = believed.states;
    if (first === undefined) throw new NoRecordsError(`${source.name} shows no node whose signed state is believed here`);
    return { ...believed, datacenter: first.record.datacenter, readAtMs: Date.now(), servedSha256: source.servedReputationSha256() };
  } finally {
    source.close();
  }
}
