/** A beacon network: what its book takes and refuses, what a member makes of its listing, and the service over real sockets. */
import { Metadata, Client, credentials, type ServiceError } from "@grpc/grpc-js";
import { jest } from "@jest/globals";
import { pino } from "pino";
import { openDecision } from "../../src/policy/decision-document.js";
import { KeyAdmission } from "../../src/beacon/keys.js";
import { inclusionProof, isIncluded, merkleRoot, merkleTree } from "../../src/beacon/merkle.js";
import type { Statement } from "../../src/beacon/network-record.js";
import { callSidecar } from "../../src/sidecar/api/client.js";
import { GrpcNetwork } from "../../src/sidecar/api/grpc-network.js";
import { GrpcPort } from "../../src/sidecar/api/grpc-port.js";
import { connectNetwork } from "../../src/sidecar/api/network-client.js";
import { BeaconNetworkDefinition, NETWORK_NAME } from "../../src/sidecar/api/service-definition.js";
import { systemClock } from "../../src/sidecar/clock.js";
import type { ConsulApi, KvEntry } from "../../src/sidecar/consul-api.js";
import { Federation, type NetworkListing } from "../../src/sidecar/federation.js";
import type { NetworkBook } from "../../src/sidecar/network/network-book.js";
import { NetworkDesk } from "../../src/sidecar/network/network-desk.js";
import { NetworkStore } from "../../src/sidecar/network/network-store.js";
import { Backoff } from "../../src/sidecar/backoff.js";
import { identity, NOW_MS, beacon } from "../harness/records.js";
import { BEACON, seal } from "../../src/beacon/envelope.js";
import { MEMBER_LISTS, NETWORK_IDENTITY, someNetwork, statement } from "../harness/network.js";
import { chainOf, fileOf } from "../harness/proofs.js";
import { proofFileText } from "../../src/beacon/proof-file.js";
import { registryHash } from "../../src/beacon/registry-hash.js";

const reasonOf = (stated: ReturnType<NetworkBook["state"]>) => (stated.ok ? "taken" : stated.reason);

describe("the book", () => {
  test("takes a listed node's word over a nonce of its own, and lists it under the root that it signs", () => {
    const { book, nonces } = someNetwork();
    expect([1, 2].map((by) => reasonOf(book.state(statement(nonces.issue(), by))))).toEqual(["taken", "taken"]);
    const { members } = book.list();
    expect(members.map(({ member }) => member.beacon.record.datacenter)).toEqual(["dc1", "dc2"]);
  });

  test.each<[string, (nonce: Uint8Array) => Statement]>([
    ["unknown-node", (nonce) => statement(nonce, 3)],
    ["wrong-node", (nonce) => statement(nonce, 1, { datacenter: "dc2" })],
    ["wrong-node", (nonce) => statement(nonce, 1, { node: "node-2" })],
    ["wrong-node", (nonce) => statement(nonce, 1, {}, identity(2))],
    ["wrong-node", (nonce) => ({ ...statement(nonce), sealedAttestation: statement(nonce, 1, { sequence: 9 }).sealedAttestation })],
    ["expired", (nonce) => statement(nonce, 1, { issuedAtMs: NOW_MS - 300_001 })],
    ["issued-in-future", (nonce) => statement(nonce, 1, { issuedAtMs: NOW_MS + 10_001 })],
    ["wrong-nonce", () => statement(new Uint8Array(40))],
    ["wrong-nonce", () => statement(someNetwork().nonces.issue())],
    ["oversized", (nonce) => ({ ...statement(nonce), sealedBeacon: new Uint8Array(351) })],
    ["oversized", (nonce) => ({ ...statement(nonce), sealedAttestation: new Uint8Array(8 * 1024 + 1) })],
    ["malformed-envelope", (nonce) => ({ ...statement(nonce), sealedBeacon: Uint8Array.of(1, 2, 3) })],
    ["malformed-envelope", (nonce) => ({ ...statement(nonce), sealedAttestation: Uint8Array.of(1, 2, 3) })],
    ["wrong-purpose", (nonce) => ({ ...statement(nonce), sealedAttestation: statement(nonce).sealedBeacon })],
    ["bad-signature", (nonce) => ({ ...statement(nonce), sealedBeacon: flipped(statement(nonce).sealedBeacon) })],
    ["bad-signature", (nonce) => ({ ...statement(nonce), sealedAttestation: flipped(statement(nonce).sealedAttestation) })],
  ])("refuses as %s", (reason, make) => {
    const { book, nonces } = someNetwork();
    expect(reasonOf(book.state(make(nonces.issue())))).toBe(reason);
    expect(book.list().members).toEqual([]);
  });

  test("a replay, an older record, two records of one sequence, and an answer to an old nonce are refused; what was taken stays", () => {
    const { book, nonces, at } = someNetwork();
    const first = statement(nonces.issue(), 1, { sequence: 5 });
    const old = nonces.issue();
    expect(reasonOf(book.state(first))).toBe("taken");
    expect(reasonOf(book.state(first))).toBe("replay");
    expect(reasonOf(book.state(statement(nonces.issue(), 1, { sequence: 4 })))).toBe("superseded");
    expect(reasonOf(book.state(statement(nonces.issue(), 1, { sequence: 5, queueDepth: 77 })))).toBe("equivocation");
    at.monoMs += 60_001;
    expect(reasonOf(book.state(statement(old, 1, { sequence: 6 })))).toBe("wrong-nonce");
    expect(reasonOf(book.state(statement(nonces.issue(), 1, { sequence: 6 })))).toBe("taken");
    expect(book.list().members.map(({ member }) => member.beacon.record.sequence)).toEqual([6]);
  });

  test("a node that is over its validity is not listed", () => {
    const { book, nonces, at } = someNetwork();
    book.state(statement(nonces.issue()));
    expect(book.list().members).toHaveLength(1);
    at.nowMs += 300_001;
    at.monoMs += 300_001;
    expect(book.list().members).toEqual([]);
  });
});

test("every leaf's proof of one pass is the one that is made alone", () => {
  for (const count of [0, 1, 2, 3, 5, 8, 13]) {
    const leaves = Array.from({ length: count }, (_, i) => Uint8Array.from({ length: 32 }, () => i));
    const { root, proofs } = merkleTree(leaves);
    expect(root).toEqual(merkleRoot(leaves));
    expect(proofs).toEqual(leaves.map((_, i) => inclusionProof(leaves, i)));
    for (const [i, leaf] of leaves.entries()) expect(isIncluded(leaf, i, count, proofs[i] ?? [], root)).toBe(true);
  }
});

describe("in KV", () => {
  /** What a store needs of Consul, in memory. */
  function someKv() {
    const kept = new Map<string, string>();
    const consul = {
      kvPut: async (key: string, value: string | Uint8Array) => {
        kept.set(key, value.toString());
        return true;
      },
      kvList: async (prefix: string) => ({
        value: [...kept].filter(([key]) => key.startsWith(prefix)).map(([key, value]): KvEntry => ({ key, value: Buffer.from(value), modifyIndex: "1" })),
        index: "1", lastContactMs: 0, knownLeader: true, oversized: [],
      }),
    } as Pick<ConsulApi, "kvPut" | "kvList">;
    return { kept, consul };
  }
  const storeOf = (consul: Pick<ConsulApi, "kvPut" | "kvList">, { book, clock }: ReturnType<typeof someNetwork>) =>
    new NetworkStore({ consul, book, clock: { ...systemClock, ...clock }, backoff: new Backoff(Math.random), health: { up: () => {}, down: () => {}, state: "up" } });
  const { signal } = new AbortController();

  test("a node is written when it is new, then once a minute; another server takes it over, and nothing that was changed there", async () => {
    const { consul, kept } = someKv();
    const one = someNetwork();
    const store = storeOf(consul, one);
    const tell = async (sequence: number) => {
      const stated = one.book.state(statement(one.nonces.issue(), 1, { sequence }));
      if (stated.ok) store.offer(stated.member);
      await store.write(signal);
      return JSON.parse(kept.get("ibrl/v1/network/nodes/dc1/node-1") ?? "{}") as { sequence?: number };
    };
    expect(await tell(1)).toMatchObject({ sequence: 1, node: "node-1" });
    expect(await tell(2)).toMatchObject({ sequence: 1 });
    one.at.monoMs += 60_001;
    expect(await tell(3)).toMatchObject({ sequence: 3 });

    const other = someNetwork();
    await storeOf(consul, other).read(signal);
    expect(other.book.list().members.map(({ member }) => member.beacon.record.sequence)).toEqual([3]);

    const [key = "", document = ""] = [...kept][0] ?? [];
    const { beacon: sealed, ...rest } = JSON.parse(document) as { beacon: string };
    kept.set(key, JSON.stringify({ ...rest, beacon: Buffer.from(flipped(Buffer.from(sealed, "base64"))).toString("base64") }));
    const third = someNetwork();
    await storeOf(consul, third).read(signal);
    expect(third.book.list().members).toEqual([]);
  });

  test("what stands there unchanged is verified once; whom a list names again is found again", async () => {
    const { consul } = someKv();
    const one = someNetwork();
    const stated = one.book.state(statement(one.nonces.issue()));
    if (!stated.ok) throw new Error(stated.reason);
    const writer = storeOf(consul, one);
    writer.offer(stated.member);
    await writer.write(signal);
    const other = someNetwork();
    const adopted = jest.spyOn(other.book, "adopt");
    const store = storeOf(consul, other);
    for (let i = 0; i < 3; i++) await store.read(signal);
    expect(adopted).toHaveBeenCalledTimes(1);
    other.book.admit([]);
    expect(other.book.list().members).toEqual([]);
    other.book.admit(MEMBER_LISTS);
    store.lookAgain();
    await store.read(signal);
    expect(other.book.list().members).toHaveLength(1);
  });
});

describe("a member", () => {
  function listed(): { listing: NetworkListing; network: ReturnType<typeof someNetwork> } {
    const network = someNetwork();
    for (const by of [1, 2]) network.book.state(statement(network.nonces.issue(), by));
    return { network, listing: listingOf(network.book) };
  }
  function someFederation(networkKeys: string[] = []) {
    const counts: [number, number][] = [];
    const refuse = () => { throw new Error("not asked here"); };
    const federation = new Federation({
      connect: refuse, sealed: () => undefined, attestor: { attest: refuse }, keys: new KeyAdmission(), beatMs: 1_000, networkKeys,
      clock: { nowMs: () => NOW_MS, sleep: async () => {} },
      observer: { stated: () => {}, networkKey: () => {}, listed: (...found) => counts.push(found) },
    });
    return { federation, counts };
  }

  test("sees the other clusters' nodes as federated, under a name with their datacenter, and not its own", async () => {
    const { federation } = someFederation();
    await federation.take(listed().listing, "dc1");
    expect(federation.views([])).toMatchObject([{ name: "node-1.dc2", datacenter: "dc2", trust: "federated", beacon: { record: { node: "node-1" } } }]);
    expect(federation.views([{ name: "node-1.dc2", id: "", address: "", datacenter: "dc1", trust: "pinned" }])).toEqual([]);
  });

  test.each<[string, (nodes: NetworkListing["nodes"][number]) => Partial<NetworkListing["nodes"][number]>]>([
    ["a proof that leads elsewhere", () => ({ proof: [new Uint8Array(32)] })],
    ["no proof", () => ({ proof: [] })],
    ["another place", () => ({ index: 0 })],
    ["another beacon by the same key", () => ({ sealedBeacon: seal(BEACON, beacon({ node: "node-1", datacenter: "dc2", queueDepth: 99 }), identity(2)) })],
    ["a changed byte", ({ sealedBeacon }) => ({ sealedBeacon: flipped(sealedBeacon) })],
  ])("does not show a node with %s", async (_, change) => {
    const { federation, counts } = someFederation();
    const { listing } = listed();
    await federation.take({ ...listing, nodes: listing.nodes.map((node, i) => (i === 1 ? { ...node, ...change(node) } : node)) }, "dc1");
    expect(federation.views([])).toEqual([]);
    expect(counts).toEqual([[0, 1]]);
  });

  test("takes nothing under a root that another key signed, or that is changed", async () => {
    const { listing } = listed();
    await expect(someFederation(["00".repeat(32)]).federation.take(listing, "dc1")).rejects.toThrow("not the key that is expected");
    await someFederation([Buffer.from(NETWORK_IDENTITY.publicKey).toString("hex")]).federation.take(listing, "dc1");
    await expect(someFederation().federation.take({ ...listing, sealedRoot: flipped(listing.sealedRoot) }, "dc1")).rejects.toThrow("bad-signature");
  });
});

describe("the service", () => {
  const ending: (() => unknown)[] = [];
  afterEach(async () => {
    for (const end of ending.splice(0).reverse()) await end();
  });

  async function serve() {
    const network = someNetwork();
    const refused: string[] = [];
    const views = () => network.book.list().members.map(({ member: { beacon: told } }) => ({ name: `${told.record.node}.${told.record.datacenter}`, id: "", address: "", datacenter: told.record.datacenter, trust: "pinned" as const, beacon: told }));
    const desk = new NetworkDesk({ views, trusted: () => network.book.admitted, keys: new KeyAdmission(), identity: NETWORK_IDENTITY, clock: network.clock });
    const service = new GrpcNetwork({ ...network, clock: { ...systemClock, ...network.clock }, onAccepted: () => {}, onRefused: (reason) => refused.push(reason), desk });
    const port = new GrpcPort({ bind: { host: "127.0.0.1", port: 0 }, insecureBind: false, logger: pino({ level: "silent" }), maxRequestBytes: 128 * 1024 }, NETWORK_NAME);
    port.server.addService(BeaconNetworkDefinition, { Attest: service.attest, Heartbeat: service.heartbeat, ListNodes: service.list, QueryPolicy: service.queryPolicy, VerifyProof: service.verifyProof });
    const at = await port.start();
    ending.push(() => port.close(0));
    const url = new URL(`grpc://127.0.0.1:${String(at.port)}`);
    const connect = () => {
      const session = connectNetwork(url, { caFile: "", certFile: "", keyFile: "" }, new AbortController().signal);
      ending.push(() => session.close());
      return session;
    };
    return { ...network, refused, connect, views, address: url.host };
  }
  const message = ({ sealedBeacon, sealedAttestation }: Statement) => ({ sealed_beacon: sealedBeacon, sealed_attestation: sealedAttestation });

  test("a node states its beacons over a stream, each over the nonce of the answer before, and is listed with its proof", async () => {
    const { connect } = await serve();
    const session = connect();
    let nonce = await session.state({});
    for (const sequence of [1, 2, 3]) nonce = await session.state(message(statement(nonce, 1, { sequence })));
    const { nodes } = await session.list();
    expect(nodes).toHaveLength(1);
    expect(Buffer.from(nodes[0]?.sealedBeacon ?? "")).toEqual(Buffer.from(statement(nonce, 1, { sequence: 3 }).sealedBeacon));
  });

  test("what is refused ends the stream with the reason, and is counted; others go on", async () => {
    const { connect, refused } = await serve();
    const [stranger, member] = [connect(), connect()];
    const [first, second] = [await stranger.state({}), await member.state({})];
    await expect(stranger.state(message(statement(first, 3)))).rejects.toMatchObject({ code: "PERMISSION_DENIED", transient: false, message: expect.stringContaining("unknown-node") });
    await expect(stranger.state({})).rejects.toThrow("unknown-node");
    await member.state(message(statement(second, 1)));
    expect(refused).toEqual(["unknown-node"]);
  });

  test("a flood ends the stream, and is counted", async () => {
    const { connect, refused } = await serve();
    const session = connect();
    for (let i = 0; i < 10; i++) await session.state({});
    await expect(session.state({})).rejects.toMatchObject({ code: "RESOURCE_EXHAUSTED", message: expect.stringContaining("flood") });
    expect(refused).toEqual(["flood"]);
  });

  test("Attest takes one statement; one that is larger than any honest one never reaches the book", async () => {
    const { address, nonces, refused } = await serve();
    const client = new Client(address, credentials.createInsecure());
    ending.push(() => client.close());
    const { path, requestSerialize, responseDeserialize } = BeaconNetworkDefinition.Attest;
    const attest = (given: Statement) => new Promise<string>((resolve) => {
      client.makeUnaryRequest(path, requestSerialize, responseDeserialize, message(given), new Metadata(), {}, (error: ServiceError | null) => resolve(error === null ? "taken" : error.details));
    });
    expect(await attest(statement(nonces.issue()))).toBe("taken");
    expect(await attest(statement(nonces.issue()))).toMatch(/^replay:/);
    expect(await attest({ ...statement(nonces.issue()), sealedAttestation: new Uint8Array(32 * 1024) })).toMatch(/^oversized:/);
    expect(await attest({ ...statement(nonces.issue()), sealedAttestation: new Uint8Array(256 * 1024) })).toContain("larger than max");
    expect(refused).toEqual(["replay", "oversized"]);
  });

  test("QueryPolicy orders the network's nodes by a policy, under the network's signature; what is no policy file is refused by name", async () => {
    const { address, book, nonces } = await serve();
    for (const [by, price] of [[1, 30_000], [2, 10_000]] as const) expect(reasonOf(book.state(statement(nonces.issue(), by, { priceMicroUsdPerGb: price })))).toBe("taken");
    const ask = (policy: string | Uint8Array) => callSidecar(BeaconNetworkDefinition.QueryPolicy, { policy: Buffer.from(policy) }, { address });
    const neutral = { latency: "neutral", reputation: "neutral", queue_depth: "neutral" };
    const { name, value } = await ask(JSON.stringify({ version: 2, name: "cheap", mode: "enforce", unknown: neutral, scoring: { price_weight: 1 } }));
    const opened = openDecision(name ?? "", value ?? new Uint8Array(), new KeyAdmission());
    if (!opened.ok) throw new Error(opened.detail);
    expect(opened.signed.key.bytes).toEqual(NETWORK_IDENTITY.publicKey);
    expect(opened.signed.record.candidates.map(({ facts }) => facts.node)).toEqual(["node-1.dc2", "node-1.dc1"]);
    await expect(ask('{"version":2}')).rejects.toMatchObject({ message: expect.stringContaining("name") });
    await expect(ask(Buffer.from("\0asm\u0001"))).rejects.toMatchObject({ message: expect.stringContaining("runs no policy modules") });
    await expect(ask(Buffer.alloc(64 * 1024 + 1, " "))).rejects.toMatchObject({ message: expect.stringContaining("at most 65536") });
  });

  test("VerifyProof holds a file against the keys that the lists name, and names the step that is wrong", async () => {
    const { address, views } = await serve();
    const verify = (text: string) => callSidecar(BeaconNetworkDefinition.VerifyProof, { file: Buffer.from(text) }, { address });
    const chain = chainOf(3);
    const beacon_registry_hash = registryHash(views());
    expect(await verify(proofFileText(fileOf(chain)))).toMatchObject({
      verified: true, beacon_registry_hash, workloads: [{ node: "node-1", datacenter: "dc1", job: "web", ended: "complete", proof_hash: chain.at(-1)?.hash }],
    });
    expect(await verify(proofFileText(fileOf(chainOf(3, { by: identity(3) }))))).toMatchObject({ verified: false, step: "key", workloads: [] });
    expect(await verify("{}")).toMatchObject({ verified: false, step: "file" });
  });
});

function flipped(bytes: Uint8Array): Uint8Array {
  return bytes.map((byte, i) => (i === bytes.length - 3 ? byte ^ 1 : byte));
}

function listingOf(book: NetworkBook): NetworkListing {
  const { sealedRoot, members } = book.list();
  return { sealedRoot, nodes: members.map(({ member, proof }, index) => ({ sealedBeacon: member.beacon.sealed, sealedAttestation: member.attestation.sealed, index, proof })) };
}
