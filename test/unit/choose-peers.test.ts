import fc from "fast-check";
import { choosePeers, DEFAULT_PEER_COUNT, REDRAW_EPOCHS } from "../../src/sidecar/probe/choose-peers.js";
import { seededRandom } from "../../src/sidecar/probe/seeded-random.js";

const size = 1000;
const members = Array.from({ length: size }, (_, index) => `node-${index}`);
const random = seededRandom(42);
const places = new Map(members.map((id) => [id, { x: random() * 100, y: random() * 100 }]));

/** Round trips on a plane, in µs. */
function estimatesOf(self: string): Map<string, number> {
  const own = places.get(self) ?? { x: 0, y: 0 };
  return new Map(members.map((id) => {
    const { x, y } = places.get(id) ?? own;
    return [id, 1000 * Math.hypot(x - own.x, y - own.y)];
  }));
}
const choose = (self: string, epoch: number, estimatesUs?: Map<string, number>): string[] =>
  choosePeers({ self, members, seed: "dc1", epoch, ...(estimatesUs === undefined ? {} : { estimatesUs }) });

function coverage(chosen: Map<string, string[]>): number[] {
  const count = new Map(members.map((id) => [id, 0]));
  for (const peers of chosen.values()) for (const id of peers) count.set(id, (count.get(id) ?? 0) + 1);
  return [...count.values()];
}

test.each([["with", true], ["without", false]])("of 1,000 nodes, %s estimates, each is probed by several and none by many", (_name, estimated) => {
  const chosen = new Map(members.map((id) => [id, choose(id, 5, estimated ? estimatesOf(id) : undefined)]));
  for (const [id, peers] of chosen) {
    expect(peers).toHaveLength(DEFAULT_PEER_COUNT);
    expect(new Set(peers).size).toBe(DEFAULT_PEER_COUNT);
    expect(peers).not.toContain(id);
  }
  const counts = coverage(chosen);
  expect(Math.min(...counts)).toBeGreaterThanOrEqual(3);
  expect(Math.max(...counts)).toBeLessThanOrEqual(4 * DEFAULT_PEER_COUNT);
});

test("two places of eight go to near peers and two to far ones", () => {
  for (const self of members.slice(0, 50)) {
    const estimates = estimatesOf(self);
    const ranked = members.filter((id) => id !== self).sort((a, b) => (estimates.get(a) ?? 0) - (estimates.get(b) ?? 0));
    const ranks = choose(self, 5, estimates).map((id) => ranked.indexOf(id));
    expect(ranks.filter((rank) => rank < size / 10).length).toBeGreaterThanOrEqual(2);
    expect(ranks.filter((rank) => rank >= size - size / 10 - 1).length).toBeGreaterThanOrEqual(2);
  }
});

test("a quarter of the places is drawn again each epoch, and all of them in four", () => {
  let kept = 0;
  let keptInFour = 0;
  for (const self of members.slice(0, 100)) {
    const estimates = estimatesOf(self);
    const now = choose(self, 8, estimates);
    kept += choose(self, 9, estimates).filter((id) => now.includes(id)).length;
    keptInFour += choose(self, 8 + REDRAW_EPOCHS, estimates).filter((id) => now.includes(id)).length;
  }
  expect(kept / 800).toBeGreaterThan(0.7);
  expect(kept / 800).toBeLessThan(0.8);
  expect(keptInFour / 800).toBeLessThan(0.1);
});

test("the order of the members, and the node itself among them, change nothing", () => {
  const subset = fc.uniqueArray(fc.constantFrom(...members.slice(0, 60)), { maxLength: 40 });
  fc.assert(
    fc.property(subset, fc.integer({ min: 0, max: 1000 }), fc.integer({ min: 0, max: 12 }), (list, epoch, count) => {
      const common = { self: "node-0", seed: "dc1", epoch, count };
      const chosen = choosePeers({ ...common, members: list });
      expect(choosePeers({ ...common, members: [...list].reverse().concat("node-0") })).toEqual(chosen);
      expect(chosen).toHaveLength(Math.min(count, list.filter((id) => id !== "node-0").length));
    }),
  );
});

test("a member more or less moves few of the others' choices", () => {
  const moved = members.slice(1, 101).filter((self) => {
    const without = choosePeers({ self, members: members.filter((id) => id !== "node-0"), seed: "dc1", epoch: 5 });
    return without.join() !== choose(self, 5).join();
  });
  expect(moved.length).toBeLessThan(10);
});
