/**
 * Usage statements of the cluster, of a sidecar's state folder, or of a file that `cluster usage --json` wrote: each is verified
 * here, and held against the key of its node. What fails is left out, and said.
 */
import { readFile } from "node:fs/promises";
import { type OpenedStatement, openStatement, type Signed } from "../../beacon/envelope.js";
import { KeyAdmission } from "../../beacon/keys.js";
import { isBelieved } from "../../beacon/node-view.js";
import { keyFaultOf, type KeyTrust } from "../../beacon/proof-file.js";
import { openRotation, type Rotation } from "../../beacon/rotation.js";
import { lineageOf } from "../../beacon/rotation-chain.js";
import { newestOf } from "../../beacon/usage.js";
import { USAGE } from "../../beacon/usage-codec.js";
import { isAskedFor, sealedUsageIn, type UsageQuery, usageKey } from "../../beacon/usage-document.js";
import { compareStatements, statementName, type UsageStatement } from "../../beacon/usage-record.js";
import type { Source } from "./source.js";
import { readOwnIdentity, UsageFolder } from "./state-folder.js";
import { UsageError } from "./usage-error.js";

export interface ReadStatements {
  statements: Signed<UsageStatement>[];
  /** Not used, and why. */
  rejected: { name: string; reason: string }[];
  /** By which the nodes' keys came from those that signed. */
  rotations: Rotation[];
}

/** Rejects as the source does. */
export async function statementsOf(source: Source, query: UsageQuery): Promise<ReadStatements> {
  const views = (await source.read(new AbortController().signal, () => {})).filter(({ trust, beacon }) => isBelieved(trust) && beacon !== undefined);
  const keys = new KeyAdmission();
  const rotations = views.flatMap((view) => view.rotations ?? []);
  const read: ReadStatements = { statements: [], rejected: [], rotations };
  for (const { name, value } of await source.stored.usage(query)) {
    const sealed = sealedUsageIn(value);
    if (sealed === null) {
      read.rejected.push({ name, reason: "is no usage statement" });
      continue;
    }
    take(read, name, openStatement(USAGE, sealed, keys), ({ record }) => {
      const trusted = new Set(views.flatMap((view) => (view.name === record.node && view.datacenter === record.datacenter ? (view.beacon?.key.hex ?? []) : [])));
      return usageKey(record) === name ? { trusted, rotations } : "lies in another's place";
    });
  }
  return inOrder(read);
}

/** What a sidecar keeps on this host: a month, by its own key. Throws StateError or NoIdentityError. */
export function statementsInFolder(stateDir: string, query: UsageQuery): ReadStatements {
  const keys = new KeyAdmission();
  const { publicKey, rotations } = readOwnIdentity(stateDir);
  const trust = { trusted: new Set([Buffer.from(publicKey).toString("hex")]), rotations };
  const read: ReadStatements = { statements: [], rejected: [], rotations };
  const folder = new UsageFolder(stateDir);
  for (const place of folder.list()) {
    if (!isAskedFor({ fromMs: query.fromMs, toMs: query.toMs }, { ...place, node: "" })) continue; // all are this node's
    take(read, `${stateDir}/usage/${statementName(place)}`, openStatement(USAGE, folder.read(place) ?? new Uint8Array(), keys), () => trust);
  }
  return inOrder(read);
}

/** `trusted`: hex of whole keys. Rejects with UsageError where it is no such file. */
export async function statementsInFile(path: string, trusted: ReadonlySet<string>, query: UsageQuery): Promise<ReadStatements> {
  const keys = new KeyAdmission();
  const { statements, rotations: listed } = await usageFile(path);
  const rotations = listed.map(([byOld, byNew], i) => {
    const opened = openRotation({ byOld: Buffer.from(byOld, "base64"), byNew: Buffer.from(byNew, "base64") }, keys);
    if (!opened.ok) throw new UsageError(`${path}: key rotation ${String(i + 1)}: ${opened.reason}: ${opened.detail}`);
    return opened.rotation;
  });
  const read: ReadStatements = { statements: [], rejected: [], rotations };
  for (const [i, { sealed }] of statements.entries()) {
    const opened = openStatement(USAGE, Buffer.from(sealed, "base64"), keys);
    if (opened.ok && !isAskedFor(query, opened.signed.record)) continue;
    take(read, opened.ok ? usageKey(opened.signed.record) : `statement ${String(i + 1)} of ${path}`, opened, () => ({ trusted, rotations }));
  }
  return inOrder(withoutContradictions(read));
}

/** The keys that were given are not given for a node each: so one that speaks for two, or two for one, count for neither. */
function withoutContradictions(read: ReadStatements): ReadStatements {
  const first = lineageOf(read.rotations);
  const pairs = new Set(read.statements.map(({ record, key }) => JSON.stringify([`${record.datacenter}/${record.node}`, first(key.hex)])));
  const all = [...pairs].map((pair) => JSON.parse(pair) as [string, string]);
  const doubted = new Set(all.flat().filter((one) => all.filter((pair) => pair.includes(one)).length > 1));
  const isDoubted = ({ record, key }: Signed<UsageStatement>) => doubted.has(`${record.datacenter}/${record.node}`) || doubted.has(first(key.hex));
  return {
    ...read,
    statements: read.statements.filter((one) => !isDoubted(one)),
    rejected: [...read.rejected, ...read.statements.filter(isDoubted).map((one) => ({ name: usageKey(one.record), reason: `signed by key ${one.key.hex}: two keys speak for one node, or one for two` }))],
  };
}

/** Nodes whose statement says that it follows another one than the one that stands before it here: something was exchanged. */
export function brokenLinks(statements: readonly Signed<UsageStatement>[]): { node: string; datacenter: string; periodStartMs: number }[] {
  const newest = newestOf(statements);
  return newest.flatMap(({ record }, i) => {
    const before = newest.slice(0, i).findLast((one) => one.record.node === record.node && one.record.datacenter === record.datacenter);
    const fits = before === undefined || before.hash === record.previousHash;
    return fits ? [] : [{ node: record.node, datacenter: record.datacenter, periodStartMs: record.periodStartMs }];
  });
}

/** `trustOf`: whose keys count, or why none does. */
function take(read: ReadStatements, name: string, opened: OpenedStatement<UsageStatement>, trustOf: (signed: Signed<UsageStatement>) => KeyTrust | string): void {
  if (!opened.ok) return void read.rejected.push({ name, reason: `${opened.reason}: ${opened.detail}` });
  const trust = trustOf(opened.signed);
  const reason = typeof trust === "string" ? trust : keyFaultOf(opened.signed, trust);
  if (reason === undefined) read.statements.push(opened.signed);
  else read.rejected.push({ name, reason });
}

function inOrder(read: ReadStatements): ReadStatements {
  return { ...read, statements: read.statements.sort((a, b) => compareStatements(a.record, b.record)) };
}

async function usageFile(path: string): Promise<{ statements: { sealed: string }[]; rotations: [string, string][] }> {
  let content: { statements?: unknown; rotations?: unknown };
  try {
    content = JSON.parse(await readFile(path, "utf8")) as typeof content;
  } catch (error) {
    throw new UsageError(`${path}: ${error instanceof Error ? error.message : String(error)}`);
  }
  const { statements, rotations } = content;
  const isText = (value: unknown): value is string => typeof value === "string";
  if (!Array.isArray(statements) || !statements.every((one: unknown) => isText((one as { sealed?: unknown } | null)?.sealed))) throw new UsageError(`${path} is no file of cluster usage --json: it has no sealed statements`);
  if (!Array.isArray(rotations) || !rotations.every((pair) => Array.isArray(pair) && pair.length === 2 && pair.every(isText))) throw new UsageError(`${path} is no file of cluster usage --json: rotations are missing`);
  return { statements: statements as { sealed: string }[], rotations: rotations as [string, string][] };
}
