/** `cluster links` as text and JSON. */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { Ajv2020 } from "ajv/dist/2020.js";
import fc from "fast-check";
import stringWidth from "string-width";
import { LINK_STATES, linksOf, linksOfNode } from "../../src/beacon/links.js";
import type { NodeView } from "../../src/beacon/node-view.js";
import { layOut } from "../../src/commands/views/columns.js";
import { linksDocument } from "../../src/commands/views/link-document.js";
import { LINK_DROP_ORDER, linkList } from "../../src/commands/views/link-list.js";
import { linkMatrix } from "../../src/commands/views/link-matrix.js";
import { safeJson } from "../../src/commands/views/printable.js";
import { projectRoot } from "../../src/dev/project-root.js";
import { bothEnds, coordinateAt, type Fate, halfAbout, linkedView, recordOf, reflecting } from "../harness/links.js";
import { NOW_MS } from "../harness/records.js";

const clean = bothEnds(Array.from<Fate>({ length: 64 }).fill("back"));
const [outgoing, incoming] = [recordOf(clean.sender, 64), recordOf(clean.reflector, 64)];
const slow = { minUs: 9_000, p50Us: 30_000, p95Us: 40_000, p99Us: 50_000 };
/** 1-2 agreed, 1-3 disputed, 1-4 without an answer, 2-3 estimated, all others unknown. */
const views: NodeView[] = [
  linkedView(1, [
    halfAbout(2, { outgoing, sent: 100, received: 98, direction: { forwardLost: 2, backwardLost: 0 } }),
    halfAbout(3, { rtt: slow }),
    halfAbout(4, { received: 0, longestBurst: 64 }),
  ]),
  linkedView(2, [reflecting(1, incoming)], { coordinate: coordinateAt(1) }),
  linkedView(3, [halfAbout(1, { endMs: NOW_MS - 12_000 })], { coordinate: coordinateAt(3.5) }),
  linkedView(4, []),
];
const links = linksOf(views, NOW_MS);
const pipe = { columns: Infinity, color: false };

test("the list has a line for each pair, and never a 0 for what is not measured", () => {
  expect(linkList(links, pipe)).toBe(
    [
      "NODE    PEER           P50       P95   JITTER     LOSS  LOSS →  LOSS ←  PROBED BY    STATE                 AGE",
      "node-1  node-2    10.00 ms  12.00 ms  0.50 ms    2.00%   2.00%   0.00%  node-1 only  agreed                1 s",
      "node-1  node-3    30.00 ms  40.00 ms  0.50 ms    0.00%   0.00%   0.00%  both         disputed: rtt-apart  12 s",
      "node-1  node-4  unmeasured         -        -  100.00%       -       -  node-1 only  unconfirmed           1 s",
      "node-2  node-3    ~2.50 ms         -        -        -       -       -  nobody       estimated             0 s",
      "node-2  node-4  unmeasured         -        -        -       -       -  nobody       unknown                 -",
      "node-3  node-4  unmeasured         -        -        -       -       -  nobody       unknown                 -",
      "~ estimated from Consul's coordinates: nobody probes this link",
      "- unmeasured",
    ].join("\n"),
  );
});

test("columns go in the stated order as the terminal narrows, and no line is wider than it down to 40 columns", () => {
  fc.assert(
    fc.property(fc.integer({ min: 40, max: 130 }), (columns) => {
      const lines = linkList(links, { columns, color: false }).split("\n");
      const gone = (lines.at(-1) ?? "").startsWith("too narrow for: ") ? (lines.at(-1) ?? "").slice(16).split(", ") : [];
      expect(gone).toEqual(LINK_DROP_ORDER.slice(0, gone.length));
      for (const line of lines.slice(0, 1 + links.length)) expect(stringWidth(line)).toBeLessThanOrEqual(columns);
    }),
  );
});

test("colour adds nothing but colour", () => {
  const colored = linkList(links, { columns: 90, color: true });
  // oxlint-disable-next-line no-control-regex -- escape sequences are what is looked for
  expect(colored.replace(/\u001b\[\d+m/g, "")).toBe(linkList(links, { columns: 90, color: false }));
  expect(colored).toContain("\u001b[31mdisputed: rtt-apart");
});

const LEGEND = "p50 in ms, the worse of both ends · ~ estimated · ! disputed · x probed, no answer · ? unmeasured";

test("the matrix marks what is estimated, disputed, unanswered and unmeasured", () => {
  expect(linkMatrix(links, pipe)).toBe(
    [
      "        node-1  node-2  node-3  node-4",
      "node-1           10.00  30.00!       x",
      "node-2   10.00           ~2.50       ?",
      "node-3  30.00!   ~2.50               ?",
      "node-4       x       ?       ?",
      "",
      LEGEND,
    ].join("\n"),
  );
});

test("a matrix that does not fit is printed in blocks of columns that do, with every node in it", () => {
  const lines = linkMatrix(links, { columns: 26 }).split("\n");
  expect(lines.slice(0, 3)).toEqual(["        node-1  node-2", "node-1           10.00", "node-2   10.00"]);
  expect(lines[6]).toBe("        node-3  node-4");
  for (const line of lines.slice(0, -1)) expect(stringWidth(line)).toBeLessThanOrEqual(26);
});

test("long names stand before the rows only, with the number that heads the column", () => {
  const long = [1, 2].map((seed) => linkedView(seed, [], { node: `provider-fra1-rack07-${String(seed)}`, coordinate: coordinateAt(seed) }));
  expect(linkMatrix(linksOf(long, NOW_MS), pipe).split("\n").slice(0, 3)).toEqual([
    "                              1      2",
    "1 provider-fra1-rack07-1         ~1.00",
    "2 provider-fra1-rack07-2  ~1.00",
  ]);
});

test("one node's matrix is one column, of that node", () => {
  const own = linksOfNode(views[2] as NodeView, views, NOW_MS);
  expect(linkMatrix(own, { ...pipe, ofOne: true }).split("\n").slice(0, 4)).toEqual(["        node-3", "node-1  30.00!", "node-2   ~2.50", "node-4       ?"]);
});

test("answers whose times are unknown are answers: unmeasured, not lost", () => {
  const { rtt: _, jitterUs: __, pdv: ___, ...untimed } = halfAbout(2);
  const link = linksOf([linkedView(1, [untimed]), linkedView(2, [])], NOW_MS);
  expect(linkMatrix(link, pipe).split("\n")[1]).toBe("node-1               ?");
  expect(linkList(link, pipe)).toMatch(/node-2 +unmeasured +- +- +0\.00%/);
});

test("without two believed nodes both say so", () => {
  for (const text of [linkList([], pipe), linkMatrix([], pipe)]) expect(text).toBe("no two nodes here are believed: there is no link to show");
});

test("more rows than a call may have arguments are laid out", () => {
  const rows = Array.from({ length: 200_000 }, () => ({ only: "x" }));
  const plan = { headings: { only: "ONLY" }, left: new Set<"only">(), dropOrder: [], shrink: [] };
  expect(layOut(plan, rows, pipe, (_, cell) => cell).lines).toHaveLength(200_001);
});

describe("JSON", () => {
  interface Schema {
    properties: { links: { items: { properties: Record<string, { enum?: unknown[]; anyOf?: { properties?: object }[] }> } } };
  }
  const schema = JSON.parse(readFileSync(join(projectRoot(), "schemas/cluster-links.schema.json"), "utf8")) as Schema;
  const validate = new Ajv2020({ strict: true, allowUnionTypes: true, allErrors: true }).compile(schema);
  const parsed = JSON.parse(safeJson(linksDocument(links), 2)) as { links: Record<string, unknown>[] };
  const { properties } = schema.properties.links.items;

  test("what is printed is as the schema says, field by field", () => {
    validate(parsed);
    expect(validate.errors).toBeNull();
    for (const link of parsed.links) {
      expect(Object.keys(link).sort()).toEqual(Object.keys(properties).sort());
      for (const end of [link["fromA"], link["fromB"]]) {
        if (end !== null) expect(Object.keys(end as object).sort()).toEqual(Object.keys(properties["fromA"]?.anyOf?.[0]?.properties ?? {}).sort());
      }
    }
    expect(properties["state"]?.enum).toEqual(LINK_STATES);
  });

  test("the schema refuses a missing field, a wrong state and a wrong version", () => {
    const [first] = parsed.links;
    const { state: _, ...missing } = first ?? {};
    expect(validate({ schemaVersion: 1, links: [missing] })).toBe(false);
    expect(validate({ schemaVersion: 1, links: [{ ...first, state: "good" }] })).toBe(false);
    expect(validate({ schemaVersion: 2, links: [] })).toBe(false);
  });

  test("milliseconds and ratios, and null for what is unknown", () => {
    const [agreed, disputed, unanswered, estimated, unknown] = parsed.links;
    expect(agreed).toMatchObject({
      a: { node: "node-1" }, b: { node: "node-2" }, state: "agreed", reason: null, probedBy: "a", ageMs: 1_000,
      latency: { ms: 10, p95Ms: 12, source: "measured" }, jitter: { ms: 0.5 }, loss: { ratio: 0.02, aToBRatio: 0.02, bToARatio: 0 },
      fromA: { sent: 100, rtt: { p99Ms: 15 }, joined: { sent: 64, compared: 64 } }, fromB: { sent: 0, rtt: null, loss: null, joined: null },
    });
    expect(disputed).toMatchObject({ state: "disputed", reason: "rtt-apart" });
    expect(unanswered).toMatchObject({ latency: null, loss: { ratio: 1, aToBRatio: null }, fromB: null });
    expect(estimated).toMatchObject({ state: "estimated", latency: { ms: 2.5, p95Ms: null, source: "estimated" }, jitter: null, loss: null });
    expect(unknown).toMatchObject({ state: "unknown", latency: null, loss: null, estimate: null, ageMs: null });
  });
});
