/** How long a client that Nomad does not hear must have been without a word from it: never more than is certain. */
import { systemClock } from "../../src/sidecar/clock.js";
import { decodeStopsOnClient } from "../../src/sidecar/nomad/decode-jobs.js";
import { NomadError } from "../../src/sidecar/nomad-api.js";
import type { SchedulableNode, StopsOnClient } from "../../src/sidecar/nomad-jobs.js";
import { Silences } from "../../src/sidecar/placement/silence.js";

const DOWN_AT_MS = 1_795_000_000_000;
const budget = { signal: new AbortController().signal, leftMs: () => 1_000 };

function watching(stops: StopsOnClient | NomadError = {}) {
  const now = { monoMs: 5_000, status: "down", changedAtMs: DOWN_AT_MS };
  const node = async () => ({ status: now.status, statusChangedAtMs: now.changedAtMs }) as SchedulableNode;
  const stopsOnClient = async () => {
    if (stops instanceof Error) throw stops;
    return stops;
  };
  const clock = { ...systemClock, monoMs: () => now.monoMs };
  const silences = new Silences({ nomad: { node, stopsOnClient }, clock, nomadDownAfterMs: 20_000 });
  return { now, silence: () => silences.of("n", budget) };
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
