/** The shipped Consul policies against the names that the code uses, and what may be put into them. */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { allowListKey, EVENT_NAME, NODES_PREFIX, pinKey, pinsPrefix, SERVICE_NAME, stateKey } from "../../src/beacon/documents.js";
import { decisionKey } from "../../src/policy/decision-document.js";
import { policyBytesKey, policyNameKey } from "../../src/policy/stored-policy.js";
import { ACL_ROLES, ACL_TEMPLATES, renderPolicy } from "../../src/acl/consul-policy.js";
import { projectRoot } from "../../src/dev/project-root.js";
import { policyOf } from "../harness/cluster.js";

interface Rule {
  resource: string;
  label: string;
  policy: string;
}

const rulesIn = (hcl: string): Rule[] =>
  [...hcl.matchAll(/^(\w+) "([^"]*)" \{ policy = "(\w+)" \}$/gm)].map(([, resource = "", label = "", policy = ""]) => ({ resource, label, policy }));
const sidecar = rulesIn(policyOf("sidecar", "node-1", "dc7"));

test.each([
  ["its own state", "key_prefix", "write", (label: string) => stateKey("node-1").startsWith(label)],
  ["its own pin", "key", "write", (label: string) => label === pinKey("dc7", "node-1")],
  ["all states", "key_prefix", "list", (label: string) => NODES_PREFIX.startsWith(label)],
  ["all pins", "key_prefix", "list", (label: string) => pinsPrefix("dc7").startsWith(label)],
  ["the service", "service", "write", (label: string) => label === SERVICE_NAME],
  ["the event", "event", "write", (label: string) => label === EVENT_NAME],
])("the sidecar's policy has %s as the code names it", (_, resource, policy, covers) => {
  expect(sidecar.filter((rule) => rule.resource === resource && rule.policy === policy && covers(rule.label))).toHaveLength(1);
});

test("an operator may write allow-list and pins, a reader may not", () => {
  for (const key of [allowListKey("dc7"), pinKey("dc7", "node-1")]) {
    const writes = (rules: Rule[]) => rules.filter(({ resource, policy, label }) => resource === "key_prefix" && policy === "write" && key.startsWith(label));
    expect([writes(rulesIn(policyOf("operator", undefined, "dc7"))).length, writes(rulesIn(policyOf("reader"))).length]).toEqual([1, 0]);
  }
});

/** What an operator writes. */
const OPERATORS = /^ibrl\/v1\/(?:trust|pins)\/dc7\/$/;
/** What placers of a cluster write together: the lock, decisions under their own hashes, policies that are signed. */
const SHARED = /\/node-1\b|^ibrl\/v1\/(?:placement\/dc7|decisions|policies)\/$/;

test.each([["decisions", decisionKey("0".repeat(32))], ["policies by name", policyNameKey("near")], ["policies' bytes", policyBytesKey("0".repeat(64))]])("a placer may write %s, and a sidecar that is none may not", (_, key) => {
  const writes = (rules: Rule[]) => rules.filter(({ resource, policy, label }) => resource === "key_prefix" && policy === "write" && key.startsWith(label));
  expect(writes(rulesIn(policyOf("placer", "node-1", "dc7")))).toHaveLength(1);
  expect(writes(sidecar)).toEqual([]);
});

test.each(ACL_ROLES)("%s: a key prefix ends in /, writing takes the node's own name, or a prefix of placers, operators or networks, and every line is a rule or a comment", (role) => {
  const hcl = policyOf(role, "node-1", "dc7");
  for (const { resource, label, policy } of rulesIn(hcl)) {
    if (resource === "key_prefix") expect(label).toMatch(/\/$/);
    if (policy === "write" && resource.startsWith("key")) expect(label).toMatch(role === "placer" ? SHARED : role === "operator" ? OPERATORS : role === "network" ? /^ibrl\/v1\/network\/$/ : /\/node-1\b/);
  }
  expect(hcl.split("\n").filter((line) => line !== "" && !line.startsWith("#"))).toHaveLength(rulesIn(hcl).length);
});

test("nothing but a name gets between the quotes", () => {
  const template = readFileSync(join(projectRoot(), "nomad/acl", ACL_TEMPLATES.sidecar[0] ?? ""), "utf8");
  for (const node of ['x" { policy = "write" } key_prefix "', "a/b", "", "{{node}}", "a\nb"]) {
    expect(() => renderPolicy(template, { node, datacenter: "dc1" })).toThrow(RangeError);
  }
  expect(() => renderPolicy(template, { datacenter: "dc1" })).toThrow("the policy takes the name of a node");
});
