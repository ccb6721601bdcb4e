/**
 * A server's NodeStateResponse back to a NodeView, for clients, which believe sealed bytes only. Every number is
 * taken from what was verified here; the readable fields are compared with it, and a difference is tampering.
 * Not verifiable and therefore the server's word: node ID, address, `alive`, and a `trust` worse than our verdict
 * (the server holds pins and history that a client does not). `reputation_score` is not taken over: client.ts computes
 * it from the states that were verified here.
 */
import { BEACON, open, type OpenContext, type Opened, STATE, type Verified } from "../../beacon/envelope.js";
import type { KeyAdmission } from "../../beacon/keys.js";
import { federatedName, isBelieved, isShown, type NodeView } from "../../beacon/node-view.js";
import { policyMessage } from "../../beacon/state-codec.js";
import type { Beacon, NodeState } from "../../beacon/record.js";
import { TRUST_STATES, type TrustState } from "../../beacon/registry.js";
import { reject, type Rejection } from "../../beacon/rejection.js";
import { openRotation, type Rotation } from "../../beacon/rotation.js";
import { withBatches } from "../../beacon/workload-batches.js";
import { type BeaconMessage, beaconMessage, type NodeStateMessage, proofText, signatureText, trafficAgrees, workloadMessages } from "./contract.js";

export interface ClientContext {
  keys: KeyAdmission;
  /** Unix milliseconds by the client's clock. */
  nowMs: number;
  /** How far a node's clock may run ahead of the client's. */
  skewMs: number;
}

interface Place {
  name: string;
  id: string;
  address: string;
  datacenter: string;
}

type Evidence = { ok: true; beacon?: Verified<Beacon>; state?: Verified<NodeState>; rotations?: readonly Rotation[] } | Rejection;

/** Of two verdicts the one further on stands. */
const SEVERITY: Readonly<Record<TrustState, number>> = {
  pinned: 0,
  "first-use": 1,
  federated: 2,
  "no-sidecar": 3,
  expired: 4,
  unverified: 5,
  unlisted: 6,
  equivocation: 7,
  "id-collision": 8,
  "pin-conflict": 9,
};

/** What the readable beacon holds that its sealed form vouches for. */
const DERIVED = [
  "beacon_node_id", "node_signature", "timestamp", "node_capabilities", "latency_ms", "jitter_ms", "packet_loss",
  "queue_depth", "price_per_gb",
] as const satisfies readonly (keyof BeaconMessage)[];

/** Never throws: whatever a server sends becomes a view, at worst an `unverified` one whose `detail` says why. */
export function viewOf(message: NodeStateMessage, context: ClientContext): NodeView {
  const place = placeOf(message);
  const claim = claimOf(message);
  const evidence = examine(message, place, claim.trust, context);
  const own: TrustState = evidence.ok ? "pinned" : evidence.reason === "expired" ? "expired" : "unverified";
  const trust = SEVERITY[claim.trust] >= SEVERITY[own] ? claim.trust : own;

  const view: NodeView = { ...place, trust };
  if (typeof message.alive === "boolean") view.alive = message.alive;
  if (!isBelieved(trust)) {
    const detail = evidence.ok ? claim.detail : `${evidence.reason}: ${evidence.detail}`;
    if (detail !== undefined) view.detail = printable(detail);
    if (!evidence.ok || !isShown(trust) || message.trust !== trust) return view; // an open sidecar shows it, so labelled
  }
  if (evidence.ok && evidence.beacon !== undefined) view.beacon = evidence.beacon;
  if (evidence.ok && evidence.state !== undefined) view.state = evidence.state;
  if (evidence.ok && evidence.rotations !== undefined) view.rotations = evidence.rotations;
  return view;
}

function placeOf(message: NodeStateMessage): Place {
  const id = printable(message.node?.id ?? "");
  return {
    name: printable(message.node?.name ?? "") || id, // an ancestor's server knows IDs only
    id,
    address: printable(message.node?.ip ?? ""),
    datacenter: printable(message.node?.datacenter ?? ""),
  };
}

/** The server's verdict, as far as it is one. */
function claimOf(message: NodeStateMessage): { trust: TrustState; detail?: string } {
  const text = message.trust ?? "";
  const trust = TRUST_STATES.find((state) => state === text);
  if (trust === undefined) {
    const detail = text === "" ? "the server sends no verdict and no sealed records" : `the server's verdict ${JSON.stringify(text)} is unknown here`;
    return { trust: "unverified", detail };
  }
  if (isBelieved(trust) || trust === "no-sidecar") return { trust };
  return { trust, detail: `${message.trust_detail || "no reason was sent"} (the serving sidecar's verdict)` };
}

function examine(message: NodeStateMessage, place: Place, claimed: TrustState, context: ClientContext): Evidence {
  const { keys, nowMs, skewMs } = context;
  const at = { keys, nowMs, skewMs, datacenter: place.datacenter, ...(claimed === "federated" ? {} : { node: place.name }) };
  const sealedBeacon = message.sealed_beacon ?? new Uint8Array();
  const sealedState = message.sealed_state ?? new Uint8Array();
  if (sealedBeacon.length === 0) {
    if (sealedState.length > 0) return reject("readable-mismatch", "a sealed state came without the sealed beacon of its key");
    if (isBelieved(claimed)) return reject("readable-mismatch", `the server calls the node ${claimed} and sends no sealed beacon`);
    return unsealed(message) ?? { ok: true };
  }
  const beacon = open(BEACON, sealedBeacon, at);
  if (!beacon.ok) return beacon;
  if (claimed === "federated" && place.name !== federatedName(beacon.verified.record)) return reject("wrong-node", `speaks for ${federatedName(beacon.verified.record)} in the place of ${place.name}`);
  const differing = isBelieved(claimed) ? differingField(message.beacon, beaconMessage(beacon.verified)) : undefined;
  if (differing !== undefined) return reject("readable-mismatch", `beacon.${differing} is not what the sealed beacon says`);
  const chain = rotationsIn(message, beacon.verified, keys);
  if (!chain.ok) return chain;
  if (sealedState.length === 0) return unsealedState(message) ?? { ...chain, beacon: beacon.verified };

  const state = openState(sealedState, message.workload_batches ?? [], at);
  if (!state.ok) return reject(state.reason, `sealed state: ${state.detail}`);
  if (state.verified.key.hex !== beacon.verified.key.hex) {
    return reject("wrong-node", `the state is signed by ${state.verified.key.hex}, the beacon by ${beacon.verified.key.hex}`);
  }
  if (isBelieved(claimed)) {
    if (message.state_signature !== signatureText(state.verified)) {
      return reject("readable-mismatch", "state_signature is not the sealed state's");
    }
    const messages = message.workloads ?? [];
    const listed = messages.map(({ id, allocation_id, proof }) => [id ?? "", allocation_id ?? "", proofText(proof)]);
    const signed = workloadMessages(state.verified.record);
    // A server of a version without proofs serves none.
    const sealed = signed.map(({ id, allocation_id, proof }, i) => [id, allocation_id, proofText(messages[i]?.proof ? proof : undefined)]);
    if (JSON.stringify(listed) !== JSON.stringify(sealed) || !signed.every(({ proof }, i) => trafficAgrees(messages[i]?.proof, proof))) {
      return reject("readable-mismatch", "workloads are not those of the sealed state");
    }
    const { policy } = state.verified.record;
    if (policyText(message.policy) !== policyText(policy === undefined ? undefined : policyMessage(policy))) {
      return reject("readable-mismatch", "policy is not that of the sealed state");
    }
  }
  return { ...chain, beacon: beacon.verified, state: state.verified };
}

/** A server of a version without batches sends none of them: then the node's workloads are unknown, as they were to it. */
function openState(sealed: Uint8Array, batches: readonly Uint8Array[], at: OpenContext): Opened<NodeState> {
  const state = open(STATE, sealed, at);
  return state.ok && batches.length > 0 ? withBatches(state.verified, batches) : state;
}

/** A rotation that does not open, or a chain that does not lead to the beacon's key, is not the sidecar's own. */
function rotationsIn(message: NodeStateMessage, { record, key }: Verified<Beacon>, keys: KeyAdmission): { ok: true; rotations?: readonly Rotation[] } | Rejection {
  const seals = message.sealed_rotations ?? [];
  if (seals.length === 0) return { ok: true };
  const rotations: Rotation[] = [];
  for (let at = 0; at < seals.length; at += 2) {
    const opened = openRotation({ byOld: seals[at] ?? new Uint8Array(), byNew: seals[at + 1] ?? new Uint8Array() }, keys, record);
    if (!opened.ok) return reject(opened.reason, `key rotation: ${opened.detail}`);
    rotations.push(opened.rotation);
  }
  const isChain = rotations.every(({ newKey }, i) => newKey === (rotations[i + 1]?.oldKey ?? key.hex));
  return isChain ? { ok: true, rotations } : reject("readable-mismatch", "the key rotations do not lead to the key of the sealed beacon");
}

/** Readable values that nothing sealed stands behind. */
function unsealed(message: NodeStateMessage): Rejection | undefined {
  if (message.beacon !== null && message.beacon !== undefined) {
    return reject("readable-mismatch", "a readable beacon came without a sealed one");
  }
  return unsealedState(message);
}

function unsealedState(message: NodeStateMessage): Rejection | undefined {
  return (message.workloads ?? []).length > 0 || (message.workload_batches ?? []).length > 0 || (message.state_signature ?? "") !== "" || policyText(message.policy) !== ""
    ? reject("readable-mismatch", "workloads, a policy or a state signature came without a sealed state")
    : undefined;
}

function policyText(policy: NodeStateMessage["policy"]): string {
  return policy === null || policy === undefined ? "" : JSON.stringify([policy.policy_id ?? "", policy.tags ?? [], policy.enforcement_level ?? ""]);
}

function differingField(received: BeaconMessage | null | undefined, expected: BeaconMessage): string | undefined {
  return DERIVED.find((field) => comparable(received?.[field]) !== comparable(expected[field]));
}

/** As text: doubles travel exactly, 64-bit integers arrive as Long or number. */
function comparable(value: BeaconMessage[(typeof DERIVED)[number]]): string {
  if (value instanceof Uint8Array) return Buffer.from(value).toString("hex");
  return Array.isArray(value) ? JSON.stringify(value) : String(value ?? "");
}

/** The server's text goes to terminals: control and direction characters, which could rewrite them, are replaced. */
function printable(text: string): string {
  // oxlint-disable-next-line no-control-regex -- control characters are exactly what is replaced
  return text.slice(0, 512).replace(/[\u0000-\u001f\u007f-\u009f\u2028-\u202e\u2066-\u2069]/g, "\ufffd");
}
