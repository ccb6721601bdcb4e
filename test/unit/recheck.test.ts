/** The last look at a chosen node: what Consul and the node's signed state say now, whatever a listing said. */
import { SERVICE_NAME, stateDocument, stateKey } from "../../src/beacon/documents.js";
import { KeyAdmission } from "../../src/beacon/keys.js";
import { systemClock } from "../../src/sidecar/clock.js";
import type { KvEntry, ReadOptions, ServiceInstance } from "../../src/sidecar/consul-api.js";
import type { PeerAnswers } from "../../src/sidecar/peer-answers.js";
import { Recheck } from "../../src/sidecar/placement/recheck.js";
import { fullView } from "../harness/node-views.js";
import { identity, NOW_MS, verifiedState } from "../harness/records.js";

const view = fullView();
const healthy: ServiceInstance = {
  node: "node-1", nodeId: view.id, datacenter: "dc1", nodeAddress: view.address, serviceId: "s", address: view.address, port: 0, tags: [], meta: {},
  checks: [{ id: "serfHealth", status: "passing" }, { id: "service:ibrl-beacon", status: "passing" }],
};
const stateOf = (node: string, key = 1, issuedAtMs = NOW_MS) => stateDocument(verifiedState({ node, issuedAtMs }, identity(key)));

async function problem(instances: ServiceInstance[], document: string | null, nowMs = NOW_MS, answers?: PeerAnswers): Promise<string | undefined> {
  const asked: (ReadOptions | undefined)[] = [];
  const read = <T>(value: T, options: ReadOptions | undefined) => {
    asked.push(options);
    return Promise.resolve({ value, index: "1", lastContactMs: 0, knownLeader: true });
  };
  const entry: KvEntry | null = document === null ? null : { key: stateKey("node-1"), value: Buffer.from(document), modifyIndex: "1" };
  const consul = {
    serviceInstances: (name: string, options?: ReadOptions) => read(name === SERVICE_NAME ? instances : [], options),
    kvGet: (key: string, options?: ReadOptions) => read(key === stateKey("node-1") ? entry : null, options),
  };
  const found = await new Recheck(consul, new KeyAdmission(), { ...systemClock, nowMs: () => nowMs }, answers).problem(view, new AbortController().signal);
  expect(asked).toMatchObject([{ consistency: "consistent" }, { consistency: "consistent" }]);
  return found;
}

test("healthy, with a state of its own that is not too old: it can be chosen", async () => {
  expect(await problem([healthy], stateOf("node-1"))).toBeUndefined();
});

test("one that can be reached over mTLS is asked, by where Consul says it is; one that cannot is not", async () => {
  const asked: object[] = [];
  const answers: PeerAnswers = async (at, state) => {
    asked.push({ ...at, node: state.record.node });
    return "its sidecar does not answer";
  };
  expect(await problem([healthy], stateOf("node-1"), NOW_MS, answers)).toBeUndefined();
  expect(await problem([{ ...healthy, port: 8000 }], stateOf("node-1"), NOW_MS, answers)).toBe("its sidecar does not answer");
  expect(asked).toEqual([{ host: healthy.address, port: 8000, node: "node-1" }]);
});

test.each<[string, ServiceInstance[], string | null, RegExp, number?]>([
  ["gone from the catalog", [], stateOf("node-1"), /no longer in Consul's catalog/],
  ["another node's instance alone", [{ ...healthy, node: "node-2" }], stateOf("node-1"), /no longer in Consul's catalog/],
  ["a failing check", [{ ...healthy, checks: [{ id: "serfHealth", status: "critical" }] }], stateOf("node-1"), /check serfHealth is critical/],
  ["no state", [healthy], null, /no signed state/],
  ["bytes that are no state", [healthy], "{}", /no signed state/],
  ["another node's state in its place", [healthy], stateOf("node-2"), /signed state: wrong-node/],
  ["a state by another key", [healthy], stateOf("node-1", 2), /another key than its beacon/],
  ["a state that is too old", [healthy], stateOf("node-1"), /signed state: expired/, NOW_MS + 24 * 3_600_000],
])("%s: it cannot", async (_, instances, document, expected, nowMs = NOW_MS) => {
  expect(await problem(instances, document, nowMs)).toMatch(expected);
});
