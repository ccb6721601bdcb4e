import type { ConsulConnection } from "../../src/sidecar/consul/connect.js";
import { consulApiContract } from "./consul-api.contract.js";
import { kvTransactionsContract } from "./kv-transactions.contract.js";
import { type OneAgent, START_WITHIN_MS, startOneAgent } from "./one-agent.js";

describe("the adapter on a real agent", () => {
  let one: OneAgent;
  let api: ConsulConnection;

  beforeAll(async () => {
    one = await startOneAgent();
    api = one.connect();
  }, START_WITHIN_MS);
  afterAll(() => one?.stop(), 60_000);

  consulApiContract(() => api);
  kvTransactionsContract(() => api);

  it("gives up a blocking read after its wait, by itself", async () => {
    const { index } = await api.kvGet("quiet");
    expect((await api.kvGet("quiet", { index, waitMs: 50 })).value).toBeNull();
  });

  it("lets one session hold a lock, deletes the lock with the session, and says that an ended one is not renewed", async () => {
    const sessions = await Promise.all(["one", "two"].map((name) => api.createSession({ name, ttlMs: 10_000, lockDelayMs: 0 })));
    const [first = "", second = ""] = sessions;
    expect(await api.acquireLock("lock", first, "mine")).toBe(true);
    expect(await api.acquireLock("lock", second, "mine")).toBe(false);
    expect(await api.renewSession(first)).toBe(true);
    await api.destroySession(first);
    expect((await api.kvGet("lock")).value).toBeNull();
    expect(await api.renewSession(first)).toBe(false);
    expect(await api.acquireLock("lock", second, "mine")).toBe(true);
    await expect(api.acquireLock("lock", first, "mine")).rejects.toMatchObject({ name: "ConsulError" });
    await api.destroySession(first);
    await api.destroySession(second);
  });

  it("reports an agent that is gone as unreachable, and finds it again when it is back", async () => {
    await one.agent.stop();
    await expect(api.self()).rejects.toMatchObject({ code: "unreachable", transient: true });
    await one.agent.start();
    await one.agent.waitReady();
    await expect(api.self()).resolves.toMatchObject({ nodeName: "contract-1" });
  }, 120_000);
});
