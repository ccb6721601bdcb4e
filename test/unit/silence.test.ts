/** How long a client that Nomad does not hear must have been without a word from it: never more than is certain. */
import { systemClock } from "../../src/sidecar/clock.js";
import { decodeStopsOnClient } from "../../src/sidecar/nomad/decode-jobs.js";
import { NomadError } from "../../src/sidecar/nomad-api.js";
import type { BlockingCallOptions, SchedulableNode, StopsOnClient } from "../../src/sidecar/nomad-jobs.js";
import { Silences } from "../../src/sidecar/placement/silence.js";

const DOWN_AT_MS = 1_795_000_000_000;
const budget = { signal: new AbortController().signal, leftMs: () => 1_000 };

function watching(stops: StopsOnClient | NomadError = {}) {
  const now = { monoMs: 5_000, status: "down", changedAtMs: DOWN_AT_MS };
  const asked: { index: string; waitMs: number | undefined; answer: (error?: NomadError) => void; signal: AbortSignal | undefined }[] = [];
  const node = async (_: string, { index, waitMs, signal }: BlockingCallOptions = {}) => {
    if (index !== undefined) await new Promise<void>((resolve, reject) => asked.push({ index, waitMs, signal, answer: (error) => (error === undefined ? resolve() : reject(error)) }));
    return { status: now.status, statusChangedAtMs: now.changedAtMs, index: "7" } as SchedulableNode;
  };
  const stopsOnClient = async () => {
    if (stops instanceof Error) throw stops;
    return stops;
  };
  const slept: { ms: number; end: () => void }[] = [];
  const sleep = (ms: number) => new Promise<void>((resolve) => slept.push({ ms, end: resolve }));
  const clock = { ...systemClock, monoMs: () => now.monoMs, sleep };
  const silences = new Silences({ nomad: { node, stopsOnClient }, clock, nomadDownAfterMs: 20_000 });
  return { now, asked, slept, silences, silence: () => silences.of("n", budget) };
}

test("as long as Nomad says nothing there is none; then 20 s at its word, and what passes since it was seen", async () => {
  const { now, silence } = watching();
  now.status = "ready";
  expect(await silence()).toBeUndefined();
  now.status = "down";
  expect(await silence()).toEqual({ forMs: 20_000, shortestStopMs: undefined });
  now.monoMs += 1_500;
  expect((await silence())?.forMs).toBe(21_500);
  now.status = "ready";
  expect(await silence()).toBeUndefined();
  now.status = "disconnected"; // the same, on a node with work that may come back
  expect((await silence())?.forMs).toBe(20_000);
});

test("a node that was heard while nobody looked, and is down again, begins anew", async () => {
  const { now, silence } = watching();
  await silence();
  now.monoMs += 40_000;
  expect((await silence())?.forMs).toBe(60_000);
  now.changedAtMs += 39_000;
  expect((await silence())?.forMs).toBe(20_000);
});

test("an allocation that the client was given later than its last heartbeat counts from there", async () => {
  const of = async (msBefore: number) => (await watching({ newestAtMs: DOWN_AT_MS - msBefore }).silence())?.forMs;
  expect([await of(3_600_000), await of(20_000), await of(12_000), await of(-500)]).toEqual([20_000, 20_000, 12_000, -500]);
});

test("the time until the next look ends at Nomad's new word on a node that it heard, and at no failed question", async () => {
  const { now, asked, slept, silences, silence } = watching();
  const waits = async () => {
    let over = false;
    const change = silences.change(999.5, new AbortController().signal).then(() => (over = true));
    return { change, isOver: async () => (await new Promise(setImmediate), over) };
  };
  now.status = "ready";
  await silence();
  const first = await waits();
  expect([asked.length, asked[0]?.index, asked[0]?.waitMs, await first.isOver()]).toEqual([1, "7", 1_000, false]);
  asked[0]?.answer();
  await first.change;
  expect(asked[0]?.signal?.aborted).toBe(true);

  const second = await waits(); // nobody was asked for since
  expect([asked.length, await second.isOver()]).toEqual([1, false]);
  slept.at(-1)?.end();
  await second.change;

  await silence();
  const third = await waits();
  asked[1]?.answer(new NomadError("unreachable", "node", "refused"));
  expect(await third.isOver()).toBe(false);
  slept.at(-1)?.end();
  await third.change;

  now.status = "down";
  await silence();
  const fourth = await waits();
  expect(asked.length).toBe(2);
  slept.at(-1)?.end();
  await fourth.change;
});

test("where there are too many to be read the worst is believed; any other failure is one", async () => {
  expect(await watching(new NomadError("too-large", "node allocations", "over 16 MiB")).silence()).toEqual({ forMs: 0, shortestStopMs: 0 });
  await expect(watching(new NomadError("timeout", "node allocations", "late")).silence()).rejects.toMatchObject({ code: "timeout" });
});

test("of a node's allocations those count that it ends by itself, under either name of the setting", () => {
  const allocation = (createdMs: number, group: object) => ({ TaskGroup: "g", CreateTime: createdMs * 1e6, Job: { TaskGroups: [{ Name: "other", Disconnect: { StopOnClientAfter: 1 } }, { Name: "g", ...group }] } });
  expect(decodeStopsOnClient([])).toEqual({});
  expect(decodeStopsOnClient([allocation(9_000, {}), allocation(8_000, { Disconnect: null }), allocation(7_000, { Disconnect: { LostAfter: 6e9 } })])).toEqual({});
  const stops = [allocation(9_000, {}), allocation(2_000, { Disconnect: { StopOnClientAfter: 30e9 } }), allocation(1_000, { StopAfterClientDisconnect: 25e9 })];
  expect(decodeStopsOnClient(stops)).toEqual({ newestAtMs: 2_000, shortestStopMs: 25_000 });
  expect(() => decodeStopsOnClient({})).toThrow("allocations is not a list");
});
