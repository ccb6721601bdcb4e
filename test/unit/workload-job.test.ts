/** From an order to Nomad's job: references, templates that an operator may replace, the pin, and the meta that is read back. */
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import fc from "fast-check";
import { decodeState, encodeState } from "../../src/beacon/state-codec.js";
import { projectRoot } from "../../src/dev/project-root.js";
import { type JobMeta, metaOf, type Placed, readMeta } from "../../src/sidecar/job-meta.js";
import { fill, type JsonObject, loadTemplates, type Values } from "../../src/sidecar/placement/job-template.js";
import { jobIdOf, jobOf, killMsOf, movedJob } from "../../src/sidecar/placement/job.js";
import { DRIVERS, readReference } from "../../src/sidecar/placement/reference.js";
import { readSpawn } from "../../src/sidecar/spawn-order.js";
import { state, workload } from "../harness/records.js";

const PACKAGED = join(projectRoot(), "nomad/templates");
const order = readSpawn({ image_ref: "nginx", cores: 2, memory: 64, ports: { 8080: 80 }, dynamic_ports: [90], env: ["A=b=c", "NOMAD_META_x=${node.unique.name}"] }, () => "request");
const META: JobMeta = {
  source: { requestId: "request", decisionId: "0123456789abcdef0123456789abcdef", generation: 2, imageRef: "nginx", cores: 2, memoryMb: 64, ports: [{ host: 8080, workload: 80 }], allowOverlap: false },
  orderHash: "abc",
  policy: Buffer.from("{}"),
  placed: { node: "node-1", atMs: 1_795_000_000_000, moves: 1, tried: ["node-2"], stopAfterMs: 30_000, killMs: 5_000 },
};
const jobWith = (imageRef: string, allowOverlap = false, template?: JsonObject) => {
  const reference = readReference(imageRef);
  const packaged = loadTemplates(PACKAGED).get(reference.driver) as JsonObject;
  return jobOf({ template: template ?? packaged, reference, order: { ...order, allowOverlap }, meta: { ...META, source: { ...META.source, allowOverlap } }, node: "node-1", stopOnClientAfterMs: 30_000 });
};

test.each([
  ["nginx:1.27", { driver: "docker", target: "nginx:1.27" }],
  ["registry:5000/a/b@sha256:0123", { driver: "docker", target: "registry:5000/a/b@sha256:0123" }],
  ["podman://docker.io/library/nginx:1.27", { driver: "podman", target: "docker.io/library/nginx:1.27" }],
  ["exec:///usr/bin/env?arg=-a&arg=b%20c", { driver: "exec", target: "/usr/bin/env", args: ["-a", "b c"] }],
  ["raw_exec:///a%20b", { driver: "raw_exec", target: "/a b" }],
  ["java:///app.jar?jvm=-Xmx64m&artifact=https://host/app.jar", { driver: "java", target: "local/app.jar", jvmArgs: ["-Xmx64m"], artifacts: ["https://host/app.jar"] }],
])("%s names what to run", (imageRef, expected) => {
  expect(readReference(imageRef)).toEqual({ args: [], jvmArgs: [], artifacts: [], ...expected });
});

test.each([
  ["vbox://x", /vbox:\/\/ is no driver/],
  ["exec://usr/bin/env", /absolute path/],
  ["exec:///../etc/shadow", /absolute path/],
  ["exec:///%2e%2e/etc", /absolute path/],
  ["exec:///a%00b", /absolute path/],
  ["exec:///a%zz", /no escape/],
  ["exec:///a?shell=x", /parameter "shell"/],
  ["exec:///a?artifact=file:///etc/shadow", /http or https/],
  ["nginx;rm", /no image name/],
])("%s is refused", (imageRef, problem) => {
  expect(() => readReference(imageRef)).toThrow(problem);
});

test("each packaged template makes a job of one group, pinned to the node, with its ports and its environment", () => {
  for (const driver of DRIVERS) {
    const job = jobWith(driver === "docker" || driver === "podman" ? `${driver}://nginx` : `${driver}:///opt/thing?arg=x`);
    expect(job).toMatchObject({ ID: jobIdOf("request"), Type: "service", Constraints: [{ LTarget: "${attr.unique.consul.name}", Operand: "=", RTarget: "node-1" }] });
    const [group] = job["TaskGroups"] as { Networks: { ReservedPorts: object[]; DynamicPorts: object[] }[]; Tasks: object[] }[];
    expect(group).toMatchObject({ Name: "work", Count: 1, ReschedulePolicy: { Attempts: 0, Unlimited: false }, Disconnect: { StopOnClientAfter: 30e9, Replace: false } });
    expect(group?.Networks).toMatchObject([{ ReservedPorts: [{ Label: "p80", Value: 8080 }], DynamicPorts: [{ Label: "p90" }] }]);
    expect(group?.Tasks).toMatchObject([{ Driver: driver, Env: { A: "b=c", NOMAD_META_x: "${node.unique.name}" } }]);
    expect(JSON.stringify(job)).not.toContain("{{");
  }
});

test("overlap allowed: a group of another name for each generation, and no stop on the client", () => {
  const job = jobWith("raw_exec:///x", true);
  expect(job["TaskGroups"]).toMatchObject([{ Name: "work-2" }]);
  expect(JSON.stringify(job)).not.toContain("Disconnect");
});

test("a moved job differs in its node, its meta, and where nobody has to wait for the old copy in its group's name", () => {
  const standing = { ...jobWith("nginx"), Version: 3, Meta: { ...(jobWith("nginx")["Meta"] as object), owner: "me" } };
  const meta = { ...META, source: { ...META.source, generation: 3 }, placed: { ...(META.placed as Placed), node: "node-9", moves: 2 } };
  const waiting = movedJob(standing, meta, false);
  expect(waiting).toEqual({ ...standing, Meta: { owner: "me", ...metaOf(meta) }, Constraints: [{ LTarget: "${attr.unique.consul.name}", Operand: "=", RTarget: "node-9" }] });
  expect(movedJob(standing, meta, true)).toMatchObject({ TaskGroups: [{ Name: "work-3", Tasks: [{ Env: { A: "b=c" } }] }] });
});

test("what the tasks get to end is the template's: the longest kill timeout with its delays, Nomad's 5 s where it has none", () => {
  for (const template of loadTemplates(PACKAGED).values()) expect(killMsOf(template)).toBe(2_000);
  expect(killMsOf({ TaskGroups: [{ ShutdownDelay: 1e9, Tasks: [{ KillTimeout: 20e9 }, { ShutdownDelay: 17e9 }] }] })).toBe(23_000);
  const { killMs: _, ...before } = META.placed as Placed; // as it was written before
  expect(readMeta(new Map(Object.entries({ ...metaOf(META), ibrl_placed: JSON.stringify(before) })))?.placed).toEqual({ ...before, killMs: 5_000 });
});

test("what a request says never becomes a part of the job's structure", () => {
  const values = { args: ["{{path}}", '"},{"'], path: "{{env}}" } as unknown as Values;
  expect(fill({ a: "{{args}}", b: ["{{path}}"], c: { d: "{{path}} " } }, values)).toEqual({ a: ["{{path}}", '"},{"'], b: ["{{env}}"], c: { d: "{{path}} " } });
});

describe("an operator's folder of templates", () => {
  let folder: string;
  beforeEach(() => (folder = mkdtempSync(join(tmpdir(), "ibrl-templates-"))));
  afterEach(() => rmSync(folder, { recursive: true }));
  const put = (text: string) => writeFileSync(join(folder, "docker.json"), text);

  test("replaces the drivers that it has, and those alone", () => {
    put(JSON.stringify({ Type: "service", Meta: { owner: "me" }, Constraints: [{ LTarget: "${node.class}", RTarget: "big", Operand: "=" }], TaskGroups: [{ Name: "mine", Count: 1, Tasks: [{ Name: "t", Driver: "docker", Config: { image: "{{image}}" } }] }] }));
    const templates = loadTemplates(PACKAGED, folder);
    expect(templates.get("exec")).toEqual(loadTemplates(PACKAGED).get("exec"));
    expect(jobWith("nginx", false, templates.get("docker"))).toMatchObject({
      Meta: { owner: "me", ibrl_request_id: "request" }, Constraints: [{ RTarget: "big" }, { RTarget: "node-1" }], TaskGroups: [{ Tasks: [{ Config: { image: "nginx" } }] }],
    });
  });

  test.each([
    ["{", /docker\.json: is not JSON/],
    ["[]", /one group/],
    ['{"TaskGroups": [{}, {}]}', /one group/],
    ['{"TaskGroups": [{"Name": "{{pth}}"}]}', /has "\{\{pth\}\}"; a placeholder is/],
    ['{"TaskGroups": [{"Name": "x{{path}}"}]}', /a whole string/],
  ])("%s is refused by the file's name", (text, problem) => {
    put(text);
    expect(() => loadTemplates(PACKAGED, folder)).toThrow(problem);
  });
});

test("meta is read back as it was written, and into a signed state and out of it", () => {
  expect(readMeta(new Map(Object.entries(metaOf(META))))).toEqual(META);
  const placed = { ...workload(1), source: META.source };
  expect(decodeState(encodeState(state({ workloads: [placed, workload(2)] }))).workloads).toEqual([placed, workload(2)]);
});

test("meta that anybody wrote is ours whole or not at all, and never thrown at", () => {
  const written = metaOf(META);
  const spoilt = fc.record({ key: fc.constantFrom(...Object.keys(written)), value: fc.oneof(fc.string(), fc.json(), fc.integer().map(String)) });
  fc.assert(fc.property(spoilt, ({ key, value }) => {
    const read = readMeta(new Map(Object.entries({ ...written, [key]: value })));
    if (read !== undefined) expect(() => encodeState(state({ workloads: [{ ...workload(1), source: read.source }] }))).not.toThrow();
  }), { numRuns: 500 });
  expect(readMeta(new Map())).toBeUndefined();
});
