/**
 * The values below a prefix at which each node has a folder that it alone writes. Read at once, which is one moment of the
 * store. Where one node has put so much into its own that no answer may be that large, folder by folder, each a moment of its
 * own: a node's excess costs that node alone.
 */
import { type BlockingOptions, type ConsulApi, ConsulError, type KvEntry, type Read } from "./consul-api.js";

/** The entries of all nodes, or of one. `excessive`: of this one there is more than is read, and nothing was. */
export type NodeFolders = Pick<Read<KvEntry[]>, "value" | "filteredByAcl"> & { oversized: readonly string[]; excessive?: string };

type ListOptions = Omit<BlockingOptions, "index" | "waitMs"> & { maxValueBytes?: number };

/** 10,000 workloads, placed and proved, are some 14 MB in their batches. */
const MAX_FOLDER_BYTES = 16 * 1024 * 1024;
const AT_ONCE = 4;

/** Rejects with ConsulError. */
export async function* nodeFolders(consul: Pick<ConsulApi, "kvList" | "kvFolders">, prefix: string, options: ListOptions): AsyncGenerator<NodeFolders, void> {
  const all = await unlessTooLarge(consul.kvList(prefix, options));
  if (all !== undefined) {
    yield all;
    return;
  }
  const { value: nodes } = await consul.kvFolders(prefix, options);
  for (let i = 0; i < nodes.length; i += AT_ONCE) {
    yield* await Promise.all(nodes.slice(i, i + AT_ONCE).map(async (node): Promise<NodeFolders> =>
      (await unlessTooLarge(consul.kvList(`${prefix}${node}/`, { ...options, maxAnswerBytes: MAX_FOLDER_BYTES }))) ?? { value: [], oversized: [], excessive: node }));
  }
}

async function unlessTooLarge<T>(reading: Promise<T>): Promise<T | undefined> {
  try {
    return await reading;
  } catch (error) {
    if (error instanceof ConsulError && error.code === "too-large") return undefined;
    throw error;
  }
}
