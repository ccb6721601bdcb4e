/**
 * Mutated records by the million through the decoders and `open()`: findings (a throw that is not expected, a record that
 * opens and was never sealed), and what the heap holds before and after. The run, some ten minutes:
 * `--decoders 10000000 --opens 1000000`. Ends with 1 where there is a finding.
 */
import { verify } from "node:crypto";
import { type AdmittedKey } from "../src/beacon/keys.js";
import { fuzzDecoders, fuzzOpen, type FuzzResult } from "../test/harness/fuzzing.js";
import { heldBytes } from "../test/harness/heap.js";
import { context, identity } from "../test/harness/records.js";
import { type Report, runBench } from "./report.js";

await runBench({ decoders: 1_000_000, opens: 100_000, seed: 1 }, ({ decoders, opens, seed }) => {
  const verifyUs = bareVerifyUs();
  const rows = [row("decoders (envelope, beacon, state)", fuzzDecoders, decoders, seed, verifyUs), row("open(), keys judged in place", fuzzOpen, opens, seed, verifyUs)];
  const report: Report = {
    title: "Mutated records",
    method:
      `Method: one to three mutations of sealed records and payloads, seed ${String(seed)}; a tenth of the inputs first, uncounted. Held: the heap after\n` +
      `a collection. A mutated key that is a point of the curve costs a whole torsion check. One bare verify took ${verifyUs.toFixed(0)} µs here: the ratio is to it.`,
    columns: [
      { key: "what", heading: "What" },
      { key: "inputs", heading: "Inputs" },
      { key: "findings", heading: "Findings" },
      { key: "perSecond", heading: "Per second" },
      { key: "ratio", heading: "Ratio", digits: 2 },
      { key: "heldBeforeMb", heading: "Held MB before", digits: 2 },
      { key: "heldAfterMb", heading: "after", digits: 2 },
      { key: "outcomes", heading: "Outcomes" },
    ],
    rows,
  };
  return report;
});

function row(what: string, fuzz: (count: number, seed: number) => FuzzResult, inputs: number, seed: number, verifyUs: number) {
  fuzz(Math.ceil(inputs / 10), seed + 1);
  const before = heldBytes();
  const from = performance.now();
  const { outcomes, findings } = fuzz(inputs, seed);
  const elapsedMs = performance.now() - from;
  const after = heldBytes();
  for (const finding of findings.slice(0, 20)) console.error(finding);
  if (findings.length > 0) throw new Error(`findings in ${what}`);
  return {
    what, inputs, findings: findings.length, perSecond: (inputs / elapsedMs) * 1_000, ratio: (elapsedMs * 1_000) / inputs / verifyUs,
    heldBeforeMb: before / 1e6, heldAfterMb: after / 1e6,
    outcomes: Object.entries(outcomes).sort(([, a], [, b]) => b - a).map(([name, count]) => `${name} ${String(count)}`).join(", "),
  };
}

/** Wall time of one verification of a signature that is wrong, as a mutated one's is. */
function bareVerifyUs(): number {
  const { verifier } = context().keys.admit(identity(1).publicKey) as AdmittedKey;
  const [message, signature] = [Buffer.alloc(133, 7), Buffer.alloc(64, 1)];
  const from = performance.now();
  for (let i = 0; i < 2_000; i++) verify(null, message, verifier, signature);
  return ((performance.now() - from) * 1_000) / 2_000;
}
