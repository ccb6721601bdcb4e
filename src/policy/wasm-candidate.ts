/** What a WebAssembly policy is told of a node, and what it answers. Units of the signed records; unknown is absent. */
import type { LatencySource } from "../beacon/record.js";

export interface WasmCandidate {
  node: string;
  datacenter: string;
  /** Verified, by a key that this reader believes. */
  verified: boolean;
  alive?: boolean;
  latencyUs?: number;
  latencySource?: LatencySource;
  jitterUs?: number;
  lossPpm?: number;
  queueDepth?: number;
  priceMicroUsdPerGb?: number;
  reputationPpm?: number;
  declaredReputationPpm?: number;
  workloads?: number;
  capabilities: readonly string[];
}

export interface WasmVerdict {
  pass: boolean;
  /** 0 to 1,000,000; the higher comes first. */
  scorePpm: number;
  /** For people; may be empty. */
  reason: string;
}
