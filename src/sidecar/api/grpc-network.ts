/**
 * The service BeaconNetwork: bytes of calls to the book and back. What the book refuses ends the call, and is counted; so
 * is a stream that states more than its share. Connections and calls are bounded by the port that it is added to.
 */
import { type sendUnaryData, type ServerDuplexStream, type ServerUnaryCall, status, type StatusObject } from "@grpc/grpc-js";
import type { Member } from "../../beacon/network-record.js";
import type { ibrl } from "../../proto/messages.js";
import type { Clock } from "../clock.js";
import type { NetworkBook, NetworkRefusal } from "../network/network-book.js";
import { type NetworkDesk, NetworkQueryError } from "../network/network-desk.js";
import type { Nonces } from "../network/nonces.js";
import { TokenBucket } from "../token-bucket.js";

type StatementMessage = ibrl.v1.NetworkStatement.$Properties;
type AnswerMessage = ibrl.v1.NetworkAnswer.$Properties;
type Stream = ServerDuplexStream<StatementMessage, AnswerMessage>;

/** A node states something each beat, 5 s unless told otherwise, and never more often than each 200 ms. */
const STATEMENTS_PER_S = 5;
const BURST = 10;
/** A stream on which nothing is said ends: its node is gone, or never came. */
const SILENT_MS = 60_000;
/** A chain has 96 entries at most, of some hundred bytes. */
const MAX_PROOF_BYTES = 512 * 1024;

export interface NetworkServiceDeps {
  book: NetworkBook;
  nonces: Nonces;
  desk: NetworkDesk;
  clock: Clock;
  onAccepted: (member: Member) => void;
  onRefused: (reason: NetworkRefusal) => void;
}

type Judged = { nonce: Uint8Array } | { refusal: Partial<StatusObject> & { code: status; details: string } };

export class GrpcNetwork {
  constructor(private readonly deps: NetworkServiceDeps) {}

  readonly attest = (call: ServerUnaryCall<StatementMessage, AnswerMessage>, done: sendUnaryData<AnswerMessage>): void => {
    const judged = this.#judge(call.request);
    if ("refusal" in judged) done(judged.refusal);
    else done(null, judged);
  };

  readonly heartbeat = (call: Stream): void => {
    const { clock, onRefused } = this.deps;
    const share = new TokenBucket(STATEMENTS_PER_S, BURST);
    let ended = false;
    const end = (refusal: { code: status; details: string }) => {
      clearTimeout(silence);
      ended = true;
      call.emit("error", refusal); // how grpc-js ends a stream with a status
    };
    const heard = () => setTimeout(() => end({ code: status.DEADLINE_EXCEEDED, details: "nothing was said for a minute" }), SILENT_MS).unref();
    let silence = heard();
    call.on("data", (message: StatementMessage) => {
      if (ended) return;
      clearTimeout(silence);
      if (!share.tryTake(clock.monoMs())) {
        onRefused("flood");
        return end({ code: status.RESOURCE_EXHAUSTED, details: `flood: more than ${String(STATEMENTS_PER_S)} statements a second` });
      }
      const judged = this.#judge(message);
      if ("refusal" in judged) return end(judged.refusal);
      silence = heard();
      call.write(judged);
    });
    call.once("end", () => {
      clearTimeout(silence);
      call.end();
    });
    call.once("cancelled", () => clearTimeout(silence));
  };

  readonly list = (_call: ServerUnaryCall<ibrl.v1.NetworkQuery.$Properties, ibrl.v1.NetworkNodes.$Properties>, done: sendUnaryData<ibrl.v1.NetworkNodes.$Properties>): void => {
    const { sealedRoot, members } = this.deps.book.list();
    const nodes = members.map(({ member, proof }, index) => ({ sealed_beacon: member.beacon.sealed, sealed_attestation: member.attestation.sealed, index, proof: [...proof] }));
    done(null, { sealed_root: sealedRoot, nodes });
  };

  readonly queryPolicy = (call: ServerUnaryCall<ibrl.v1.NetworkPolicyQuery.$Properties, ibrl.v1.StoredDocument.$Properties>, done: sendUnaryData<ibrl.v1.StoredDocument.$Properties>): void => void this.#order(call.request.policy ?? new Uint8Array(), done);

  readonly verifyProof = (call: ServerUnaryCall<ibrl.v1.NetworkProof.$Properties, ibrl.v1.NetworkProofVerdict.$Properties>, done: sendUnaryData<ibrl.v1.NetworkProofVerdict.$Properties>): void => {
    const { desk, onRefused } = this.deps;
    const file = call.request.file ?? new Uint8Array();
    if (file.length > MAX_PROOF_BYTES) {
      onRefused("oversized");
      return done({ code: status.INVALID_ARGUMENT, details: `oversized: ${String(file.length)} bytes; at most ${String(MAX_PROOF_BYTES)}` });
    }
    const { verdict, registryHash: beacon_registry_hash } = desk.verify(file);
    if (!verdict.ok) return done(null, { verified: false, step: verdict.step, detail: verdict.detail, beacon_registry_hash });
    const workloads = verdict.chains.map(({ last: { record, hash } }) => ({ node: record.node, datacenter: record.datacenter, job: record.job, allocation: record.allocation, proof_hash: hash, ended: record.ended }));
    done(null, { verified: true, workloads, beacon_registry_hash });
  };

  async #order(policy: Uint8Array, done: sendUnaryData<ibrl.v1.StoredDocument.$Properties>): Promise<void> {
    try {
      const { id, document } = await this.deps.desk.order(policy);
      done(null, { name: id, value: Buffer.from(document) });
    } catch (error) {
      done({ code: error instanceof NetworkQueryError ? status.INVALID_ARGUMENT : status.INTERNAL, details: error instanceof Error ? error.message : String(error) });
    }
  }

  #judge({ sealed_beacon: beacon, sealed_attestation: attestation }: StatementMessage): Judged {
    const { book, nonces, onAccepted, onRefused } = this.deps;
    const statement = { sealedBeacon: beacon ?? new Uint8Array(), sealedAttestation: attestation ?? new Uint8Array() };
    if (statement.sealedBeacon.length === 0 && statement.sealedAttestation.length === 0) return { nonce: nonces.issue() };
    const stated = book.state(statement);
    if (stated.ok) {
      onAccepted(stated.member);
      return { nonce: nonces.issue() };
    }
    onRefused(stated.reason);
    return { refusal: { code: stated.reason === "unknown-node" ? status.PERMISSION_DENIED : status.INVALID_ARGUMENT, details: `${stated.reason}: ${stated.detail}` } };
  }
}
