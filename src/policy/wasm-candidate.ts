/** What a WebAssembly policy is told of a node, and what it answers. Units of the signed records; unknown is undefined, absent to Rego. */
import type { LatencySource } from "../beacon/record.js";

export interface WasmCandidate {
  node: string;
  datacenter: string;
  /** Verified, by a key that this reader believes. */
  verified: boolean;
  alive?: boolean | undefined;
  latencyUs?: number | undefined;
  latencySource?: LatencySource | undefined;
  jitterUs?: number | undefined;
  lossPpm?: number | undefined;
  queueDepth?: number | undefined;
  priceMicroUsdPerGb?: number | undefined;
  reputationPpm?: number | undefined;
  declaredReputationPpm?: number | undefined;
  workloads?: number | undefined;
  capabilities: readonly string[];
}

export interface WasmVerdict {
  pass: boolean;
  /** 0 to 1,000,000; the higher comes first. */
  scorePpm: number;
  /** For people; may be empty. */
  reason: string;
}
