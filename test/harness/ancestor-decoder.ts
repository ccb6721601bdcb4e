/**
 * A client of the ancestor, written from the field table of its contract alone: it knows the old fields, reads what is
 * absent as zero, and skips what it does not know. Shares no code with src/proto. Bytes come out as hex.
 */
export const ANCESTOR_TABLE: Record<string, Record<number, string>> = {
  ClusterMessage: { 1: "event varint", 2: "wrappedMessage Any" },
  Any: { 1: "type_url string", 2: "value bytes" },
  BeaconMetadata: {
    1: "beacon_node_id string", 2: "node_signature bytes", 3: "timestamp varint", 4: "reputation_score string",
    5: "node_capabilities string*", 6: "latency_ms double", 7: "jitter_ms double", 8: "packet_loss double",
    9: "queue_depth varint", 10: "price_per_gb double",
  },
  BeaconAttestation: { 1: "node_id string", 2: "attestation_type string", 3: "attestation_data bytes" },
  PolicyContext: { 1: "policy_id string", 2: "tags string*", 3: "enforcement_level string" },
  PolicyQuery: { 1: "workload_id string", 2: "policy_type string", 3: "context map:string" },
  WorkloadProof: {
    1: "proof_hash string", 2: "proof_signature bytes", 3: "metrics map:string", 4: "proof_timestamp varint", 5: "hypervisor_type string",
  },
  ProofVerification: { 1: "workload_id string", 2: "proof_hash string", 3: "verification_result bool", 4: "beacon_registry_hash string" },
  ErrorResponse: { 1: "error string" },
  Node: { 1: "id string", 2: "ip string" },
  VmSpawnRequest: { 1: "cores varint", 2: "memory varint", 3: "image_ref string", 4: "ports map:varint", 5: "dry_run bool", 6: "env string*" },
  VmStopRequest: { 1: "id string" },
  VmLogsRequest: { 1: "id string" },
  WorkloadState: { 1: "id string", 2: "source_request VmSpawnRequest", 3: "proof WorkloadProof" },
  NodeStateResponse: {
    1: "node Node", 2: "workloads WorkloadState*", 3: "beacon BeaconMetadata", 4: "policy PolicyContext", 5: "state_signature string",
  },
  NodesStateResponse: { 1: "states NodeStateResponse*" },
  VmSpawnResponse: { 1: "id string", 2: "url string" },
  VmQueryRequest: {},
  VmLogsResponse: { 1: "logs string" },
};

const WIRE_TYPE: Record<string, number> = { varint: 0, bool: 0, double: 1 };
const EMPTY: Record<string, unknown> = { varint: 0, bool: false, double: 0, string: "", bytes: "" };
type Message = Record<string, unknown>;

export function ancestorDecode(name: string, bytes: Uint8Array): Message {
  const table = ANCESTOR_TABLE[name] ?? {};
  const message: Message = {};
  for (const field of Object.values(table)) {
    const [key = "", type = ""] = field.split(" ");
    message[key] = type.endsWith("*") ? [] : type.startsWith("map:") ? {} : (EMPTY[type] ?? null);
  }
  eachField(bytes, (number, wireType, value) => {
    const [key = "", type = ""] = (table[number] ?? "").split(" ");
    if (key === "") return; // unknown: skipped
    const element = type.replace("*", "");
    if (wireType !== (WIRE_TYPE[element] ?? 2)) throw new Error(`${name}.${key} has wire type ${String(wireType)}`);
    if (type.startsWith("map:")) {
      const entry: [unknown, unknown] = ["", ""];
      const kind = type.slice(4);
      eachField(value as Uint8Array, (n, w, v) => (entry[n - 1] = scalar(w === 0 ? "varint" : kind, v)));
      (message[key] as Message)[String(entry[0])] = entry[1];
    } else if (type.endsWith("*")) (message[key] as unknown[]).push(scalar(element, value));
    else message[key] = scalar(element, value);
  });
  return message;
}

function scalar(type: string, value: bigint | Uint8Array): unknown {
  if (typeof value === "bigint") return type === "bool" ? value !== 0n : Number(value);
  const buffer = Buffer.from(value);
  if (type === "double") return buffer.readDoubleLE();
  if (type === "string") return new TextDecoder("utf-8", { fatal: true }).decode(buffer);
  return type === "bytes" ? buffer.toString("hex") : ancestorDecode(type, buffer);
}

function eachField(bytes: Uint8Array, visit: (field: number, wireType: number, value: bigint | Uint8Array) => void): void {
  let at = 0;
  const varint = () => {
    let value = 0n;
    for (let shift = 0n; ; shift += 7n) {
      const byte = bytes[at++];
      if (byte === undefined) throw new Error("ends inside a varint");
      value |= BigInt(byte & 0x7f) << shift;
      if (byte < 0x80) return value;
    }
  };
  const take = (length: number) => {
    if (at + length > bytes.length) throw new Error("ends inside a field");
    return bytes.subarray(at, (at += length));
  };
  while (at < bytes.length) {
    const tag = Number(varint());
    const wireType = tag & 7;
    const value = wireType === 0 ? varint() : take(wireType === 1 ? 8 : wireType === 5 ? 4 : Number(varint()));
    visit(tag >>> 3, wireType, value);
  }
}
