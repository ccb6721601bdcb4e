/** The KV in memory that tests use does what the contract says of the real one. */
import { kvTransactionsContract } from "../contract/kv-transactions.contract.js";
import { KvStore } from "../harness/kv-store.js";

const store = new KvStore();
kvTransactionsContract(() => store);
