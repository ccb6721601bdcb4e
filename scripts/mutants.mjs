// Mutates each check of the trusted core in turn and runs the unit tests that guard it: a mutant that no test notices
// is printed as survived, and the exit code is 1. `node scripts/mutants.mjs [PATTERN]`; needs `npm run build -- --tests`.
import { spawnSync } from "node:child_process";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";

const root = join(import.meta.dirname, "..");
const envelope = "build/src/beacon/envelope.js";
const keys = "build/src/beacon/keys.js";
const registry = "build/src/beacon/registry.js";
const pins = "build/src/beacon/pins.js";
const rotation = "build/src/beacon/rotation.js";
const chain = "build/src/beacon/rotation-chain.js";
const codec = "build/src/beacon/codec.js";
const batches = "build/src/beacon/workload-batches.js";
const workloads = "build/src/beacon/workload-codec.js";
const states = "build/src/beacon/state-codec.js";
const stateReader = "build/src/sidecar/state-reader.js";
const stateWriter = "build/src/sidecar/state-writer.js";
const transactions = "build/src/sidecar/kv-transactions.js";

/** [file, what the code says, what the mutant says] */
const MUTANTS = [
  [envelope, "if (bytes.length > purpose.maxBytes)", "if (false)"],
  [envelope, "bytes.length > purpose.maxBytes", "bytes.length >= purpose.maxBytes"],
  [envelope, "const sealed = Uint8Array.from(bytes)", "const sealed = bytes"],
  [envelope, "if (envelope === null)", "if (false)"],
  [envelope, "if (envelope.payload_type !== purpose.type)", "if (false)"],
  [envelope, 'if (typeof key === "string")', "if (false)"],
  [envelope, "if (!verify(null, signedBytes(purpose, key.bytes, envelope.payload), key.verifier, envelope.signature))", "if (false)"],
  [envelope, "record.datacenter !== context.datacenter", "false"],
  [envelope, "context.node !== undefined && record.node !== context.node", "false"],
  [envelope, "if (ageMs < -context.skewMs)", "if (false)"],
  [envelope, "ageMs < -context.skewMs", "ageMs <= -context.skewMs"],
  [envelope, "if (ageMs > record.validityMs)", "if (false)"],
  [envelope, "ageMs > record.validityMs", "ageMs >= record.validityMs"],
  [envelope, "Buffer.compare(wire.Envelope.encode(envelope).finish(), bytes) === 0", "true"],
  [envelope, "Buffer.from(purpose.domain), type, publicKey, payload", "type, publicKey, payload"],
  [envelope, "Buffer.from(purpose.domain), type, publicKey, payload", "Buffer.from(purpose.domain), publicKey, payload"],
  [envelope, "Buffer.from(purpose.domain), type, publicKey, payload", "Buffer.from(purpose.domain), type, payload"],
  [envelope, ".flatMap(lengthPrefixed)", ".flatMap((field) => [field])"],
  [keys, "point.isSmallOrder() ? \"small-order\"", "false ? \"small-order\""],
  [keys, "pointOf(key)?.isTorsionFree() === true ? null", "true ? null"],
  [keys, "Point.fromBytes(key, false)", "Point.fromBytes(key, true)"],
  [keys, "sound ? {", "true ? {"],
  [codec, "if (!Number.isSafeInteger(n) || n < 0 || n > max)", "if (false)"],
  [codec, "if (epoch === 0)", "if (false)"],
  [codec, "if (validityS === 0)", "if (false)"],
  [codec, "if (!NAME_RULE.test(value ?? \"\"))", "if (false)"],
  [registry, "if (refused !== null)", "if (false)"],
  [registry, "if (order < 0)", "if (false)"],
  [registry, "if (order === 0)", "if (false)"],
  [registry, "if (verified.hash === held.verified.hash)", "if (true)"],
  [registry, "monoMs <= entry.expiresMs", "true"],
  [registry, "Math.min(record.validityMs, record.validityMs - verified.ageMs)", "record.validityMs"],
  [pins, "pin !== undefined && pin.publicKey !== publicKeyHex", "false"],
  [pins, "pin?.formerKeys?.includes(publicKeyHex) === true", "false"],
  [pins, "pin !== undefined && fork !== undefined", "false"],
  [pins, "chainFrom(held.publicKey, own, held.formerKeys)", "chainFrom(held.publicKey, rotations, held.formerKeys)"],
  [registry, 'if (pin.kind === "superseded-key")', "if (false)"],
  [rotation, "if (!byOld.ok)", "if (false)"],
  [rotation, "if (!byNew.ok)", "if (false)"],
  [rotation, "record.node !== place.node ||", "false ||"],
  [rotation, "|| record.datacenter !== place.datacenter", ""],
  [rotation, "Buffer.compare(encodeRotation(record), encodeRotation(byNew.signed.record)) !== 0", "false"],
  [rotation, "byOld.signed.key.hex !== record.oldKey ||", "false ||"],
  [rotation, "|| byNew.signed.key.hex !== record.newKey", ""],
  [rotation, "if (oldKey === newKey)", "if (false)"],
  [chain, "&& given.includes(oldKey)", ""],
  [chain, "rotation.epoch > epoch && !seen", "!seen"],
  [chain, "&& !seen.has(rotation.newKey)", ""],
  [chain, "if (other !== undefined)", "if (false)"],
  [chain, "rotation.epoch < epoch", "true"],
  [chain, "|| forkAt(step.oldKey, rotations) !== undefined", ""],
  [chain, "step.oldKey === key ||", ""],
  [pins, "namesake !== undefined && namesake.publicKey !== publicKeyHex", "false"],
  [batches, "came.length === 0 ?", "true ?"],
  [batches, "if (came.length !== batches.hashes.length)", "if (false)"],
  [batches, "if (each.length > MAX_BATCH_BYTES)", "if (false)"],
  [batches, "if (batchHash(each) !== batches.hashes[i])", "if (false)"],
  [batches, "return edited === undefined ?", "return true ?"],
  [batches, "if (v === 1 && typeof bytes === \"string\")", "if (typeof bytes === \"string\")"],
  [workloads, "if (workloads.length !== expected)", "if (false)"],
  [workloads, "id <= (workloads[i - 1]?.id ?? \"\")", "false"],
  [workloads, "id <= (workloads[i - 1]?.id ?? \"\")", "id < (workloads[i - 1]?.id ?? \"\")"],
  [states, "if (count <= BATCH_SIZE)", "if (false)"],
  [states, "if (named.length !== Math.ceil(count / BATCH_SIZE))", "if (false)"],
  [states, "if (named.some((hash) => hash.length !== HASH_BYTES))", "if (false)"],
  [states, "if (new Set(hashes).size !== hashes.length)", "if (false)"],
  [states, "if (batches !== undefined && count !== undefined)", "if (false)"],
  [stateReader, "[...before.batches].every(([key, batch]) => areSame(batch, at(key)))", "true"],
  [stateReader, "if (!verdict.ok && !isSame)", "if (!verdict.ok)"],
  [stateWriter, "there.get(key) !== value", "!there.has(key)"],
  [stateWriter, "there.get(key) !== value", "true"],
  [stateWriter, "!documents.has(key)", "false"],
  [stateWriter, "this.#bare = undefined;\n        await", "await"],
  [stateWriter, "this.#bare === node ? new Map()", "false ? new Map()"],
  [transactions, "current.length === MAX_OPERATIONS", "false"],
  [transactions, "sizeBytes + bytes > MAX_REQUEST_BYTES", "false"],
  [transactions, "4 * Math.ceil(valueBytes / 3)", "valueBytes"],
];

const TESTS = ["envelope", "codec", "keys", "ed25519-table", "registry", "rotation", "intake", "workload-batches", "state-writer", "kv-store"].map((name) => `build/test/unit/${name}.test.js`);
const jest = () =>
  spawnSync(
    process.execPath,
    ["--experimental-vm-modules", "--disable-warning=ExperimentalWarning", "node_modules/jest/bin/jest.js", "--bail", "--silent", ...TESTS],
    { cwd: root, stdio: "ignore" },
  ).status === 0;

if (!jest()) {
  console.error("the unit tests fail without any mutation: mend them first");
  process.exit(2);
}
let survived = 0;
const wanted = MUTANTS.filter(([file, from]) => `${file} ${from}`.includes(process.argv[2] ?? ""));
for (const [file, from, to] of wanted) {
  const path = join(root, file);
  const original = readFileSync(path, "utf8");
  if (!original.includes(from)) {
    console.error(`no longer in ${file}: ${from}`);
    survived += 1;
    continue;
  }
  writeFileSync(path, original.replace(from, () => to));
  try {
    const noticed = !jest();
    if (!noticed) survived += 1;
    console.log(`${noticed ? "killed  " : "SURVIVED"}  ${file.replace("build/src/beacon/", "")}: ${from}  →  ${to}`);
  } finally {
    writeFileSync(path, original);
  }
}
console.log(`${wanted.length - survived} of ${wanted.length} mutants killed`);
process.exit(survived === 0 ? 0 : 1);
