/**
 * Operations on KV that are too many for one transaction, cut into several: in their order, so that whoever puts what is
 * referred to before what refers to it has no moment in which it is missing. Sizes are those of the request that Consul takes.
 */
import type { CallOptions, ConsulApi, KvOperation } from "./consul-api.js";

/** Consul takes 128 (agent/txn_endpoint.go), and before 1.14 took 64. */
const MAX_OPERATIONS = 64;
/** Consul's default of `txn_max_req_len`, and of `kv_max_value_size`. */
const MAX_REQUEST_BYTES = 512 * 1024;
/** Of an operation's JSON beside its key and value: 40 for a set. */
const AROUND_BYTES = 48;

/**
 * A Raft write for each transaction, one after another. Rejects with ConsulError: then those before the one that failed stand,
 * and that one may.
 */
export async function applyInOrder(consul: Pick<ConsulApi, "kvPut" | "kvDelete" | "kvTxn">, operations: readonly KvOperation[], options: CallOptions = {}): Promise<void> {
  for (const transaction of inTransactions(operations)) {
    const [only] = transaction;
    // One alone needs no transaction, in which its value would be larger by a third than Consul takes.
    if (only === undefined || transaction.length > 1) await consul.kvTxn(transaction, options);
    else if ("set" in only) await consul.kvPut(only.set, only.value, options);
    else await consul.kvDelete(only.delete, options);
  }
}

/** An operation that is too large for any transaction is one of its own. */
export function inTransactions(operations: readonly KvOperation[]): KvOperation[][] {
  const transactions: KvOperation[][] = [];
  let current: KvOperation[] = [];
  let sizeBytes = 0;
  for (const operation of operations) {
    const bytes = requestBytes(operation);
    if (current.length === 0 || current.length === MAX_OPERATIONS || sizeBytes + bytes > MAX_REQUEST_BYTES) {
      current = [];
      transactions.push(current);
      sizeBytes = 2; // the brackets
    }
    current.push(operation);
    sizeBytes += bytes;
  }
  return transactions;
}

function requestBytes(operation: KvOperation): number {
  const isSet = "set" in operation;
  const valueBytes = isSet ? Buffer.byteLength(operation.value) : 0;
  return AROUND_BYTES + Buffer.byteLength(JSON.stringify(isSet ? operation.set : operation.delete)) + 4 * Math.ceil(valueBytes / 3);
}
