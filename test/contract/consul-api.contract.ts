/**
 * What every implementation of ConsulApi does, against a Consul with this one node, or one that
 * behaves like it. Names are made anew for each run, so that implementations may share a Consul.
 */
import { randomUUID } from "node:crypto";
import { type ConsulApi, ConsulError, type ServiceRegistration } from "../../src/sidecar/consul-api.js";

const text = (bytes: Uint8Array | undefined) => Buffer.from(bytes ?? []).toString();

async function codeOf(call: Promise<unknown>): Promise<string> {
  const error = await call.then(
    () => new Error("resolved"),
    (reason: unknown) => reason,
  );
  expect(error).toBeInstanceOf(ConsulError);
  return (error as ConsulError).code;
}

/** Blocking reads may return early; asks until the condition holds, bounded by the test's own deadline. */
async function until<T>(ask: () => Promise<T>, holds: (value: T) => boolean): Promise<T> {
  for (;;) {
    const value = await ask();
    if (holds(value)) return value;
  }
}

export function consulApiContract(subject: () => ConsulApi): void {
  const unique = randomUUID();
  let api: ConsulApi;
  let service: ServiceRegistration;

  beforeAll(() => {
    api = subject();
    service = {
      id: `service-${unique}`,
      name: `name-${unique}`,
      address: "127.0.0.9",
      port: 0,
      tags: ["sealed", "class-1ms"],
      meta: { "ibrl-v": "1", "ibrl-beacon": "A".repeat(512) },
      check: { id: `check-${unique}`, name: "TTL", ttlMs: 60_000, deregisterAfterMs: 3_600_000 },
    };
  });

  describe("the local agent", () => {
    it("says who it is and how many members it sees", async () => {
      const self = await api.self();
      expect(self).toMatchObject({ nodeName: expect.any(String), datacenter: expect.any(String), isServer: expect.any(Boolean) });
      expect(self.nodeId).toMatch(/^[0-9a-f]{8}-/);
      expect(self.version).toMatch(/^\d+\.\d+/);
      expect(Object.values(self.serfQueues).every((queued) => queued >= 0)).toBe(true);
      expect(self.lanMembers).toBeGreaterThanOrEqual(1);
    });

    it("lists itself among its members, alive", async () => {
      const self = await api.self();
      expect(await api.members()).toContainEqual({ name: self.nodeName, address: self.address, status: "alive" });
    });
  });

  describe("a service with a TTL check", () => {
    it("is unknown before it is registered", async () => {
      expect(await api.localService(service.id)).toBeNull();
      expect(await codeOf(api.passTtl(service.check.id, "ok"))).toBe("not-found");
    });

    it("is registered with all of its fields, critical until its TTL is passed", async () => {
      await api.registerService(service);
      const { check: _check, ...registered } = service;
      expect(await api.localService(service.id)).toEqual(registered);

      const first = await until(() => api.serviceInstances(service.name), ({ value }) => value.length > 0);
      const status = (read: typeof first) => read.value[0]?.checks.find(({ id }) => id === service.check.id)?.status;
      expect(status(first)).toBe("critical");

      await api.passTtl(service.check.id, "ok");
      const passing = await until(() => api.serviceInstances(service.name), (read) => status(read) === "passing");
      const self = await api.self();
      expect(passing.value[0]).toMatchObject({
        node: self.nodeName,
        nodeId: self.nodeId,
        datacenter: self.datacenter,
        nodeAddress: self.address,
        serviceId: service.id,
        address: service.address,
        port: service.port,
        tags: service.tags,
        meta: service.meta,
      });
      expect(passing.value[0]?.checks).toContainEqual({ id: "serfHealth", status: "passing" });
    });

    it("wakes a blocking read when it changes", async () => {
      const { index } = await api.serviceInstances(service.name);
      const blocked = api.serviceInstances(service.name, { index, waitMs: 30_000 });
      await api.registerService({ ...service, meta: { "ibrl-v": "2" } });
      const woken = await blocked;
      expect(woken.index).not.toBe(index);
      const changed = await until(() => api.serviceInstances(service.name), ({ value }) => value[0]?.meta["ibrl-v"] === "2");
      expect(changed.value[0]?.meta).toEqual({ "ibrl-v": "2" });
    });

    it("is gone after deregistration, which may be repeated", async () => {
      await api.deregisterService(service.id);
      await api.deregisterService(service.id);
      expect(await api.localService(service.id)).toBeNull();
      const gone = await until(() => api.serviceInstances(service.name), ({ value }) => value.length === 0);
      expect(gone.value).toEqual([]);
    });
  });

  describe("the catalog", () => {
    it("has the agent's node, and says how fresh it is", async () => {
      const self = await api.self();
      const nodes = await api.nodes({ consistency: "stale" });
      expect(nodes.value).toContainEqual({ node: self.nodeName, nodeId: self.nodeId, datacenter: self.datacenter, address: self.address });
      expect(nodes.index).toMatch(/^[1-9]\d*$/);
      expect(nodes.knownLeader).toBe(true);
      expect(nodes.lastContactMs).toBeGreaterThanOrEqual(0);
    });

    it("lists coordinates, none before the agent has measured any", async () => {
      const { value } = await api.coordinates();
      expect(value.every(({ vector }) => vector.every(Number.isFinite))).toBe(true);
    });

    it("answers a datacenter that does not exist with an error", async () => {
      expect(await codeOf(api.nodes({ datacenter: "nowhere" }))).not.toBe("protocol");
    });
  });

  describe("keys and values", () => {
    const key = (name: string) => `contract/${unique}/${name}`;

    it("reads nothing where nothing is, with an index to wait on", async () => {
      const nothing = await api.kvGet(key("none"));
      expect(nothing.value).toBeNull();
      expect(nothing.index).toMatch(/^[1-9]\d*$/);
      expect(await api.kvList(key("none/"))).toMatchObject({ value: [], oversized: [] });
    });

    it.each(["plain", "with space", "a//b", "/lead", "a/../b", "q?x#y%z+w&v=1", "é€𝄞", "tail/", "{key}", "quote\"s'"])("carries a value under %p", async (name) => {
      const bytes = Uint8Array.from({ length: 256 }, (_, i) => i);
      expect(await api.kvPut(key(name), bytes)).toBe(true);
      const { value } = await api.kvGet(key(name));
      expect(value?.key).toBe(key(name));
      expect(Buffer.from(value?.value ?? []).equals(bytes)).toBe(true);
      await api.kvDelete(key(name));
      expect((await api.kvGet(key(name))).value).toBeNull();
    });

    it.each([".", ".."])("does not mistake the key %p for a path", async (name) => {
      expect(await api.kvPut(name, "dots")).toBe(true);
      expect(text((await api.kvGet(name)).value?.value)).toBe("dots");
      await api.kvDelete(name);
    });

    it("carries empty values and text", async () => {
      await api.kvPut(key("empty"), "");
      await api.kvPut(key("text"), "größer");
      expect((await api.kvGet(key("empty"))).value?.value).toHaveLength(0);
      expect(text((await api.kvGet(key("text"))).value?.value)).toBe("größer");
    });

    it("tells a lost compare-and-set from a won one", async () => {
      expect(await api.kvPut(key("cas"), "first", { cas: "0" })).toBe(true);
      expect(await api.kvPut(key("cas"), "second", { cas: "0" })).toBe(false);
      const entry = (await api.kvGet(key("cas"))).value;
      expect(text(entry?.value)).toBe("first");
      expect(await api.kvPut(key("cas"), "third", { cas: entry?.modifyIndex ?? "" })).toBe(true);
      expect(await api.kvPut(key("cas"), "fourth", { cas: entry?.modifyIndex ?? "" })).toBe(false);
      expect(text((await api.kvGet(key("cas"))).value?.value)).toBe("third");
    });

    it("lists a prefix and leaves large values alone", async () => {
      await api.kvPut(key("list/small"), "s".repeat(100));
      await api.kvPut(key("list/large"), new Uint8Array(512 * 1024));
      await api.kvPut(key("lister"), "outside the prefix");
      const { value, oversized } = await api.kvList(key("list/"), { maxValueBytes: 100 });
      expect(oversized).toEqual([key("list/large")]);
      expect(value.map((entry) => [entry.key, entry.value.length])).toEqual([
        [key("list/large"), 0],
        [key("list/small"), 100],
      ]);
      expect((await api.kvList(key("list/"))).oversized).toEqual([]);
    });

    it("says an answer is too large where it is, and names the folders below a prefix", async () => {
      for (const name of ["b/1", "b/2", "a/deeper/1", "c"]) await api.kvPut(key(`folders/${name}`), "v".repeat(1_000));
      const { value } = await api.kvFolders(key("folders/"));
      expect(value).toEqual(["a", "b"]);
      expect((await api.kvFolders(key("none/"))).value).toEqual([]);
      expect(await codeOf(api.kvList(key("folders/"), { maxAnswerBytes: 4_000 }))).toBe("too-large");
      expect((await api.kvList(key("folders/"), { maxAnswerBytes: 40_000 })).value).toHaveLength(4);
    });

    it("refuses a value that Consul does not take", async () => {
      expect(await codeOf(api.kvPut(key("huge"), new Uint8Array(600 * 1024)))).toBe("rejected");
    });

    it("wakes a blocking read of a key that appears", async () => {
      const { index } = await api.kvGet(key("later"));
      const blocked = api.kvGet(key("later"), { index, waitMs: 30_000 });
      await api.kvPut(key("later"), "now");
      const woken = await until(() => blocked.then((read) => (read.value === null ? api.kvGet(key("later")) : read)), ({ value }) => value !== null);
      expect(text(woken.value?.value)).toBe("now");
    });
  });

  describe("user events", () => {
    it("are read back from the ring, by name or all, the payload byte for byte", async () => {
      const name = `e-${unique.slice(0, 8)}`;
      const payload = Uint8Array.from({ length: 200 }, (_, i) => 255 - i);
      await api.fireEvent(name, payload);
      await api.fireEvent(`${name}-other`, new Uint8Array(0));
      const named = await until(() => api.events(name), ({ value }) => value.length > 0);
      expect(named.value.map((event) => event.name)).toEqual([name]);
      expect(Buffer.from(named.value[0]?.payload ?? []).equals(payload)).toBe(true);
      const all = await until(() => api.events(""), ({ value }) => value.some((event) => event.name === `${name}-other`));
      expect(all.value.map(({ id }) => id)).toContain(named.value[0]?.id);
    });

    it("have an opaque index: the same until the ring changes", async () => {
      const name = `i-${unique.slice(0, 8)}`;
      await api.fireEvent(name, new Uint8Array(1));
      const before = await until(() => api.events(name), ({ value }) => value.length === 1);
      expect((await api.events(name)).index).toBe(before.index);
      const blocked = api.events(name, { index: before.index, waitMs: 30_000 });
      await api.fireEvent(name, new Uint8Array(2));
      expect((await blocked).index).not.toBe(before.index);
    });

    it("are refused where they are too long, for good", async () => {
      expect(await codeOf(api.fireEvent("long", new Uint8Array(600)))).toBe("rejected");
    });
  });

  describe("ending a call", () => {
    it("rejects at once when its signal aborts, before or during", async () => {
      expect(await codeOf(api.self({ signal: AbortSignal.abort() }))).toBe("aborted");
      const { index } = await api.nodes();
      const controller = new AbortController();
      const blocked = codeOf(api.nodes({ index, waitMs: 600_000, signal: controller.signal }));
      setImmediate(() => controller.abort());
      expect(await blocked).toBe("aborted");
    });
  });
}
