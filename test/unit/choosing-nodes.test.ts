import fc from "fast-check";
import type { NodeView } from "../../src/beacon/node-view.js";
import { parseFilters } from "../../src/commands/reading/filter.js";
import { selectNodes } from "../../src/commands/reading/select-nodes.js";
import { SORT_KEYS, sortNodes, type SortKey } from "../../src/commands/reading/sort.js";
import { type Figures, figuresOf } from "../../src/commands/views/figures.js";
import { bareView, fullView, type Known, unobserved } from "../harness/node-views.js";

/** Sealing is slow, so properties draw from a pool: extremes, ties, each value unknown, and nodes without a beacon. */
const UNKNOWN: readonly Known[] = ["latency", "jitterUs", "lossRatio", "queueDepth", "priceMicroUsdPerGb"];
const pool: readonly NodeView[] = [
  ...Array.from({ length: 12 }, (_, i) =>
    fullView({
      name: `node-${String(i)}`,
      key: i + 1,
      beacon: {
        latency: { us: (i % 4) * 10_000, source: i % 2 === 0 ? "measured" : "estimated" },
        jitterUs: (i % 3) * 1_000,
        lossRatio: (i % 5) / 100,
        queueDepth: i % 4,
        priceMicroUsdPerGb: (i % 3) * 10_000,
        capabilities: i % 2 === 0 ? ["vm"] : ["container"],
      },
      view: { reputation: { score: (i % 6) / 5, observers: 3 }, trust: i % 3 === 0 ? "first-use" : "pinned" },
    }),
  ),
  ...UNKNOWN.map((field, i) => unobserved(fullView({ name: `dim-${String(i)}`, key: 20 + i, without: [field], workloads: null }))),
  bareView("bare-1", { id: "aaaa0000-0000-4000-8000-000000000001" }),
  bareView("bare-2", { id: "aaaa0000-0000-4000-8000-000000000002", trust: "unverified", alive: true }),
];
const someNodes = fc.shuffledSubarray([...pool]);
const RANK: Record<Exclude<SortKey, "name">, (f: Figures) => number | undefined> = {
  latency: (f) => f.latencyMs,
  jitter: (f) => f.jitterMs,
  loss: (f) => f.lossRatio,
  queue: (f) => f.queueDepth,
  price: (f) => f.pricePerGb,
  reputation: (f) => (f.reputation === undefined ? undefined : -f.reputation),
};

describe("sort", () => {
  test("keeps every node, and gives one order however they came", () => {
    fc.assert(
      fc.property(someNodes, fc.constantFrom(...SORT_KEYS), (nodes, by) => {
        const sorted = sortNodes(nodes, by);
        expect(new Set(sorted)).toEqual(new Set(nodes));
        expect(sortNodes([...nodes].reverse(), by)).toEqual(sorted);
      }),
    );
  });

  test.each(SORT_KEYS.filter((key) => key !== "name"))("%s: best first, unknown last, ties by key", (by) => {
    fc.assert(
      fc.property(someNodes, (nodes) => {
        const sorted = sortNodes(nodes, by).map((view) => ({ rank: RANK[by](figuresOf(view)), key: figuresOf(view).publicKey }));
        for (const [i, next] of sorted.slice(1).entries()) {
          const before = sorted[i];
          if (next.rank !== undefined) expect(before?.rank).toBeLessThanOrEqual(next.rank);
          if (before?.rank === next.rank && next.key !== undefined) expect((before?.key ?? "") < next.key).toBe(true);
        }
      }),
    );
  });

  test("name: numbers count as numbers", () => {
    const names = ["node-10", "node-2", "Node-2", "a"].map((name) => bareView(name));
    expect(sortNodes(names, "name").map(({ name }) => name)).toEqual(["a", "node-2", "Node-2", "node-10"]);
  });
});

describe("filter", () => {
  const names = (...expressions: string[]): string[] => pool.filter(parseFilters(expressions)).map(({ name }) => name);

  test("no number passes for a node of which it is unknown", () => {
    const fields = ["latency", "jitter", "queue", "price", "reputation", "workloads", "age"] as const;
    const comparison = fc.tuple(fc.constantFrom(...fields), fc.constantFrom("<=", ">=", "<", ">", "=", "!="), fc.nat(50));
    fc.assert(
      fc.property(comparison, ([field, operator, value]) => {
        expect(pool.filter(parseFilters([`${field}=unknown`])).filter(parseFilters([`${field}${operator}${String(value)}`]))).toEqual([]);
      }),
    );
  });

  test("a comparison and its opposite divide the known ones", () => {
    const opposites = fc.constantFrom(["<=", ">"], ["<", ">="], ["=", "!="]);
    fc.assert(
      fc.property(fc.constantFrom("latency", "jitter", "queue"), opposites, fc.nat(40), (field, [one, other], value) => {
        const both = [...names(`${field}${String(one)}${String(value)}`), ...names(`${field}${String(other)}${String(value)}`)];
        expect(both.sort()).toEqual(names(`${field}!=unknown`).sort());
      }),
    );
  });

  test("all must hold", () => {
    const both = names("latency<=10", "capability=vm");
    expect(both).toEqual(names("latency<=10").filter((name) => names("capability=vm").includes(name)));
    expect(both).toContain("node-0");
  });

  test("units are the listing's, and others by name", () => {
    expect(names("latency<=20")).toEqual(names("latency <= 20ms"));
    expect(names("latency<=0.02s")).toEqual(names("latency<=20000us"));
    expect(names("price<0.02")).toEqual(names("price<$0.02"));
    expect(names("loss<=1%")).toEqual(pool.filter((view) => (figuresOf(view).lossRatio ?? 1) <= 0.01).map(({ name }) => name));
  });

  test("text fields", () => {
    expect(names("node=node-3")).toEqual(["node-3"]);
    expect(names("trust=unverified")).toEqual(["bare-2"]);
    expect(names("alive=false")).toEqual([]);
    expect(names("verified=false")).toEqual(["bare-1", "bare-2"]);
    expect(names("capability!=vm")).not.toContain("bare-1");
  });

  test.each([
    ["latancy<=20", /no field latancy; there are latency, /],
    ["latency", /write FIELD/],
    ["latency<=", /write FIELD/],
    ["latency<=fast", /latency takes milliseconds, such as 20/],
    ["latency<unknown", /latency=unknown/],
    ["loss<1", /percent, such as 0.5%/],
    ["price<-1", /dollars/],
    ["trust=good", /one of pinned, first-use/],
    ["capability<vm", /capability=vm or capability!=vm/],
    ["__proto__=1", /no field __proto__/],
    ["constructor=1", /no field constructor/],
  ])("%s is refused with what would be right", (expression, message) => {
    expect(() => parseFilters([expression])).toThrow(message);
    expect(() => parseFilters([expression])).toThrow(expect.objectContaining({ oclif: expect.objectContaining({ exit: 2 }) as unknown }));
  });

  test("every bad one is named at once", () => {
    expect(() => parseFilters(["a=1", "latency<=5", "b=2"])).toThrow(/a=1.*\n.*b=2/);
  });
});

describe("--node", () => {
  const names = (...wanted: string[]): string[] => selectNodes(pool, wanted).map(({ name }) => name);

  test("takes names, node IDs and beacon IDs, whole or shortened, and keeps the order of the nodes", () => {
    const three = pool[3] as NodeView;
    expect(names("node-3", "node-1")).toEqual(["node-1", "node-3"]);
    expect(names(three.id.toUpperCase())).toEqual(["node-3"]);
    expect(names((figuresOf(three).beaconId ?? "").slice(0, 6))).toEqual(["node-3"]);
    expect(names()).toHaveLength(pool.length);
  });

  test("an unknown name fails with the nearest known ones", () => {
    expect(() => names("bare-3")).toThrow(/no node "bare-3"\. Known: bare-1, bare-2, .* and 9 more\./);
    expect(() => names("node-1", "x", "y")).toThrow(/"x".*\n.*"y"/);
    expect(() => selectNodes([], ["x"])).toThrow(/The cluster has none/);
  });

  test("a short ID of several nodes is refused", () => {
    expect(() => names("aaaa0000")).toThrow(/could be bare-1, bare-2/);
  });
});
