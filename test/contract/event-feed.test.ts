/** Fault 10 on a real agent: its own ring, its own index. */
import { Backoff } from "../../src/sidecar/backoff.js";
import type { ConsulApi, Read, UserEvent } from "../../src/sidecar/consul-api.js";
import { EventFeed } from "../../src/sidecar/event-feed.js";
import { systemClock } from "../../src/sidecar/clock.js";
import { type OneAgent, START_WITHIN_MS, startOneAgent } from "./one-agent.js";

/** Lets the test decide when the feed's next request starts. */
class Gate {
  #open: () => void = () => {};
  #passed = Promise.resolve();
  close(): void {
    this.#passed = new Promise((resolve) => (this.#open = resolve));
  }
  open(): void {
    this.#open();
  }
  get passed(): Promise<void> {
    return this.#passed;
  }
}

describe("EventFeed on a real agent", () => {
  let one: OneAgent;
  let api: ConsulApi;
  beforeAll(async () => {
    one = await startOneAgent();
    api = one.connect();
  }, START_WITHIN_MS);
  afterAll(() => one?.stop(), 60_000);

  async function fire(from: number, to: number): Promise<void> {
    for (let i = from; i < to; i += 1) await api.fireEvent("ibrl", Buffer.from(`n${i}`));
  }

  it("gives every event once, and counts a gap when 300 came between two reads", async () => {
    const controller = new AbortController();
    const gate = new Gate();
    const effects: string[] = [];
    const gaps: number[] = [];
    const errors: unknown[] = [];
    const indexes: string[] = [];
    let wake: () => void = () => {};
    let asked: () => void = () => {};
    let pending = false;
    const consul = {
      events: async (...args: Parameters<ConsulApi["events"]>): Promise<Read<UserEvent[]>> => {
        await gate.passed;
        pending = true;
        asked();
        const read = await api.events(...args);
        pending = false;
        indexes.push(read.index);
        return read;
      },
    };
    const feed = new EventFeed(
      {
        consul,
        clock: systemClock,
        backoff: new Backoff(Math.random),
        onEvent: ({ payload }) => {
          effects.push(Buffer.from(payload).toString());
          wake();
        },
        onGap: () => gaps.push(effects.length),
        onError: (error) => errors.push(error),
      },
      "ibrl",
    );
    const effect = async (last: string) => {
      while (!effects.includes(last)) await new Promise<void>((resolve) => (wake = resolve));
    };
    const running = feed.run(controller.signal);
    await fire(0, 10);
    await effect("n9");
    expect(gaps).toEqual([]);

    while (!pending) await new Promise<void>((resolve) => (asked = resolve));
    gate.close();
    await fire(10, 11); // ends the read that is under way
    await effect("n10");
    await fire(11, 311);
    gate.open();
    await effect("n310");
    expect(gaps).toEqual([11]);

    await fire(311, 312);
    await effect("n311");
    controller.abort();
    await running;

    expect(feed.counts).toMatchObject({ gaps: 1, errors: 0, delivered: 11 + 256 + 1 });
    expect(new Set(effects).size).toBe(effects.length);
    expect(effects.slice(11, 267)).toEqual(Array.from({ length: 256 }, (_, i) => `n${55 + i}`));
    expect(errors).toEqual([]);
    expect(indexes.some((index) => BigInt(index) > 2n ** 53n)).toBe(true);
  }, 60_000);

  it("sees the ring of a restarted agent as a gap, and goes on", async () => {
    const controller = new AbortController();
    const seen: string[] = [];
    let wake: () => void = () => {};
    const log = (what: string) => {
      seen.push(what);
      wake();
    };
    const feed = new EventFeed(
      {
        consul: api,
        clock: systemClock,
        backoff: new Backoff(Math.random, { initialMs: 200, maxMs: 500 }),
        onEvent: ({ payload }) => log(Buffer.from(payload).toString()),
        onGap: () => log("gap"),
        onError: () => log("error"),
      },
      "ibrl",
    );
    const until = async (what: string) => {
      while (!seen.includes(what)) await new Promise<void>((resolve) => (wake = resolve));
    };
    const running = feed.run(controller.signal);
    await fire(400, 401);
    await until("n400");
    await one.agent.restart();
    await until("gap");
    await fire(401, 402);
    await until("n401");
    controller.abort();
    await running;
    expect(seen.filter((what) => what === "gap")).toHaveLength(1);
    expect(seen.indexOf("error")).toBeLessThan(seen.indexOf("gap"));
    expect(seen.filter((what) => what === "n400")).toHaveLength(1);
  }, 120_000);
});
