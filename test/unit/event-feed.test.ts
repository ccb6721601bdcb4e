/** Fault 10, against an agent of the test that answers over HTTP as Consul does: a ring, and a hash for an index. */
import { Backoff } from "../../src/sidecar/backoff.js";
import type { Clock } from "../../src/sidecar/clock.js";
import type { UserEvent } from "../../src/sidecar/consul-api.js";
import { EventFeed } from "../../src/sidecar/event-feed.js";
import { type Behaviour, MisbehavingServer, answerJson, answerText } from "./misbehaving-server.js";

interface FakeEvent {
  id: string;
  name?: string;
}

/** Time passes only in sleeps, at once. */
class SteppedClock implements Pick<Clock, "monoMs" | "sleep"> {
  now = 0;
  readonly sleeps: number[] = [];
  monoMs = () => this.now;
  sleep = async (ms: number) => {
    this.sleeps.push(ms);
    this.now += ms;
  };
}

const ring = (events: readonly FakeEvent[]) =>
  JSON.stringify(events.slice(-256).map(({ id, name = "ibrl" }) => ({ ID: id, Name: name, Payload: Buffer.from(id).toString("base64"), LTime: 1 })));
const many = (from: number, to: number): FakeEvent[] => Array.from({ length: to - from }, (_, i) => ({ id: `e${from + i}` }));
const HUGE = "18446744073709551615";

describe("EventFeed", () => {
  let server: MisbehavingServer;
  beforeEach(async () => {
    server = new MisbehavingServer();
    await server.start();
  });
  afterEach(() => server.stop());

  /** Plays the answers in turn, one a request; ends the feed when they are used up. */
  async function play(answers: Behaviour[], onEvent: (event: UserEvent) => void = () => {}) {
    const controller = new AbortController();
    const clock = new SteppedClock();
    const log: string[] = [];
    const askedAt: number[] = [];
    server.behave = (request, response, socket) => {
      askedAt.push(clock.now);
      const next = answers.shift();
      if (next !== undefined) return next(request, response, socket);
      controller.abort();
      response.end();
    };
    const feed = new EventFeed(
      {
        consul: server.connect(),
        clock,
        backoff: new Backoff(() => 0.999),
        onEvent: (event) => {
          log.push(event.id);
          onEvent(event);
        },
        onGap: () => log.push("gap"),
        onError: (error, retryInMs) => log.push(`${(error as { code?: string }).code ?? String(error)} ${retryInMs === null ? "handler" : "retry"}`),
      },
      "ibrl",
    );
    await feed.run(controller.signal);
    return { log, askedAt, clock, counts: feed.counts, urls: server.requests.map(({ url }) => url) };
  }

  it("gives each event once, in order, though the whole ring comes each time", async () => {
    const { log, counts } = await play([
      answerJson(ring(many(0, 2)), { index: "11" }),
      answerJson(ring(many(0, 3)), { index: "12" }),
      answerJson(ring(many(0, 3)), { index: "12" }),
    ]);
    expect(log).toEqual(["e0", "e1", "e2"]);
    expect(counts).toEqual({ requests: 4, delivered: 3, gaps: 0, errors: 0 });
  });

  it("waits on the index digit for digit above 2^53, and when it goes backwards", async () => {
    const { urls, log } = await play([
      answerJson(ring(many(0, 1)), { index: HUGE }),
      answerJson(ring(many(0, 2)), { index: "9007199254740993" }),
      answerJson(ring(many(0, 2)), { index: "5" }),
    ]);
    const indexes = urls.map((url) => new URL(url, "http://consul").searchParams.get("index"));
    expect(indexes).toEqual([null, HUGE, "9007199254740993", "5"]);
    expect(log).toEqual(["e0", "e1"]);
  });

  it.each(["0", "18446744073709551616"])("asks at once, without an index, after the index %s", async (index) => {
    const { urls, log } = await play([answerJson(ring(many(0, 1)), { index }), answerJson(ring(many(0, 1)), { index })]);
    expect(urls).toEqual(["/v1/event/list", "/v1/event/list", "/v1/event/list"]);
    expect(log).toEqual(["e0"]);
  });

  it("counts a gap, once, and calls for a resync when 300 events came between two reads", async () => {
    const { log, counts } = await play([
      answerJson(ring(many(0, 10)), { index: "1" }),
      answerJson(ring(many(0, 310)), { index: "2" }),
      answerJson(ring(many(0, 311)), { index: "3" }),
    ]);
    expect(counts).toMatchObject({ gaps: 1, delivered: 10 + 256 + 1 });
    expect(log.indexOf("gap")).toBe(10);
    expect(new Set(log).size).toBe(log.length);
  });

  it("sees events of other names push ours out, and gives ours only", async () => {
    const others = many(0, 300).map((event) => ({ ...event, name: "other" }));
    const { log } = await play([
      answerJson(ring([{ id: "ours" }]), { index: "1" }),
      answerJson(ring([{ id: "ours" }, ...others]), { index: "2" }),
      answerJson(ring([...others, { id: "later" }]), { index: "3" }),
    ]);
    expect(log).toEqual(["ours", "gap", "later"]);
  });

  it("asks at most once a second, however fast the answers come", async () => {
    const { askedAt } = await play(Array.from({ length: 20 }, (_, i) => answerJson(ring(many(0, i)), { index: `${i + 1}` })));
    const gaps = askedAt.slice(1).map((at, i) => at - (askedAt[i] ?? 0));
    expect(Math.min(...gaps)).toBeGreaterThanOrEqual(1000);
  });

  it("reports each failure, backs off longer each time, and goes on without doubling an effect", async () => {
    const { log, askedAt, counts, urls } = await play([
      answerJson(ring(many(0, 2)), { index: "1" }),
      answerText(500, "No cluster leader"),
      answerText(200, "<html>", "text/html"),
      (_request, _response, socket) => socket.destroy(),
      answerText(429, "slow down"),
      answerJson(ring(many(0, 3)), { index: "2" }),
    ]);
    expect(log).toEqual(["e0", "e1", "no-leader retry", "protocol retry", "unreachable retry", "rate-limited retry", "e2"]);
    expect(counts.errors).toBe(4);
    const waits = askedAt.slice(2, 6).map((at, i) => Math.round((at - (askedAt[i + 1] ?? 0)) / 1000));
    expect(waits).toEqual([1, 1, 2, 4]);
    expect(urls.slice(2, 6).every((url) => url === "/v1/event/list")).toBe(true);
  });

  it("goes on after a handler that throws, and does not give it the event again", async () => {
    const { log } = await play([answerJson(ring(many(0, 2)), { index: "1" }), answerJson(ring(many(0, 2)), { index: "2" })], (event) => {
      if (event.id === "e0") throw new Error("boom");
    });
    expect(log).toEqual(["e0", "Error: boom handler", "e1"]);
  });

  it("ends on its signal, in the middle of a read and before the first", async () => {
    await expect(play([])).resolves.toMatchObject({ log: [], counts: { requests: 1, errors: 0 } });
    const feed = new EventFeed(
      { consul: server.connect(), clock: new SteppedClock(), backoff: new Backoff(Math.random), onEvent: () => {}, onGap: () => {}, onError: () => {} },
      "ibrl",
    );
    await feed.run(AbortSignal.abort());
    expect(feed.counts.requests).toBe(0);
  });
});
