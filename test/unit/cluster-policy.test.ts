/** The cluster's policy: read at the start, published in the signed state, and shown only as it was signed. */
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { KeyAdmission } from "../../src/beacon/keys.js";
import { decodeState, encodeState } from "../../src/beacon/state-codec.js";
import { listDocument, metricsDocument } from "../../src/commands/views/documents.js";
import { workloadListing } from "../../src/commands/views/workload-listing.js";
import { policyHash } from "../../src/policy/stored-policy.js";
import { ibrl } from "../../src/proto/messages.js";
import { messageOf, type NodeStateMessage } from "../../src/sidecar/api/contract.js";
import { viewOf } from "../../src/sidecar/api/view-of.js";
import { readClusterPolicy } from "../../src/sidecar/cluster-policy.js";
import { SettingsError } from "../../src/sidecar/settings.js";
import { projectRoot } from "../../src/dev/project-root.js";
import { bareView, fullView } from "../harness/node-views.js";
import { identity, NOW_MS, state, verifiedState } from "../harness/records.js";

const silent = { evaluated: () => {}, killed: () => {} };
const POLICY = { id: "base@0123456789abcdef", tags: ["eu", "gdpr"], enforcement: "enforce" } as const;
const node = fullView({ name: "node-1", key: 1, view: { state: verifiedState({ node: "node-1", policy: POLICY }, identity(1)) } });
let folder: string;
beforeAll(() => (folder = mkdtempSync(join(tmpdir(), "ibrl-cluster-policy-"))));
afterAll(() => rmSync(folder, { recursive: true }));

function file(name: string, content: object): string {
  const path = join(folder, name);
  writeFileSync(path, JSON.stringify(content));
  return path;
}
const read = (content: object) => readClusterPolicy(file("policy.json", content), silent);

test("its name and hash, its tags and how strict it is are what is published", () => {
  const content = { version: 2, name: "base", mode: "permissive", tags: ["eu", "gdpr"] };
  const hash = policyHash(Buffer.from(JSON.stringify(content)));
  expect(read(content)).toMatchObject({ evaluator: { identity: { name: "base", hash } }, context: { id: `base@${hash.slice(0, 16)}`, tags: ["eu", "gdpr"], enforcement: "permissive" } });
  expect(read({ name: "a\nb".repeat(300), mode: "enforce" })?.context.id).toMatch(/^(?:a\ufffdb){42}a\ufffd@[0-9a-f]{16}$/);
  const module = readClusterPolicy(join(projectRoot(), "nomad/policies/wasm/high-trust.wasm"), silent);
  expect(module?.context).toMatchObject({ id: expect.stringMatching(/^high-trust@[0-9a-f]{16}$/) as string, tags: [], enforcement: "enforce" });
  expect(readClusterPolicy("", silent)).toBeUndefined();
});

test("a sidecar whose cluster policy is wrong or missing does not start", () => {
  expect(() => read({ version: 2, name: "base", mode: "strict" })).toThrow(SettingsError);
  expect(() => read({ version: 2, name: "base", mode: "strict" })).toThrow(/mode/);
  expect(() => readClusterPolicy(join(folder, "none.json"), silent)).toThrow(/--cluster-policy.*cannot be read/);
});

test("it survives the encoding of the state, and what is no enforcement level is refused", () => {
  expect(decodeState(encodeState(state({ policy: POLICY }))).policy).toEqual(POLICY);
  expect(decodeState(encodeState(state())).policy).toBeUndefined();
  const wrong: ibrl.v1.PolicyContext.$Properties[] = [{ policy_id: "a", enforcement_level: "lax" }, { policy_id: "a", enforcement_level: "enforce", tags: Array.from({ length: 17 }, (_, i) => String(i)) }];
  for (const policy of wrong) {
    const payload = ibrl.v1.NodeState.decode(encodeState(state()));
    payload.policy = policy;
    expect(() => decodeState(ibrl.v1.NodeState.encode(payload).finish())).toThrow(/^policy\./);
  }
});

test("a listing carries it as the ancestor's PolicyContext, and a client shows it only as the state has it signed", () => {
  const message = messageOf(node);
  expect(message.policy).toEqual({ policy_id: POLICY.id, tags: ["eu", "gdpr"], enforcement_level: "enforce" });
  const context = { keys: new KeyAdmission(), nowMs: NOW_MS, skewMs: 10_000 };
  expect(viewOf(message, context)).toMatchObject({ trust: "pinned", state: { record: { policy: POLICY } } });
  const lies: NodeStateMessage["policy"][] = [null, { ...message.policy, enforcement_level: "permissive" }, { ...message.policy, tags: [] }];
  for (const policy of lies) expect(viewOf({ ...message, policy: policy ?? null }, context)).toMatchObject({ trust: "unverified", detail: "readable-mismatch: policy is not that of the sealed state" });
  const { policy: _, ...bare } = messageOf(bareView("node-9"));
  expect(viewOf({ ...bare, policy: message.policy ?? null }, context)).toMatchObject({ trust: "unverified" });
});

test("cluster metrics and cluster list have it in their JSON, null where there is none, and cluster list in its text", () => {
  for (const document of [metricsDocument([node, bareView("node-9")]), listDocument([node, bareView("node-9")])]) {
    expect(document.nodes.map(({ policy }) => policy)).toEqual([POLICY, null]);
  }
  expect(workloadListing([node], NOW_MS)).toContain("  Policy:          base@0123456789abcdef (enforce) [eu gdpr]\n");
  expect(workloadListing([bareView("node-9")], NOW_MS)).not.toContain("Policy");
});
