import { createSocket } from "node:dgram";
import { once } from "node:events";
import { createServer } from "node:net";
import { type Addressing, MAX_SHIFTS, type NodeEndpoints, nodeEndpoints, reservePorts } from "../../src/dev/ports.js";

/** "127.0.0.1:8500" of every fixed port. */
function sockets(endpoints: readonly NodeEndpoints[]): string[] {
  return endpoints.flatMap(({ address, ports }) =>
    Object.values(ports)
      .filter((port) => typeof port === "number")
      .map((port) => `${address}:${port}`),
  );
}

/** Each dynamic port; they are on one interface, whatever the addressing. */
function dynamicPorts(endpoints: readonly NodeEndpoints[]): number[] {
  return endpoints.flatMap(({ ports: { nomadDynamic } }) =>
    Array.from({ length: nomadDynamic.to - nomadDynamic.from + 1 }, (_, i) => nomadDynamic.from + i),
  );
}

const ADDRESSINGS: [Addressing, number][] = [
  ["addresses", 50],
  ["ports", 5],
];

describe.each(ADDRESSINGS)("by %s", (addressing, most) => {
  it("no two nodes, and no two sets, share a port", () => {
    const sets = Array.from({ length: MAX_SHIFTS + 1 }, (_, shift) => nodeEndpoints(most, addressing, shift));
    const all = sets.flatMap(sockets);
    expect(new Set(all).size).toBe(all.length);
    const dynamic = sets.flatMap(dynamicPorts);
    expect(new Set(dynamic).size).toBe(dynamic.length);
    expect(Math.min(...dynamic)).toBeGreaterThan(Math.max(...all.map((socket) => Number(socket.split(":")[1]))));
    expect(Math.max(...dynamic)).toBeLessThan(32_768);
  });

  it("node 1 of the first set has the ports that programs look at by themselves", () => {
    expect(nodeEndpoints(1, addressing)[0]).toMatchObject({
      address: "127.0.0.1",
      ports: { consulHttp: 8500, sidecarGrpc: 8000, sidecarHttp: 8001, nomadHttp: 4646 },
    });
  });

  it.each([0, -1, 1.5, most + 1])("%d nodes are refused", (nodes) => {
    expect(() => nodeEndpoints(nodes, addressing)).toThrow(expect.objectContaining({ code: "bad-option" }));
  });
});

describe("a port that is taken moves the whole set", () => {
  const first = 12; // away from clusters that run meanwhile
  const [node] = nodeEndpoints(1, "ports", first) as [NodeEndpoints];

  it("when it is a TCP port, also on all addresses", async () => {
    const other = createServer().listen(node.ports.consulHttp, "0.0.0.0");
    await once(other, "listening");
    const set = await reservePorts(1, "ports", first);
    expect(set.shift).toBeGreaterThan(first);
    expect(set.taken[0]).toBe(`127.0.0.1:${node.ports.consulHttp}`);
    expect(set.endpoints).toEqual(nodeEndpoints(1, "ports", set.shift));
    set.release();
    other.close();
  });

  it("when it is a UDP port", async () => {
    const other = createSocket("udp4").bind(node.ports.consulSerf, "127.0.0.1");
    await once(other, "listening");
    const set = await reservePorts(1, "ports", first);
    expect(set.taken[0]).toBe(`127.0.0.1:${node.ports.consulSerf}/udp`);
    set.release();
    other.close();
  });

  it("when another cluster has reserved it and not yet started, until it is released", async () => {
    const one = await reservePorts(1, "ports", first);
    const two = await reservePorts(1, "ports", first);
    expect(one.shift).toBe(first);
    expect(two.shift).toBeGreaterThan(first);
    one.release();
    const three = await reservePorts(1, "ports", first);
    expect(three.shift).toBe(first);
    two.release();
    three.release();
  });

  it("and none is left when even the last set is", async () => {
    const last = await reservePorts(1, "ports", MAX_SHIFTS);
    await expect(reservePorts(1, "ports", MAX_SHIFTS)).rejects.toMatchObject({ code: "no-free-ports" });
    last.release();
  });
});
