/** Policy files: what loads, what is refused and in which words, and that the JSON Schema refuses the same. */
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { Ajv2020 } from "ajv/dist/2020.js";
import fc from "fast-check";
import { projectRoot } from "../../src/dev/project-root.js";
import { readPolicy } from "../../src/policy/policy-file.js";
import { policySchema } from "../../src/policy/policy-schema.js";

const V1 = { name: "mine", mode: "enforce" };
const V2 = { version: 2, ...V1 };
const read = (content: unknown) => readPolicy(Buffer.from(typeof content === "string" ? content : JSON.stringify(content)));
const problems = (content: unknown): string[] => {
  const result = read(content);
  return result.ok ? [] : result.problems.map(({ path, message }) => `${path}: ${message}`);
};
const validate = new Ajv2020({ strict: true, strictRequired: false, allowUnionTypes: true, allErrors: true }).compile(policySchema());

describe("each wrong field is named with its path and what would be right", () => {
  const wrong: [string, unknown, RegExp][] = [
    ["no object", [], /^: \[\] does not fit; it takes an object with name,/],
    ["nothing", {}, /^name: is missing; it takes a text/],
    ["no mode", { name: "a" }, /^mode: is missing; it takes "enforce" or "permissive"$/],
    ["another mode", { ...V1, mode: "strict" }, /^mode: "strict" does not fit; it takes "enforce" or "permissive"$/],
    ["text for a number", { ...V1, rules: { max_latency_ms: "NaN" } }, /^rules\.max_latency_ms: "NaN" does not fit; it takes a number \(milliseconds\), 0 or more$/],
    ["negative", { ...V1, rules: { max_price_per_gb: -1 } }, /^rules\.max_price_per_gb: -1 does not fit/],
    ["over 100 percent", { ...V1, rules: { max_packet_loss: 101 } }, /^rules\.max_packet_loss: 101 does not fit; it takes a number \(percent\), from 0 to 100$/],
    ["reputation of 50", { ...V1, rules: { min_reputation_score: 50 } }, /^rules\.min_reputation_score: 50 does not fit.* from 0 to 1$/],
    ["half a queue", { ...V1, rules: { max_queue_depth: 1.5 } }, /^rules\.max_queue_depth: 1\.5 does not fit; it takes a whole number/],
    ["no list", { ...V1, rules: { required_capabilities: "vm" } }, /^rules\.required_capabilities: "vm" does not fit; it takes a list/],
    ["a wrong entry", { ...V1, rules: { required_capabilities: ["vm", 7] } }, /^rules\.required_capabilities\[1\]: 7 does not fit/],
    ["rules no object", { ...V1, rules: 3 }, /^rules: 3 does not fit; it takes an object/],
    ["weight below 0", { ...V1, scoring: { price_weight: -0.1 } }, /^scoring\.price_weight: -0\.1 does not fit/],
    ["version 3", { ...V1, version: 3 }, /^version: 3 is no version; it takes 2/],
    ["version null", { ...V1, version: null }, /^version: null is no version/],
    ["v2 unknown field", { ...V2, rules: { maxLatencyMs: 1 } }, /^rules\.maxLatencyMs: is no field here; max_latency_ms was probably meant$/],
    ["v2 unknown, nothing near", { ...V2, zzzzzzzz: 1 }, /^zzzzzzzz: is no field here; there are \$schema, version, name,/],
    ["v2 name with a slash", { ...V2, name: "a/b" }, /^name: "a\/b" does not fit; it takes a name of 1 to 64 letters/],
    ["v2 null", { ...V2, rules: { max_jitter_ms: null } }, /^rules\.max_jitter_ms: null does not fit/],
    ["v2 budget without a sum", { ...V2, rules: { budget: { expected_gb: 5 } } }, /^rules\.budget\.max_usd: is missing/],
    ["v2 budget for nothing", { ...V2, rules: { budget: { expected_gb: 0, max_usd: 1 } } }, /^rules\.budget\.expected_gb: 0 does not fit.* more than 0 and at most/],
    ["v2 link to both", { ...V2, rules: { links: [{ node: "a", service: "b" }] } }, /^rules\.links\[0\]: takes exactly one of node, service$/],
    ["v2 link to nothing", { ...V2, rules: { links: [{ max_latency_ms: 1 }] } }, /^rules\.links\[0\]: takes exactly one of node, service$/],
    ["v2 capability in capitals", { ...V2, rules: { required_capabilities: ["VM"] } }, /^rules\.required_capabilities\[0\]: "VM" does not fit; it takes a capability's name/],
    ["v2 capability twice", { ...V2, rules: { required_capabilities: ["vm", "vm"] } }, /^rules\.required_capabilities\[1\]: "vm" stands there twice$/],
    ["v2 preference", { ...V2, scoring: { prefer: ["cheap"] } }, /^scoring\.prefer\[0\]: "cheap" does not fit; it takes "low_latency" or/],
    ["v2 rebalance without a gain", { ...V2, rebalance: {} }, /^rebalance\.min_gain: is missing/],
    ["v2 unknown handling", { ...V2, unknown: { latency: "ignore" } }, /^unknown\.latency: "ignore" does not fit; it takes "reject" or "neutral"$/],
    ["v2 range half said", { ...V2, scoring: { ranges: { latency_ms: { best: 0 } } } }, /^scoring\.ranges\.latency_ms\.worst: is missing/],
  ];
  test.each(wrong)("%s", (_, content, said) => {
    expect(problems(content)).toContainEqual(expect.stringMatching(said));
    expect({ content, schema: validate(content) }).toEqual({ content, schema: false });
  });

  test.each([
    ["range of one value", { ...V2, scoring: { ranges: { latency_ms: { best: 5, worst: 5 } } } }, "scoring.ranges.latency_ms: best and worst are the same; they must differ"],
    ["weight of links that nobody names", { ...V2, scoring: { link_weight: 1 } }, "scoring.link_weight: weighs nothing; rules.links must name at least one node or service"],
    ["weight of spread without a group", { ...V2, scoring: { spread_weight: 1 } }, "scoring.spread_weight: weighs nothing; rules.spread must say what a group is"],
    ["preference of a link", { ...V2, scoring: { prefer: ["near_link"] } }, "scoring.prefer: near_link needs rules.links"],
    ["group by link without a distance", { ...V2, rules: { spread: { by: "link" } } }, 'rules.spread.nearer_than_ms: is missing; by "link" needs it'],
    ["distance without link", { ...V2, rules: { spread: { by: "node", nearer_than_ms: 1 } } }, 'rules.spread.nearer_than_ms: goes with by "link" only'],
  ])("what fields demand of one another: %s", (_, content, said) => {
    expect(problems(content)).toEqual([said]);
  });

  test("all of them at once", () => {
    expect(problems({ version: 2, mode: 1, rules: { max_latency_ms: -1, oops_a_daisy: 1 } })).toHaveLength(4);
  });

  test.each([
    ['{"name":"a","mode":"enforce","rules":{"max_latency_ms":NaN}}', /^: is not JSON/],
    ['{"name":"a","mode":"enforce","rules":{"max_latency_ms":Infinity}}', /^: is not JSON/],
    ['{"name":"a","mode":"enforce","rules":{"max_latency_ms":1e999}}', /^rules\.max_latency_ms: Infinity does not fit/],
    ['{"name":"a","mode":"enforce","scoring":{"price_weight":-1e999}}', /^scoring\.price_weight: -Infinity does not fit/],
    ["{", /^: is not JSON/],
    ["", /^: is not JSON/],
    [`"${"a".repeat(70_000)}"`, /^: is 70002 bytes; a policy file has at most 65536$/],
  ])("a file that is no JSON, or has a number that is none (%#)", (text, said) => {
    expect(problems(text)).toEqual([expect.stringMatching(said)]);
  });
});

test("no number that is not finite or is negative ever passes, wherever it stands", () => {
  const fields = { rules: ["max_latency_ms", "max_jitter_ms", "max_packet_loss", "max_queue_depth", "max_price_per_gb", "min_reputation_score"], scoring: ["latency_weight", "price_weight", "reputation_weight", "queue_weight"] };
  for (const [section, names] of Object.entries(fields)) {
    for (const name of names) {
      for (const literal of ["1e999", "-1e999", "-1", "-1e-300", '"NaN"', '"1"', "[]", "{}", "true"]) {
        for (const version of ["", '"version":2,']) {
          const text = `{${version}"name":"a","mode":"permissive","${section}":{"${name}":${literal}}}`;
          expect({ text, ok: readPolicy(Buffer.from(text)).ok }).toEqual({ text, ok: false });
        }
      }
    }
  }
});

test("a file of the first cluster: unknown fields are warned about with a suggestion, and null is absent", () => {
  const result = read({ ...V1, rules: { required_capabilities: null, max_latency: 5, max_price_per_gb: 1 }, owner: "me" });
  expect(result).toMatchObject({ ok: true, file: { policy: { version: 1, requiredCapabilities: [], limits: { priceMicroUsdPerGb: 1_000_000 } } } });
  expect(result.ok && result.file.warnings).toEqual([
    { path: "rules.max_latency", message: "is no field here; max_latency_ms was probably meant" },
    { path: "owner", message: "is no field here; there are name, description, mode, rules, scoring" },
  ]);
});

test("version 2 with everything in it, in the units of the records", () => {
  const full = {
    ...V2, $schema: "../../schemas/policy.schema.json", description: "d", tags: ["edge"], verified_only: false, disputed: "accept", reputation: "declared",
    unknown: { latency: "neutral" },
    rules: {
      required_capabilities: ["vm"], max_latency_ms: 0.1, max_jitter_ms: 1.001, max_packet_loss: 0.5, max_queue_depth: 3, max_price_per_gb: 0.01,
      min_reputation_score: 0.7, max_disputed_links: 0, budget: { expected_gb: 50, max_usd: 0.5 },
      links: [{ node: "db-1", max_latency_ms: 5 }, { service: "postgres", max_packet_loss: 1 }],
      anti_affinity: { jobs: ["web-*"] }, spread: { by: "link", nearer_than_ms: 2, max: 1 },
    },
    scoring: { link_weight: 2, spread_weight: 1, ranges: { latency_ms: { best: 1, worst: 100 }, packet_loss: { best: 0, worst: 5 } }, prefer: ["near_link", "low_price"], decimals: 2 },
    rebalance: { min_gain: 0.1 },
  };
  expect(problems(full)).toEqual([]);
  expect(validate(full)).toBe(true);
  const result = read(full);
  expect(result.ok && result.file.policy).toMatchObject({
    verifiedOnly: false,
    unknown: { latency: "neutral", price: "reject" },
    limits: { latencyUs: 100, jitterUs: 1_001, lossPpm: 5_000, queueDepth: 3, priceMicroUsdPerGb: 10_000, minReputationPpm: 700_000, disputedLinks: 0 },
    budget: { expectedGb: 50, maxMicroUsd: 500_000 },
    links: [{ target: { node: "db-1" }, maxLatencyUs: 5_000 }, { target: { service: "postgres" }, maxLossPpm: 10_000 }],
    antiAffinity: { by: "node", jobs: ["web-*"] },
    spread: { by: "link", nearerThanUs: 2_000, max: 1, jobs: [] },
    scoring: { mean: true, ranges: { latency: { best: 1_000, worst: 100_000 }, loss: { best: 0, worst: 50_000 } }, decimals: 2 },
    rebalance: { minGainPpm: 100_000, holdMs: 300_000, cooldownMs: 3_600_000, maxParallel: 1 },
  });
});

test("the mode decides what was not said", () => {
  const defaults = (mode: string) => {
    const result = read({ ...V2, mode });
    return result.ok ? result.file.policy : undefined;
  };
  expect(defaults("enforce")).toMatchObject({ verifiedOnly: true, unknown: { latency: "reject", link: "reject" } });
  expect(defaults("permissive")).toMatchObject({ verifiedOnly: false, unknown: { latency: "neutral", link: "neutral" } });
});

test("the shipped policies are files of the first cluster without a warning, named as their files", () => {
  const folder = join(projectRoot(), "nomad/policies");
  const files = readdirSync(folder).filter((name) => name.endsWith(".json"));
  expect(files.sort()).toEqual(expect.arrayContaining(["balanced.json", "cost-optimized.json", "high-trust.json", "low-latency.json", "permissive.json"]));
  for (const name of files) {
    const bytes = readFileSync(join(folder, name));
    const result = readPolicy(bytes);
    expect({ name, result }).toMatchObject({ name, result: { ok: true, file: { warnings: [], policy: { name: name.slice(0, -5), description: expect.stringMatching(/./) as string } } } });
    expect(validate(JSON.parse(bytes.toString()))).toBe(true);
  }
});

test("no input makes it throw, and schema and parser agree on any value of any field", () => {
  const value = fc.oneof(fc.jsonValue(), fc.constantFrom<unknown>(0, 1, 2, 100, "node", "link", true, [], ["vm"], { best: 0, worst: 1 }));
  const field = fc.constantFrom("max_latency_ms", "max_packet_loss", "required_capabilities", "max_queue_depth", "budget", "links", "spread", "anti_affinity");
  fc.assert(
    fc.property(field, value, fc.boolean(), (name, content, two) => {
      const file = { ...(two ? V2 : V1), rules: { [name]: content } };
      // The schema cannot say what one field demands of another.
      const contradiction = problems(file).some((problem) => problem.startsWith("rules.spread.nearer_than_ms"));
      expect({ file, ok: read(file).ok || contradiction }).toEqual({ file, ok: validate(file) });
    }),
    { numRuns: 500 },
  );
  fc.assert(fc.property(fc.uint8Array({ maxLength: 200 }), (bytes) => void readPolicy(bytes)));
});
