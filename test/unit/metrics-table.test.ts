import fc from "fast-check";
import stringWidth from "string-width";
import { DROP_ORDER, table } from "../../src/commands/views/table.js";
import { displayWidth, padTo, truncate } from "../../src/commands/views/width.js";
import { bareView, fullView, unobserved } from "../harness/node-views.js";

const nodes = [
  fullView(),
  unobserved(fullView({ name: "node-10", key: 2, beacon: { latency: { us: 420, source: "estimated" } }, without: ["jitterUs", "lossRatio"], view: { alive: false } })),
  bareView("集群-九"),
  bareView("node-4", { trust: "pin-conflict" }),
];
const pipe = { columns: Infinity, color: false };

test("in a pipe everything is shown, aligned by display width", () => {
  expect(table(nodes, pipe)).toBe(
    [
      "NODE      LATENCY   JITTER   LOSS  QUEUE  PRICE/GB  REPUTATION  CAPABILITIES  WORKLOADS  TRUST         AGE",
      "node-1   12.35 ms  1.00 ms  0.00%      3   $0.0100         1.0  container vm          2  pinned        0 s",
      "node-10  ~0.42 ms        -      -      3   $0.0100           -  container vm          2  pinned, down  0 s",
      "集群-九         -        -      -      -         -           -  -                     -  no-sidecar      -",
      "node-4          -        -      -      -         -           -  -                     -  pin-conflict    -",
      "~ estimated from Consul's coordinates",
    ].join("\n"),
  );
});

test("columns go in the stated order as the terminal narrows, and what is gone is named", () => {
  const gone = (columns: number): string[] => {
    const last = table(nodes, { columns, color: false }).split("\n").at(-1) ?? "";
    return last.startsWith("too narrow for: ") ? last.slice(16).split(", ") : [];
  };
  const widths = Array.from({ length: 100 }, (_, i) => 120 - i);
  for (const width of widths) expect(gone(width)).toEqual(DROP_ORDER.slice(0, gone(width).length));
  expect(gone(120)).toEqual([]);
  expect(gone(21)).toEqual([...DROP_ORDER]);
});

test("no row is wider than the terminal, down to 36 columns", () => {
  fc.assert(
    fc.property(fc.integer({ min: 36, max: 140 }), fc.array(fc.string({ unit: "grapheme", minLength: 1, maxLength: 40 }), { maxLength: 4 }), (columns, names) => {
      const rows = table([...nodes, ...names.map((name) => bareView(name))], { columns, color: false }).split("\n");
      const body = rows.filter((row) => !row.startsWith("~ ") && !row.startsWith("too narrow"));
      for (const row of body) expect(stringWidth(row)).toBeLessThanOrEqual(columns);
      expect(body).toHaveLength(1 + nodes.length + names.length);
    }),
  );
});

test("colour adds nothing but colour", () => {
  const colored = table(nodes, { columns: 80, color: true });
  // oxlint-disable-next-line no-control-regex -- escape sequences are what is looked for
  expect(colored.replace(/\u001b\[\d+m/g, "")).toBe(table(nodes, { columns: 80, color: false }));
  expect(colored).toContain("\u001b[31mpin-conflict\u001b[39m");
  expect(table(nodes, pipe)).not.toContain("\u001b");
});

describe("width", () => {
  const text = fc.string({ unit: "grapheme", maxLength: 30 });

  test("a truncated text fits and is a beginning of the whole", () => {
    fc.assert(
      fc.property(text, fc.integer({ min: 0, max: 40 }), (whole, columns) => {
        const cut = truncate(whole, columns);
        expect(displayWidth(cut)).toBeLessThanOrEqual(columns);
        expect(cut === whole || cut === "" || (cut.endsWith("…") && whole.startsWith(cut.slice(0, -1)))).toBe(true);
      }),
    );
  });

  test("wide characters are padded by what they cover", () => {
    expect(padTo("日本", 6)).toBe("日本  ");
    expect(padTo("日本", 6, "right")).toBe("  日本");
    expect(truncate("日本語", 4)).toBe("日…");
  });
});
