/**
 * Synthetic members of a beacon network, for network-heartbeats.ts: each with a key, a connection and a Heartbeat stream
 * of its own. What a span states is sealed before it begins, over a nonce that the server gave the member just then
 * (it holds for a minute): in the span itself the client writes bytes and counts answers.
 */
import { generateKeyPairSync, type KeyObject } from "node:crypto";
import { setImmediate as nextTurn, setTimeout as sleep } from "node:timers/promises";
import { Client, type ClientDuplexStream, credentials, Metadata, type ServiceError } from "@grpc/grpc-js";
import type { AllowedNode } from "../src/beacon/allow-list.js";
import { ATTESTATION } from "../src/beacon/attestation.js";
import { BEACON, seal } from "../src/beacon/envelope.js";
import { ibrl } from "../src/proto/messages.js";
import { BeaconNetworkDefinition } from "../src/sidecar/api/service-definition.js";
import { beacon } from "../test/harness/records.js";

const { NetworkAnswer, NetworkStatement } = ibrl.v1;
const NODE_ID = "5f3c2d1e-0a9b-4c8d-8e7f-112233445566";
const STATE_HASH = "22".repeat(32);
const ASK = Buffer.alloc(0);
/** What a span waits for after its end; it is not counted as answered then, only with the time that it took. */
const DRAIN_MS = 10_000;
const BATCH = 64;

export interface Span<T> {
  /** Between the two samples. */
  elapsedS: number;
  offered: number;
  answered: number;
  /** From the write of a statement to its answer; of what was not answered, until the waiting ended. */
  latenciesMs: readonly number[];
  before: T;
  after: T;
  /** Of the sealing before the span, for one statement. */
  sealUs: number;
}

interface Member {
  node: string;
  identity: { publicKey: Uint8Array; privateKey: KeyObject };
  sequence: number;
  client?: Client;
  stream?: ClientDuplexStream<Buffer, Buffer>;
  answer: Buffer;
  /** When the statements were written whose answers are to come. */
  waiting: number[];
}

interface Statement {
  member: Member;
  bytes: Buffer;
}

export class Members {
  readonly #members: readonly Member[];
  readonly #ended: string[] = [];
  #onAnswer: (sentAtMs: number, nowMs: number) => void = () => {};

  constructor(count: number, private readonly datacenter: string) {
    this.#members = Array.from({ length: count }, (_, i) => {
      const { publicKey, privateKey } = generateKeyPairSync("ed25519");
      const bytes = Buffer.from(publicKey.export({ format: "jwk" }).x ?? "", "base64url");
      return { node: `provider-fra1-rack07-${String(i).padStart(5, "0")}`, identity: { publicKey: bytes, privateKey }, sequence: 0, answer: ASK, waiting: [] };
    });
  }

  get allowed(): AllowedNode[] {
    return this.#members.map(({ node, identity }) => ({ node, publicKey: Buffer.from(identity.publicKey).toString("hex") }));
  }

  /** Why streams were ended by the server since the last `open`. */
  get ended(): readonly string[] {
    return this.#ended;
  }

  /** Of those that have none. So many streams a second at most: a server has its own limit for one client. Resolves when each has a nonce. */
  async open(address: string, perS: number, signal: AbortSignal): Promise<void> {
    const { path } = BeaconNetworkDefinition.Heartbeat;
    const asIs = (bytes: Buffer) => bytes;
    this.#ended.length = 0;
    for (const [i, member] of this.#members.filter(({ stream }) => stream === undefined).entries()) {
      const client = new Client(address, credentials.createInsecure(), { "grpc.use_local_subchannel_pool": 1, "grpc.enable_http_proxy": 0, "grpc.enable_retries": 0 });
      const stream = client.makeBidiStreamRequest(path, asIs, asIs, new Metadata());
      stream.on("data", (answer: Buffer) => {
        member.answer = answer;
        const sentAtMs = member.waiting.shift();
        if (sentAtMs !== undefined) this.#onAnswer(sentAtMs, performance.now());
      });
      stream.on("error", (error: ServiceError) => {
        if (member.stream !== stream) return;
        this.#ended.push(`${member.node}: ${error.details}`);
        close(member);
      });
      Object.assign(member, { client, stream });
      send(member, ASK);
      if (i % 10 === 9) await sleep((10 / perS) * 1_000, undefined, { signal });
    }
    await this.#drained(signal);
  }

  close(): void {
    for (const member of this.#members) close(member);
  }

  /** At an even pace, each member in turn; the first second is before the samples, and not counted. */
  async span<T>(perS: number, seconds: number, sample: () => T, signal: AbortSignal): Promise<Span<T>> {
    for (const member of this.#members) send(member, ASK);
    await this.#drained(signal);
    const cpu = process.cpuUsage();
    const statements = await this.#seal(perS * (seconds + 1));
    const { user, system } = process.cpuUsage(cpu);
    let [answered, offered, startMs, endMs] = [0, 0, Number.POSITIVE_INFINITY, Number.POSITIVE_INFINITY];
    const latenciesMs: number[] = [];
    this.#onAnswer = (sentAtMs, nowMs) => {
      if (nowMs >= startMs && nowMs < endMs) answered += 1;
      if (sentAtMs >= startMs && sentAtMs < endMs) latenciesMs.push(nowMs - sentAtMs);
    };
    const beganAtMs = performance.now();
    let before: T | undefined;
    for (let written = 0; written < statements.length; await sleep(1, undefined, { signal })) {
      const elapsedMs = performance.now() - beganAtMs;
      if (before === undefined && elapsedMs >= 1_000) [before, startMs] = [sample(), performance.now()];
      for (const due = Math.min(statements.length, (elapsedMs / 1_000) * perS); written < due; written++) {
        const { member, bytes } = statements[written] as Statement;
        send(member, bytes);
        if (before !== undefined) offered += 1;
      }
    }
    const after = sample();
    endMs = performance.now();
    await this.#drained(signal);
    this.#onAnswer = () => {};
    const nowMs = performance.now();
    const late = this.#members.flatMap(({ waiting }) => waiting).filter((sentAtMs) => sentAtMs >= startMs && sentAtMs < endMs);
    latenciesMs.push(...late.map((sentAtMs) => nowMs - sentAtMs));
    return { elapsedS: (endMs - startMs) / 1_000, offered, answered, latenciesMs, before: before as T, after, sealUs: (user + system) / statements.length };
  }

  async #drained(signal: AbortSignal): Promise<void> {
    const untilMs = performance.now() + DRAIN_MS;
    while (performance.now() < untilMs && this.#members.some(({ waiting }) => waiting.length > 0)) await sleep(20, undefined, { signal });
  }

  async #seal(count: number): Promise<Statement[]> {
    const statements: Statement[] = [];
    for (let i = 0; i < count; i++) {
      if (i % BATCH === 0) await nextTurn(); // answers to pings
      const member = this.#members[i % this.#members.length] as Member;
      statements.push({ member, bytes: this.#statement(member) });
    }
    return statements;
  }

  #statement(member: Member): Buffer {
    const { node, identity } = member;
    const header = { node, datacenter: this.datacenter, epoch: 1, sequence: (member.sequence += 1), issuedAtMs: Date.now() };
    const nonce = Buffer.from(NetworkAnswer.decode(member.answer).nonce ?? []).toString("hex");
    const attestation = { ...header, validityMs: 60_000, nodeId: NODE_ID, type: "STATE_HASH" as const, nonce, stateHash: STATE_HASH };
    return Buffer.from(NetworkStatement.encode({ sealed_beacon: seal(BEACON, beacon(header), identity), sealed_attestation: seal(ATTESTATION, attestation, identity) }).finish());
  }
}

function send({ stream, waiting }: Member, statement: Buffer): void {
  if (stream === undefined) return;
  waiting.push(performance.now());
  stream.write(statement);
}

/** What was waited for is not, any more. */
function close(member: Member): void {
  const { stream, client } = member;
  delete member.stream;
  member.waiting = [];
  stream?.cancel();
  client?.close();
}
