import { readFileSync } from "node:fs";
import { join } from "node:path";
import { Ajv2020 } from "ajv/dist/2020.js";
import { TRUST_STATES } from "../../src/beacon/registry.js";
import { listDocument, metricsDocument } from "../../src/commands/views/documents.js";
import { safeJson } from "../../src/commands/views/printable.js";
import { projectRoot } from "../../src/dev/project-root.js";
import { bareView, fullView, type Known, unobserved } from "../harness/node-views.js";

type Properties = Record<string, { enum?: string[] }>;
interface Schema {
  properties: { nodes: { items: { properties: Properties } } };
}

const ALL: readonly Known[] = ["latency", "jitterUs", "lossRatio", "queueDepth", "priceMicroUsdPerGb", "declaredReputation"];
const views = [
  fullView(),
  unobserved(fullView({ name: "node-2", key: 2, without: ALL, workloads: null })),
  bareView("node-9"),
  ...TRUST_STATES.map((trust) => fullView({ view: { trust, detail: "why\u009b" } })),
];

describe.each([
  ["cluster-metrics", metricsDocument],
  ["cluster-list", listDocument],
] as const)("%s", (name, documentOf) => {
  const schema = JSON.parse(readFileSync(join(projectRoot(), "schemas", `${name}.schema.json`), "utf8")) as Schema;
  const validate = new Ajv2020({ strict: true, allowUnionTypes: true, allErrors: true }).compile(schema);
  const parsed = (): { nodes: Record<string, unknown>[] } => JSON.parse(safeJson(documentOf(views), 2)) as never;

  test("what is printed is as the schema says", () => {
    validate(parsed());
    expect(validate.errors).toBeNull();
  });

  test("every field stands in the schema and every field of the schema is printed", () => {
    for (const node of parsed().nodes) expect(Object.keys(node).sort()).toEqual(Object.keys(schema.properties.nodes.items.properties).sort());
    expect(schema.properties.nodes.items.properties["trust"]?.enum).toEqual(TRUST_STATES);
  });

  test("the schema refuses a missing field, a wrong trust and a wrong version", () => {
    const [first] = parsed().nodes;
    const { trust: _, ...missing } = first ?? {};
    expect(validate({ schemaVersion: 1, nodes: [missing] })).toBe(false);
    expect(validate({ schemaVersion: 1, nodes: [{ ...first, trust: "sure" }] })).toBe(false);
    expect(validate({ schemaVersion: 2, nodes: [] })).toBe(false);
  });
});

test("metrics have the units of design.md, and null for what is unknown", () => {
  const [full, unknown, bare] = metricsDocument(views).nodes;
  expect(full).toMatchObject({
    node: "node-1",
    verified: true,
    trust: "pinned",
    ageMs: 0,
    latency: { ms: 12.35, source: "measured" },
    jitter: { ms: 1 },
    loss: { ratio: 0 },
    queueDepth: 3,
    pricePerGb: 0.01,
    reputation: { score: 1, observers: 3 },
    declaredReputation: 1,
    capabilities: ["container", "vm"],
    workloads: 2,
  });
  const nothing = { latency: null, jitter: null, loss: null, queueDepth: null, pricePerGb: null, reputation: null, declaredReputation: null, workloads: null };
  expect(unknown).toMatchObject({ ...nothing, verified: true, capabilities: ["container", "vm"] });
  expect(bare).toMatchObject({ ...nothing, verified: false, beaconId: null, publicKey: null, capabilities: null, alive: null });
});

test("a rejected node gives no number and no key away as verified", () => {
  const [node] = metricsDocument([fullView({ view: { trust: "equivocation", detail: "two records" } })]).nodes;
  expect(node).toMatchObject({ verified: false, beaconId: null, publicKey: null, latency: null, workloads: null, detail: "two records" });
});
