/** `proof merge`, `extract` and `verify` as processes, over files as `proof export` writes them. What the files mean: test/unit/proof-merge.test.ts. */
import { mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { proofFileText } from "../../src/beacon/proof-file.js";
import { builtProject, runCli } from "../harness/built-cli.js";
import { fileOf, segmentAfter } from "../harness/proofs.js";
import { identity } from "../harness/records.js";

const NODES = [1, 2, 3];
const hex = (which: number): string => Buffer.from(identity(which).publicKey).toString("hex");
const allocation = (which: number): string => `${String(which).repeat(8)}-0000-4000-8000-112233445566`;
let folder: string;
const at = (name: string): string => join(folder, name);
const proof = async (...args: string[]) => {
  const { code, stdout, stderr } = await runCli(["proof", ...args]);
  return { code, stdout, stderr };
};

beforeAll(() => {
  builtProject();
  folder = mkdtempSync(join(tmpdir(), "ibrl-proofs-"));
  for (const which of NODES) {
    const subject = { node: `node-${String(which)}`, allocation: allocation(which) };
    const first = segmentAfter(undefined, subject, identity(which));
    writeFileSync(at(`${String(which)}.json`), proofFileText(fileOf([first, segmentAfter(first, subject, identity(which))])));
  }
  writeFileSync(at("keys.txt"), NODES.map((which) => `${hex(which)}\n`).join(""));
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

test("three nodes' files become one, of which one is taken out; both are explained, against the root that the reader holds", async () => {
  const merged = await proof("merge", ...NODES.map((which) => at(`${String(which)}.json`)), "--trust", at("keys.txt"), "-o", at("merged.json"));
  expect(merged).toEqual({ code: 0, stderr: "", stdout: expect.stringMatching(/merged\.json: 3 allocations under root [0-9a-f]{64}\n$/) as string });
  const root = /root ([0-9a-f]{64})/.exec(merged.stdout)?.[1] ?? "";
  const again = await proof("merge", "--trust", at("keys.txt"), ...NODES.map((which) => at(`${String(which)}.json`)).reverse(), "-o", at("again.json"), "--json");
  expect(JSON.parse(again.stdout)).toMatchObject({ root, count: 3, places: NODES.map((which, index) => ({ allocation: allocation(which), index })) });
  expect(readFileSync(at("again.json"), "utf8")).toBe(readFileSync(at("merged.json"), "utf8"));

  const whole = await proof("verify", at("merged.json"), "--trust", at("keys.txt"), "--root", root.toUpperCase());
  expect(whole.stdout).toMatch(new RegExp(`^Root ${root} over 3 allocations: all in the file, and verified\n  held       against the one that you gave: the same\nAllocation ${allocation(1)}`));
  expect(await proof("extract", at("merged.json"), allocation(2).slice(0, 8), "-o", at("one.json"))).toMatchObject({ code: 0, stdout: expect.stringContaining(`one.json: allocation ${allocation(2)}, 2 hashes below root ${root}\n`) as string });
  expect(statSync(at("one.json")).size).toBeLessThan(statSync(at("merged.json")).size / 2);
  const one = await proof("verify", at("one.json"), "--trust", hex(2), "--root", root, "--json");
  expect(JSON.parse(one.stdout)).toMatchObject({ verified: true, chains: [{ node: "node-2" }], aggregate: { root, count: 3, inFile: 1, heldAgainst: "given" } });
}, 60_000);

test("what does not verify ends with 3: a file to merge, another root, a root for a file that has none", async () => {
  const untrusted = await proof("merge", at("1.json"), at("3.json"), "--trust", hex(1), "-o", at("no.json"), "--json");
  expect({ ...untrusted, stdout: JSON.parse(untrusted.stdout) as object }).toMatchObject({ code: 3, stdout: { error: { code: "unverified", message: expect.stringContaining("3.json does not verify: key (chain 1, entry 1)") as string } } });
  expect(() => statSync(at("no.json"))).toThrow("ENOENT");
  expect(await proof("verify", at("one.json"), "--trust", hex(2), "--root", "ab".repeat(32))).toMatchObject({ code: 3, stdout: expect.stringMatching(/^does not verify: aggregate: root /) as string });
  expect(await proof("verify", at("1.json"), "--trust", hex(1), "--root", "ab".repeat(32))).toMatchObject({ code: 3, stdout: expect.stringContaining("it stands under no root") as string });
  const plain = await proof("verify", at("1.json"), "--trust", hex(1), "--json");
  expect(JSON.parse(plain.stdout)).toMatchObject({ verified: true, aggregate: null });
  expect(await proof("verify", at("1.json"), "--trust", hex(1), "--root", "ab")).toMatchObject({ code: 2 });
  expect(await proof("merge", at("merged.json"), "--trust", at("keys.txt"), "-o", at("no.json"), "--json")).toMatchObject({ code: 3, stdout: expect.stringContaining("is not a proof file") as string });
  expect(await proof("extract", at("merged.json"), "99999999", "-o", at("no.json"))).toMatchObject({ code: 1, stderr: expect.stringContaining("no allocation 99999999") as string });
}, 60_000);
