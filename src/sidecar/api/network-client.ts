/** One connection to a beacon network: its heartbeat stream, and its listing. What comes is bytes, for federation.ts to verify. */
import { readFileSync } from "node:fs";
import { Client, type ClientDuplexStream, Metadata, type ServiceError, status } from "@grpc/grpc-js";
import type { ibrl } from "../../proto/messages.js";
import type { NetworkListing, NetworkSession } from "../federation.js";
import { channelOptions, type ClientTls, credentialsFor } from "./client-tls.js";
import { BeaconNetworkDefinition } from "./service-definition.js";

type StatementMessage = ibrl.v1.NetworkStatement.$Properties;
type AnswerMessage = ibrl.v1.NetworkAnswer.$Properties;

/** 10,000 nodes with their proofs are some 10 MB. */
const MAX_ANSWER_BYTES = 32 * 1024 * 1024;
const ANSWER_WITHIN_MS = 10_000;

/** What the network itself says no to: it stays so until somebody acts. */
const REFUSALS: ReadonlySet<status> = new Set([status.PERMISSION_DENIED, status.UNAUTHENTICATED, status.UNIMPLEMENTED]);

class NetworkError extends Error {
  override readonly name = "NetworkError";
  constructor(
    readonly code: string,
    readonly transient: boolean,
    message: string,
  ) {
    super(message);
  }
}

/** By a URL with grpc or grpcs. The files are read at each connection, so that a new certificate is taken up. Throws where one cannot be used. */
export function connectNetwork(url: URL, { caFile, certFile, keyFile }: { caFile: string; certFile: string; keyFile: string }, signal: AbortSignal): NetworkSession {
  const file = (path: string) => (path === "" ? undefined : readFileSync(path));
  const [ca, cert, key] = [file(caFile), file(certFile), file(keyFile)];
  const tls = url.protocol === "grpcs:" ? { ...(ca && { ca }), ...(cert && { cert }), ...(key && { key }) } : undefined;
  return new NetworkClient(url.host, tls, signal);
}

class NetworkClient implements NetworkSession {
  readonly #client: Client;
  readonly #stream: ClientDuplexStream<StatementMessage, AnswerMessage>;
  #waiting: { resolve: (answer: AnswerMessage) => void; reject: (error: Error) => void } | undefined;
  #ended: Error | undefined;

  /** Throws OpenSSL's error where a certificate and a key do not fit. */
  constructor(address: string, tls: ClientTls | undefined, private readonly signal: AbortSignal) {
    this.#client = new Client(address, credentialsFor(address, tls), { ...channelOptions(address, tls), "grpc.max_receive_message_length": MAX_ANSWER_BYTES });
    const { path, requestSerialize, responseDeserialize } = BeaconNetworkDefinition.Heartbeat;
    this.#stream = this.#client.makeBidiStreamRequest(path, requestSerialize, responseDeserialize, new Metadata());
    this.#stream.on("data", (answer: AnswerMessage) => {
      this.#waiting?.resolve(answer);
      this.#waiting = undefined;
    });
    this.#stream.on("error", (error: ServiceError) => this.#end(errorOf(error)));
    this.#stream.on("end", () => this.#end(new NetworkError("ended", true, "the network ended the stream")));
  }

  /** Resolves with the nonce for the next one. Rejects with NetworkError. */
  async state(statement: StatementMessage): Promise<Uint8Array> {
    const timer = setTimeout(() => this.#end(new NetworkError("timeout", true, "no answer within 10 s")), ANSWER_WITHIN_MS);
    const abort = () => this.#end(new NetworkError("aborted", true, "stopping"));
    this.signal.addEventListener("abort", abort, { once: true });
    try {
      const { nonce } = await new Promise<AnswerMessage>((resolve, reject) => {
        if (this.#ended !== undefined) return reject(this.#ended);
        if (this.signal.aborted) return reject(new NetworkError("aborted", true, "stopping"));
        this.#waiting = { resolve, reject };
        this.#stream.write(statement);
      });
      return nonce ?? new Uint8Array();
    } finally {
      clearTimeout(timer);
      this.signal.removeEventListener("abort", abort);
    }
  }

  list(): Promise<NetworkListing> {
    const { path, requestSerialize, responseDeserialize } = BeaconNetworkDefinition.ListNodes;
    return new Promise((resolve, reject) => {
      this.#client.makeUnaryRequest(path, requestSerialize, responseDeserialize, {}, new Metadata(), { deadline: Date.now() + ANSWER_WITHIN_MS }, (error, answer) => {
        if (error !== null) return reject(errorOf(error));
        const empty = new Uint8Array();
        resolve({
          sealedRoot: answer?.sealed_root ?? empty,
          nodes: (answer?.nodes ?? []).map((node) => ({ sealedBeacon: node.sealed_beacon ?? empty, sealedAttestation: node.sealed_attestation ?? empty, index: node.index ?? 0, proof: node.proof ?? [] })),
        });
      });
    });
  }

  close(): void {
    this.#stream.cancel();
    this.#client.close();
  }

  #end(error: Error): void {
    this.#ended ??= error;
    this.#waiting?.reject(this.#ended);
    this.#waiting = undefined;
  }
}

function errorOf({ code, details, message }: ServiceError): NetworkError {
  return new NetworkError(status[code] ?? String(code), !REFUSALS.has(code), details || message);
}
