/** Interface counters: the kernel's text, and rates that are unknown rather than wrong. */
import { writeFileSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import fc from "fast-check";
import type { InterfaceCounters } from "../../src/sidecar/metrics.js";
import { InterfaceRates, parseNetDev, readInterfaces } from "../../src/sidecar/readings/interfaces.js";
import { measured, unmeasured } from "../../src/sidecar/readings/reading.js";

const HEAD = `Inter-|   Receive                                                |  Transmit
 face |bytes    packets errs drop fifo frame compressed multicast|bytes    packets errs drop fifo colls carrier compressed
`;
const NET_DEV = `${HEAD}    lo: 2776770   11307    0    0    0     0          0         0  2776770   11307    0    0    0     0       0          0
  eth0: 1215645    2751    0    0    0     0          0         0  1782404    4324    0    0    0   427       0          0
wlp0s20f3:18446744073709551615 1 0 0 0 0 0 0 7 1 0 0 0 0 0 0
eth0:1:  10 1 0 0 0 0 0 0 20 1 0 0 0 0 0 0
`;

test("octets received and sent, by interface, without loopback unless asked", () => {
  expect(parseNetDev(NET_DEV)).toEqual([
    { name: "eth0", receiveBytes: 1_215_645, transmitBytes: 1_782_404 },
    { name: "wlp0s20f3", receiveBytes: 2 ** 64, transmitBytes: 7 },
    { name: "eth0:1", receiveBytes: 10, transmitBytes: 20 },
  ]);
  expect(parseNetDev(NET_DEV, { loopback: true })[0]).toEqual({ name: "lo", receiveBytes: 2_776_770, transmitBytes: 2_776_770 });
});

test("whatever the text, only whole lines count and nothing is NaN", () => {
  expect(parseNetDev(`${HEAD}eth0: 1 2 3\neth1: a b c\n:\n`)).toEqual([]);
  fc.assert(
    fc.property(fc.string(), (text) => {
      for (const { receiveBytes, transmitBytes } of parseNetDev(text)) expect(Number.isNaN(receiveBytes + transmitBytes)).toBe(false);
    }),
  );
});

test("a file that is not there is unknown, not an error; one that is there is read", async () => {
  const folder = mkdtempSync(join(tmpdir(), "net-"));
  expect(await readInterfaces(join(folder, "dev"))).toMatchObject({ value: undefined, reason: "interfaces-unreadable" });
  writeFileSync(join(folder, "dev"), NET_DEV);
  expect((await readInterfaces(join(folder, "dev"))).value).toHaveLength(3);
  rmSync(folder, { recursive: true });
});

const run = process.platform === "linux" ? test : test.skip;
run("the kernel's own file is understood", async () => {
  expect(Array.isArray((await readInterfaces()).value)).toBe(true);
});

describe("rates", () => {
  function bench() {
    const state = { nowMs: 1_000, counters: [] as InterfaceCounters[] | undefined };
    const rates = new InterfaceRates({ monoMs: () => state.nowMs }, () => Promise.resolve(state.counters === undefined ? unmeasured("interfaces-unreadable") : measured(state.counters)));
    return {
      at: (ms: number, ...counters: [name: string, received: number, sent: number][]) => {
        state.nowMs = ms;
        state.counters = counters.map(([name, receiveBytes, transmitBytes]) => ({ name, receiveBytes, transmitBytes }));
        return rates.read();
      },
      unreadable: () => {
        state.counters = undefined;
        return rates.read();
      },
    };
  }

  test("octets a second between two reads; the first read has none", async () => {
    const { at } = bench();
    expect(await at(1_000, ["eth0", 100, 50])).toEqual({ value: undefined, reason: "interfaces-read-once" });
    expect(await at(3_000, ["eth0", 2_100, 50])).toEqual({ value: [{ name: "eth0", receiveBytesPerSecond: 1_000, transmitBytesPerSecond: 0 }] });
    expect(await at(3_000, ["eth0", 9_999, 50])).toMatchObject({ value: undefined });
  });

  test("a counter that went back has no rate in that interval, and one in the next", async () => {
    const { at } = bench();
    await at(1_000, ["eth0", 2 ** 32 - 10, 5], ["eth1", 0, 0]);
    expect((await at(2_000, ["eth0", 90, 6], ["eth1", 8, 0])).value?.map(({ name }) => name)).toEqual(["eth1"]);
    expect(await at(3_000, ["eth0", 190, 6])).toEqual({ value: [{ name: "eth0", receiveBytesPerSecond: 100, transmitBytesPerSecond: 0 }] });
  });

  test("a new interface has a rate from its second read on, and after a failed read all do", async () => {
    const { at, unreadable } = bench();
    await at(1_000, ["eth0", 0, 0]);
    expect((await at(2_000, ["eth0", 1, 0], ["tun0", 1e9, 0])).value?.map(({ name }) => name)).toEqual(["eth0"]);
    expect(await unreadable()).toMatchObject({ value: undefined, reason: "interfaces-unreadable" });
    expect(await at(4_000, ["eth0", 5, 0])).toMatchObject({ reason: "interfaces-read-once" });
  });
});
