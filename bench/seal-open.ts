/**
 * What sealing, opening and admitting a key cost, as multiples of the bare signature: node:crypto's sign or verify
 * over the same number of bytes.
 */
import { sign, verify } from "node:crypto";
import { BEACON, open, type Purpose, seal, STATE } from "../src/beacon/envelope.js";
import { type AdmittedKey, KEY_BYTES, KeyAdmission } from "../src/beacon/keys.js";
import type { RecordHeader } from "../src/beacon/record.js";
import { beacon, context, identity, state, workload } from "../test/harness/records.js";
import { median, range, type Report, runBench } from "./report.js";

interface Pair {
  what: string;
  against: string;
  signedBytes: number;
  /** Calls of ours in one batch: some 30 ms, short beside what else disturbs the machine. */
  times: number;
  ours: (i: number) => unknown;
  bare: (i: number) => unknown;
}

/** The same for the bare call: 8 to 25 ms. */
const BARE_CALLS = 200;

const me = identity(1);
const at = context(); // one KeyAdmission for all: the key is known after the first record, as in a running sidecar
const keys = Array.from({ length: 32 }, (_, i) => identity(i + 1).publicKey);

await runBench({ rounds: 25 }, measure);

function measure({ rounds }: { rounds: number }): Report {
  const pairs = allPairs();
  for (const pair of pairs) round(pair, 0); // compiles the code, and is not counted
  const timings = Array.from({ length: rounds }, (_, index) => pairs.map((pair) => round(pair, index)));
  return {
    title: "Seal and open",
    method:
      `Method: ${String(rounds)} rounds; in each, a batch of ours and a batch of the bare call right after one another, in alternating order.\n` +
      "Processor time, not wall time; figures are medians of the rounds, and the ratio (cost of ours over cost of the bare call) is\n" +
      "taken within each round. Every result is checked. The key is known but in the last row, where it is seen for the first time.",
    columns: [
      { key: "what", heading: "What" },
      { key: "signedBytes", heading: "Signed bytes" },
      { key: "perSecond", heading: "Per second" },
      { key: "oursUs", heading: "µs each", digits: 1 },
      { key: "against", heading: "Bare" },
      { key: "barePerSecond", heading: "Per second" },
      { key: "ratio", heading: "Ratio", digits: 2 },
      { key: "ratioRange", heading: "Min–max" },
    ],
    rows: pairs.map(({ what, against, signedBytes }, index) => {
      const measured = timings.map((perPair) => perPair[index] as Timing);
      const [oursUs, bareUs] = [median(measured.map(({ ours }) => ours)), median(measured.map(({ bare }) => bare))];
      const ratios = measured.map(({ ours, bare }) => ours / bare);
      return {
        what, signedBytes, perSecond: 1e6 / oursUs, oursUs, against, barePerSecond: 1e6 / bareUs, ratio: median(ratios), ratioRange: range(ratios, 2),
      };
    }),
  };
}

function allPairs(): Pair[] {
  const oneBeacon = beacon();
  const oneState = state({ workloads: Array.from({ length: 10 }, (_, i) => workload(i)) });
  const [sealedBeacon, sealedState] = [seal(BEACON, oneBeacon, me), seal(STATE, oneState, me)];
  const beaconBytes = signedLength(BEACON, oneBeacon);
  const stateBytes = signedLength(STATE, oneState);
  const [bareBeacon, bareState] = [bareCalls(beaconBytes), bareCalls(stateBytes)];
  const opens = (opened: { ok: boolean }) => opened.ok;
  return [
    { what: "seal a beacon", against: "sign", signedBytes: beaconBytes, times: 400, ours: () => seal(BEACON, oneBeacon, me).length, bare: bareBeacon.sign },
    { what: "open a beacon", against: "verify", signedBytes: beaconBytes, times: 200, ours: () => opens(open(BEACON, sealedBeacon, at)), bare: bareBeacon.verify },
    { what: "open a state, 10 workloads", against: "verify", signedBytes: stateBytes, times: 200, ours: () => opens(open(STATE, sealedState, at)), bare: bareState.verify },
    { what: "admit a new key", against: "verify", signedBytes: beaconBytes, times: 20, ours: admitNew, bare: bareBeacon.verify },
  ];
}

/** What the signature covers (envelope.ts): domain, type, key and payload, each after 4 bytes of length. */
function signedLength<R extends RecordHeader>(purpose: Purpose<R>, record: R): number {
  return [purpose.domain.length, 4, KEY_BYTES, purpose.encode(record).length].reduce((sum, length) => sum + 4 + length, 0);
}

function bareCalls(length: number) {
  const message = Buffer.alloc(length, 7);
  const { verifier } = at.keys.admit(me.publicKey) as AdmittedKey;
  const signature = sign(null, message, me.privateKey);
  return { sign: () => sign(null, message, me.privateKey).length, verify: () => verify(null, message, verifier, signature) };
}

/** A store that knows no key yet, so that the whole check runs. */
function admitNew(i: number): boolean {
  return typeof new KeyAdmission().admit(keys[i % keys.length] as Uint8Array) === "object";
}

interface Timing {
  /** Microseconds of processor time a call. */
  ours: number;
  bare: number;
}

function round({ times, ours, bare }: Pair, index: number): Timing {
  if (index % 2 === 0) return { ours: batch(ours, times), bare: batch(bare, BARE_CALLS) };
  const bareUs = batch(bare, BARE_CALLS);
  return { ours: batch(ours, times), bare: bareUs };
}

function batch(call: (i: number) => unknown, times: number): number {
  // Processor time of this process: what others do on the machine is not in it.
  const from = process.cpuUsage();
  for (let i = 0; i < times; i++) if (!call(i)) throw new Error("a call failed, so its time means nothing");
  const { user, system } = process.cpuUsage(from);
  return (user + system) / times;
}
