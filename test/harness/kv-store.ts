/** Consul's KV in memory, as far as writers of states and their readers go: held to the same contract as the real one. */
import { type ConsulApi, ConsulError, type KvEntry, type KvOperation, type Read } from "../../src/sidecar/consul-api.js";

type Kv = Pick<ConsulApi, "kvGet" | "kvList" | "kvFolders" | "kvPut" | "kvDelete" | "kvTxn">;

export class KvStore implements Kv {
  readonly entries = new Map<string, KvEntry>();
  /** Each Raft write, as the keys that it set and deleted. */
  readonly writes: { set: string[]; deleted: string[] }[] = [];
  lists = 0;
  /** Called after each Raft write; what it throws is the answer, though the write stands. */
  afterWrite: () => void = () => {};
  #index = 0;

  async kvGet(key: string): Promise<Read<KvEntry | null>> {
    return this.#read(this.entries.get(key) ?? null);
  }

  async kvList(prefix: string, { maxValueBytes = Infinity, maxAnswerBytes = 32 * 1024 * 1024 } = {}): Promise<Read<KvEntry[]> & { oversized: string[] }> {
    this.lists += 1;
    const found = [...this.entries.values()].filter(({ key }) => key.startsWith(prefix)).sort((a, b) => (a.key < b.key ? -1 : 1));
    const answerBytes = found.reduce((sum, { key, value }) => sum + key.length + Math.ceil((value.length * 4) / 3), 0);
    if (answerBytes > maxAnswerBytes) throw new ConsulError("too-large", "kv.list", `kv.list: an answer of more than ${String(maxAnswerBytes)} bytes`);
    const oversized = found.filter(({ value }) => value.length > maxValueBytes).map(({ key }) => key);
    return { ...this.#read(found.map((entry) => (oversized.includes(entry.key) ? { ...entry, value: new Uint8Array(0) } : entry))), oversized };
  }

  async kvFolders(prefix: string): Promise<Read<string[]>> {
    const below = [...this.entries.keys()].filter((key) => key.startsWith(prefix)).map((key) => key.slice(prefix.length));
    return this.#read([...new Set(below.filter((key) => key.includes("/")).map((key) => key.slice(0, key.indexOf("/"))))].sort());
  }

  async kvPut(key: string, value: string | Uint8Array): Promise<boolean> {
    this.#apply([{ set: key, value }]);
    return true;
  }

  async kvDelete(key: string): Promise<void> {
    this.#apply([{ delete: key }]);
  }

  async kvTxn(operations: readonly KvOperation[]): Promise<void> {
    const body = operations.map((each) => ("set" in each ? { KV: { Verb: "set", Key: each.set, Value: Buffer.from(each.value).toString("base64") } } : { KV: { Verb: "delete", Key: each.delete } }));
    if (operations.length > 128 || JSON.stringify(body).length > 512 * 1024) throw new ConsulError("rejected", "kv.txn", "kv.txn: Consul answered 413");
    this.#apply(operations);
  }

  #apply(operations: readonly KvOperation[]): void {
    this.#index += 1;
    for (const each of operations) {
      if ("set" in each) this.entries.set(each.set, { key: each.set, value: Uint8Array.from(Buffer.from(each.value)), modifyIndex: String(this.#index) });
      else this.entries.delete(each.delete);
    }
    this.writes.push({ set: operations.flatMap((each) => ("set" in each ? [each.set] : [])), deleted: operations.flatMap((each) => ("delete" in each ? [each.delete] : [])) });
    this.afterWrite();
  }

  #read<T>(value: T): Read<T> {
    return { value, index: String(this.#index + 1), lastContactMs: 0, knownLeader: true };
  }
}

/** One answer to every list. */
export function listing(entries: () => KvEntry[], oversized: string[] = []): Pick<ConsulApi, "kvList" | "kvFolders"> {
  const read = { index: "1", lastContactMs: 0, knownLeader: true };
  return { kvList: () => Promise.resolve({ value: entries(), oversized, ...read }), kvFolders: () => Promise.resolve({ value: [], ...read }) };
}
