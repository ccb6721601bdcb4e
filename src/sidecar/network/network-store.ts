/**
 * A beacon network's nodes in the KV of the Consul cluster that it runs on: a restart and the other servers of the network
 * find them there, verify them again, and take over what is newer. A node is written when it is new, when its epoch is, and
 * then once a period: its heartbeats would be too many writes.
 */
import { setImmediate as nextTurn } from "node:timers/promises";
import { NETWORK_PREFIX, networkKey } from "../../beacon/documents.js";
import type { Member } from "../../beacon/network-record.js";
import type { Backoff } from "../backoff.js";
import type { Clock } from "../clock.js";
import type { ConsulApi } from "../consul-api.js";
import type { HealthLog } from "../health-log.js";
import { whole } from "../whole-read.js";
import type { NetworkBook } from "./network-book.js";

const READ_EVERY_MS = 5_000;
const WRITE_EVERY_MS = 60_000;
/** Of one turn, a second: below what Raft takes from everybody. */
const WRITES_A_TURN = 16;
const TURN_MS = 1_000;
/** Verified between two turns of the event loop, which serves members meanwhile. */
const BATCH = 16;

export class NetworkStore {
  /** By key: what was stated and is not written, and when and in which epoch it was written last. */
  readonly #due = new Map<string, Member>();
  readonly #written = new Map<string, { epoch: number; atMs: number }>();
  /** By key: the document that was looked at last, or written from here. Two signatures are verified for each new one only. */
  #seen = new Map<string, string>();

  constructor(
    private readonly deps: {
      consul: Pick<ConsulApi, "kvList" | "kvPut">;
      book: NetworkBook;
      clock: Pick<Clock, "monoMs" | "sleep">;
      backoff: Backoff;
      health: Pick<HealthLog, "up" | "down" | "state">;
    },
  ) {}

  get state(): "connecting" | "connected" | "unreachable" {
    const { state } = this.deps.health;
    return state === "up" ? "connected" : state === "unknown" ? "connecting" : "unreachable";
  }

  offer(member: Member): void {
    this.#due.set(networkKey(member.beacon.record), member);
  }

  /** Whom the book refused before may be admitted now: all of it is looked at again. */
  lookAgain(): void {
    this.#seen = new Map();
  }

  /** Until the signal aborts. Never rejects: without Consul the network goes on from memory. */
  async run(signal: AbortSignal): Promise<void> {
    const { clock, backoff, health } = this.deps;
    let nextReadMs = clock.monoMs();
    while (!signal.aborted) {
      try {
        if (clock.monoMs() >= nextReadMs) {
          await this.read(signal);
          nextReadMs = clock.monoMs() + READ_EVERY_MS;
        }
        await this.write(signal);
        health.up();
        backoff.reset();
        await clock.sleep(TURN_MS, signal);
      } catch (error) {
        if (signal.aborted) return;
        health.down(error);
        await clock.sleep(backoff.next(), signal);
      }
    }
  }

  /** Rejects with ConsulError. */
  async read(signal: AbortSignal): Promise<void> {
    const { value } = await whole(this.deps.consul.kvList(NETWORK_PREFIX, { signal, maxValueBytes: 16 * 1024 }), "kv.list", `key:read below "${NETWORK_PREFIX}"`);
    const before = this.#seen;
    this.#seen = new Map(value.map((entry) => [entry.key, Buffer.from(entry.value).toString("latin1")]));
    let verified = 0;
    for (const { key, value: document } of value) {
      if (before.get(key) === this.#seen.get(key)) continue;
      const statement = statementIn(document);
      if (statement === undefined) continue;
      this.deps.book.adopt(statement);
      if ((verified += 1) % BATCH === 0) await nextTurn();
    }
  }

  /** What is due, a turn's worth. Rejects with ConsulError. */
  async write(signal: AbortSignal): Promise<void> {
    const { consul, clock } = this.deps;
    let writes = 0;
    for (const [key, member] of this.#due) {
      const { epoch } = member.beacon.record;
      const last = this.#written.get(key);
      if (last?.epoch === epoch && clock.monoMs() - last.atMs < WRITE_EVERY_MS) continue;
      if ((writes += 1) > WRITES_A_TURN) return;
      const document = documentOf(member);
      await consul.kvPut(key, document, { signal });
      this.#seen.set(key, Buffer.from(document).toString("latin1"));
      this.#written.set(key, { epoch, atMs: clock.monoMs() });
      if (this.#due.get(key) === member) this.#due.delete(key);
    }
  }
}

function documentOf({ beacon, attestation }: Member): string {
  const { node, datacenter, epoch, sequence, issuedAtMs } = beacon.record;
  const base64 = (bytes: Uint8Array) => Buffer.from(bytes).toString("base64");
  return JSON.stringify({ v: 1, node, datacenter, beaconId: beacon.beaconId, epoch, sequence, issuedAt: new Date(issuedAtMs).toISOString(), beacon: base64(beacon.sealed), attestation: base64(attestation.sealed) }, null, 1);
}

function statementIn(document: Uint8Array) {
  try {
    const { beacon, attestation } = JSON.parse(Buffer.from(document).toString("utf8")) as Record<string, unknown>;
    if (typeof beacon !== "string" || typeof attestation !== "string") return undefined;
    return { sealedBeacon: Buffer.from(beacon, "base64"), sealedAttestation: Buffer.from(attestation, "base64") };
  } catch {
    return undefined;
  }
}
