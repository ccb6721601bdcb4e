/**
 * Every metric of the sidecar, made here and nowhere else, on one Registry per instance. Base units: seconds. A gauge
 * that is unknown has no sample, never 0; counters start at 0 with every label value, so that a rate exists from the
 * first scrape. docs/metrics.md lists them, and a test compares.
 */
import { collectDefaultMetrics, Counter, Gauge, Histogram, Registry } from "prom-client";
import { ATTESTATION_TYPES, type AttestationType } from "../beacon/attestation.js";
import { CONTRADICTIONS, type ContradictionKind } from "../beacon/evidence.js";
import type { LatencySource } from "../beacon/record.js";
import { type Carrier, TRUST_STATES, type TrustState } from "../beacon/registry.js";
import { REJECT_REASONS, type RejectReason } from "../beacon/rejection.js";
import { TRUST_MODES, type TrustMode } from "../beacon/trust-policy.js";
import { RULE_KINDS, type RuleKind } from "../policy/rules.js";
import type { WasmFault } from "../policy/wasm-host.js";
import type { ConsulErrorCode } from "./consul-api.js";
import { MOVE_CAUSES, type MoveCause, STUCK_STATES, type StuckState } from "./workload-moves.js";

/** Where the sidecar writes: the agent's TTL check, the service entry, the KV state, the KV pin, the user event. */
export const PLANES = ["check", "service", "kv", "pin", "event"] as const;
export type Plane = (typeof PLANES)[number];

// Records, so that the compiler says when a union grows.
const CARRIERS = keysOf<Carrier>({ meta: 0, kv: 0, event: 0, self: 0 });
const LATENCY_SOURCES = keysOf<LatencySource>({ measured: 0, estimated: 0 });
const CONSUL_ERRORS = keysOf<ConsulErrorCode>({
  unreachable: 0, timeout: 0, aborted: 0, permission: 0, "not-found": 0, "no-leader": 0, "rate-limited": 0, server: 0,
  "too-large": 0, rejected: 0, protocol: 0,
});

const WASM_FAULTS = keysOf<WasmFault>({ refused: 0, "no-start": 0, deadline: 0, trap: 0, "bad-answer": 0 });
const CLOCK_OWNERS = ["own", "fleet", "peer"] as const;
type ClockOwner = (typeof CLOCK_OWNERS)[number];
/** `failed`: there were no verdicts, and so no decision. */
const VERIFICATION_RESULTS = ["newest", "not-newest", "not-found"] as const;
const EVALUATION_RESULTS = ["match", "no-match", "failed"] as const;

/** As probe/reflector.ts counts them; a test compares. */
const REFLECTOR_DROPS = ["short", "long", "bad-hmac", "malformed", "unknown-peer", "replay", "rate"] as const;

/** 50 µs, a hop within a rack, to 1 s, where a probe is lost: 1-2-5 steps, halved where most links lie. */
const RTT_BUCKETS_S = [0.00005, 0.0001, 0.00015, 0.0002, 0.0003, 0.0005, 0.00075, 0.001, 0.0015, 0.002, 0.003, 0.005, 0.0075, 0.01, 0.015, 0.02, 0.03, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.5, 0.75, 1];

/** The kernel's counters of one network interface, octets since it was made. */
export interface InterfaceCounters {
  name: string;
  receiveBytes: number;
  transmitBytes: number;
}

export interface MetricsOptions {
  /** Adds Node's own metrics, whose observers live as long as the process. */
  defaults?: boolean;
  /** Asked at every scrape; undefined where the kernel does not say. */
  interfaces?: () => Promise<readonly InterfaceCounters[] | undefined>;
}

/** A gauge without labels whose sample exists only while its value is known. */
export class KnownGauge {
  constructor(private readonly gauge: Gauge) {
    gauge.remove(); // prom-client starts a gauge without labels at 0
  }

  /** Undefined, or what is no number: no sample. A boolean is 1 or 0. */
  set(value: number | boolean | undefined): void {
    const number = Number(value);
    if (value === undefined || Number.isNaN(number)) this.gauge.remove();
    else this.gauge.set(number);
  }
}

export type Metrics = ReturnType<typeof createMetrics>;

export function createMetrics({ defaults = true, interfaces }: MetricsOptions = {}) {
  const registry = new Registry();
  if (defaults) collectDefaultMetrics({ register: registry });
  const registers = [registry];
  const gauge = (name: string, help: string) => new KnownGauge(new Gauge({ name, help, registers }));
  const counter = (name: string, help: string) => new Counter({ name, help, registers });
  const labelled = <L extends string>(name: string, help: string, labelNames: readonly L[]) =>
    new Counter<L>({ name, help, labelNames, registers });
  const histogram = (name: string, help: string) => new Histogram({ name, help, buckets: RTT_BUCKETS_S, registers });
  /** Nothing of ours to count: each scrape shows what the kernel has. */
  const interfaceBytes = (name: string, help: string, bytesOf: (counters: InterfaceCounters) => number) =>
    new Counter({
      name, help, labelNames: ["interface"], registers,
      async collect() {
        const counters = (await interfaces?.()) ?? [];
        this.reset();
        for (const each of counters) this.inc({ interface: each.name }, bytesOf(each));
      },
    });

  const recordsAccepted = labelled("hypercore_ibrl_records_accepted_total", "Verified records that the registry took or already had, by carrier.", ["carrier"]);
  const recordsRejected = labelled("hypercore_ibrl_records_rejected_total", "Records that were not believed, by reason and carrier.", ["reason", "carrier"]);
  const recordsWaiting = labelled("hypercore_ibrl_records_waiting_total", "Records put off because their key was not judged yet, by carrier.", ["carrier"]);
  const keysJudged = labelled("hypercore_ibrl_keys_judged_total", "New keys that were checked for a torsion component, by verdict (sound, torsion).", ["verdict"]);
  const evidenceKept = labelled("hypercore_ibrl_evidence_kept_total", "Contradictions between signed records that were kept as evidence, by kind.", ["kind"]);
  const consulErrors = labelled("hypercore_ibrl_consul_request_errors_total", "Failed requests to the Consul agent, by code.", ["code"]);
  const planeWrites = labelled("hypercore_ibrl_plane_writes_total", "Writes that Consul took, by plane.", ["plane"]);
  const planeWriteFailures = labelled("hypercore_ibrl_plane_write_failures_total", "Writes that Consul did not take, by plane.", ["plane"]);
  const apiRequests = labelled("hypercore_ibrl_api_requests_total", "Answered requests, by api (http, grpc), call and status code of that api.", ["api", "call", "code"]);
  const nodes = new Gauge({ name: "hypercore_ibrl_nodes", help: "Nodes that this sidecar lists, by trust.", labelNames: ["trust"], registers });
  const clockFaults = new Gauge({ name: "hypercore_ibrl_clock_faults", help: "Clocks that are wrong as seen from here: own and fleet are 1 or 0, peer is a number of nodes.", labelNames: ["whose"], registers });
  const trustMode = new Gauge({ name: "hypercore_ibrl_trust_mode", help: "1 for the mode by which this sidecar believes keys, 0 for the others.", labelNames: ["mode"], registers });
  const latency = new Gauge({ name: "hypercore_ibrl_latency_seconds", help: "This node's headline round trip, by source; no sample while unmeasured.", labelNames: ["source"], registers });
  const reflectorDropped = labelled("hypercore_ibrl_reflector_dropped_total", "Probes of others that the reflector did not answer, by reason.", ["reason"]);
  interfaceBytes("hypercore_ibrl_interface_receive_bytes_total", "Bytes that each network interface received, by the kernel; without loopback.", ({ receiveBytes }) => receiveBytes);
  interfaceBytes("hypercore_ibrl_interface_transmit_bytes_total", "Bytes that each network interface sent, by the kernel; without loopback.", ({ transmitBytes }) => transmitBytes);

  const proofVerifications = labelled("hypercore_ibrl_proof_verifications_total", "Proofs that were asked about by PROOF_VERIFY, by result (newest, not-newest, not-found).", ["result"]);
  const proofVerificationTime = histogram("hypercore_ibrl_proof_verification_seconds", "Time that such a question took, from its arrival to the answer.");
  const carriedBytes = labelled("hypercore_ibrl_carried_bytes_total", "Bytes of IP packets to (in) and from (out) the allocations of this node, as the kernel counted them.", ["direction"]);
  const attestations = labelled("hypercore_ibrl_attestations_total", "Attestations that this node signed for who asked, by type.", ["type"]);
  const attestationTime = histogram("hypercore_ibrl_attestation_seconds", "Time that an attestation took, from the question to the signature.");
  for (const type of ATTESTATION_TYPES) attestations.inc({ type }, 0);
  const policyEvaluations = labelled("hypercore_ibrl_policy_evaluations_total", "Decisions by policy that this sidecar made, by result (match, no-match, failed: there was none).", ["result"]);
  const policyViolations = labelled("hypercore_ibrl_policy_violations_total", "Candidates of these decisions that broke a rule, by rule; each policy counts for itself.", ["rule"]);
  const wasmFaults = labelled("hypercore_ibrl_policy_wasm_faults_total", "Batches for which a policy module gave no verdicts, by fault.", ["fault"]);

  const moves = labelled("hypercore_ibrl_workload_moves_total", "Workloads that this sidecar moved to another node, by cause.", ["cause"]);
  const stuck = new Gauge({ name: "hypercore_ibrl_workloads_stuck", help: "Workloads that should move and do not, by state (moved-too-often: a person has to look; no-node); shown by the sidecar that moves.", labelNames: ["state"], registers });
  for (const cause of MOVE_CAUSES) moves.inc({ cause }, 0);
  for (const result of VERIFICATION_RESULTS) proofVerifications.inc({ result }, 0);
  for (const direction of ["in", "out"]) carriedBytes.inc({ direction }, 0);
  for (const result of EVALUATION_RESULTS) policyEvaluations.inc({ result }, 0);
  for (const rule of RULE_KINDS) policyViolations.inc({ rule }, 0);
  for (const fault of WASM_FAULTS) wasmFaults.inc({ fault }, 0);
  for (const carrier of CARRIERS) {
    recordsAccepted.inc({ carrier }, 0);
    recordsWaiting.inc({ carrier }, 0);
    for (const reason of REJECT_REASONS) recordsRejected.inc({ reason, carrier }, 0);
  }
  for (const kind of CONTRADICTIONS) evidenceKept.inc({ kind }, 0);
  for (const verdict of ["sound", "torsion"]) keysJudged.inc({ verdict }, 0);
  for (const code of CONSUL_ERRORS) consulErrors.inc({ code }, 0);
  for (const reason of REFLECTOR_DROPS) reflectorDropped.inc({ reason }, 0);
  for (const plane of PLANES) {
    planeWrites.inc({ plane }, 0);
    planeWriteFailures.inc({ plane }, 0);
  }

  return {
    registry,

    // The ancestor's names.
    beaconConnected: gauge("hypercore_ibrl_beacon_connected", "1 while the external beacon network answers."),
    serfQueueDepth: gauge("hypercore_serf_queue_depth", "Messages waiting in the local agent's Serf queues."),
    workloadCount: gauge("hypercore_workload_count", "Workloads on this node; no sample where there is no Nomad to ask."),
    broadcastSkipped: counter("hypercore_broadcast_skipped_total", "Publications left out because nothing significant had changed."),
    stateChanges: counter("hypercore_state_changes_total", "Changes of this node's own state that were worth publishing."),

    // Records and nodes.
    beaconConfigured: gauge("hypercore_ibrl_beacon_configured", "1 where an external beacon network is configured."),
    networkStatements: counter("hypercore_ibrl_beacon_statements_total", "Statements of this node that the beacon network took."),
    networkRefused: counter("hypercore_ibrl_beacon_listed_refused_total", "Nodes in listings of the beacon network that did not stand the checks here."),
    recordAccepted: (carrier: Carrier) => recordsAccepted.inc({ carrier }),
    recordRejected: (reason: RejectReason, carrier: Carrier) => recordsRejected.inc({ reason, carrier }),
    recordWaiting: (carrier: Carrier) => recordsWaiting.inc({ carrier }),
    evidenceKept: (kind: ContradictionKind) => evidenceKept.inc({ kind }),
    clockOffset: gauge("hypercore_ibrl_clock_offset_seconds", "How far the median of the clocks, this node's among them, is ahead of this node's; no sample with fewer than two peers."),
    clockFaults: (counts: Record<ClockOwner, number>) => {
      for (const whose of CLOCK_OWNERS) clockFaults.set({ whose }, counts[whose]);
    },
    duplicateProcess: gauge("hypercore_ibrl_duplicate_process", "1 once another process was heard that has this node's key."),
    publishingYielded: gauge("hypercore_ibrl_publishing_yielded", "1 while this sidecar publishes nothing because another process with its key goes on."),
    keyJudged: (verdict: "sound" | "torsion") => keysJudged.inc({ verdict }),
    keysWaiting: gauge("hypercore_ibrl_keys_waiting", "New keys that wait for their verdict."),
    /** Undefined before the first listing; afterwards a trust state that no node has is a known 0. */
    setNodes: (counts: Partial<Record<TrustState, number>> | undefined) => {
      nodes.reset();
      if (counts !== undefined) for (const trust of TRUST_STATES) nodes.set({ trust }, counts[trust] ?? 0);
    },
    setTrustMode: (mode: TrustMode) => {
      for (const each of TRUST_MODES) trustMode.set({ mode: each }, each === mode ? 1 : 0);
    },
    allowListSerial: gauge("hypercore_ibrl_allow_list_serial", "Serial of the operator's allow-list that counts here; no sample without one."),
    allowListExpiry: gauge("hypercore_ibrl_allow_list_expiry_timestamp_seconds", "Unix time at which that allow-list ends; no sample where it does not."),
    /** The sidecar's own headline latency; undefined while unmeasured. */
    setLatency: (headline: { us: number; source: LatencySource } | undefined) => {
      for (const source of LATENCY_SOURCES) {
        if (headline?.source === source) latency.set({ source }, headline.us / 1_000_000);
        else latency.remove({ source });
      }
    },
    epoch: gauge("hypercore_ibrl_epoch", "Epoch of this node's records: raised at each start."),
    sequence: gauge("hypercore_ibrl_sequence", "Sequence of the record sealed last, within the epoch."),
    rotationsFollowed: counter("hypercore_ibrl_rotations_followed_total", "Pins that moved along a key rotation of their node."),
    registrySweeps: counter("hypercore_ibrl_registry_sweeps_total", "Sweeps of the registry for records over their age."),
    registryExpired: counter("hypercore_ibrl_registry_expired_total", "Records that went over their validity without a newer one."),
    registryForgotten: counter("hypercore_ibrl_registry_forgotten_total", "Expired nodes dropped because Consul no longer knows them."),

    // Consul and the planes.
    consulUp: gauge("hypercore_ibrl_consul_up", "1 while the local Consul agent answers."),
    consulRequestError: (code: ConsulErrorCode) => consulErrors.inc({ code }),
    planeWrite: (plane: Plane) => planeWrites.inc({ plane }),
    planeWriteFailure: (plane: Plane) => planeWriteFailures.inc({ plane }),
    writeDeferred: counter("hypercore_ibrl_write_deferred_total", "Writes put off because the write budget was spent."),
    catalogStaleness: gauge("hypercore_ibrl_catalog_staleness_seconds", "How long before the last catalog read its server had heard from the leader."),
    kvPeriod: gauge("hypercore_ibrl_kv_period_seconds", "Effective period of the unchanged KV state."),
    servicePeriod: gauge("hypercore_ibrl_service_period_seconds", "Effective period of the unchanged service entry."),
    eventPeriod: gauge("hypercore_ibrl_event_period_seconds", "Effective period of user events; no sample while they are stopped."),
    eventStopped: gauge("hypercore_ibrl_event_stopped", "1 while user events are stopped because KV brings news sooner."),
    validity: gauge("hypercore_ibrl_validity_seconds", "Signed validity of this node's records."),
    writeBudget: gauge("hypercore_ibrl_write_budget_per_second", "This node's share of the cluster's Raft writes."),
    eventsReceived: counter("hypercore_ibrl_events_received_total", "User events of ours read from the local agent, each once."),
    eventGaps: counter("hypercore_ibrl_event_gaps_total", "Times that the agent's event ring ran over between two reads."),

    // Measuring.
    probeRtt: histogram("hypercore_ibrl_probe_rtt_seconds", "Round trips of this node's probes, without the time that the reflector held them."),
    coordinateError: histogram("hypercore_ibrl_coordinate_error_seconds", "How far the estimate by Consul's coordinates was from the measured round trip of a probed link."),
    probesSent: counter("hypercore_ibrl_probes_sent_total", "Probes sent whose outcome is known: answered in time or lost."),
    probesLost: counter("hypercore_ibrl_probes_lost_total", "Probes that were not answered in time."),
    probesDiscarded: counter("hypercore_ibrl_probes_discarded_total", "Answers whose round trip was not used because this process stalled when it should have read them."),
    probeDuplicates: counter("hypercore_ibrl_probe_duplicates_total", "Answers to a probe that was answered before."),
    probeReordered: counter("hypercore_ibrl_probe_reordered_total", "Answers that came after the answer to a later probe."),
    reflectorAnswered: counter("hypercore_ibrl_reflector_answered_total", "Probes of others that the reflector answered."),
    /** A reason that is not known here is shown from its first drop on. */
    reflectorDropped: (reason: string, count = 1) => reflectorDropped.inc({ reason }, count),
    proberRestarts: counter("hypercore_ibrl_prober_restarts_total", "Times that the prober's worker died and was started again."),
    jitter: gauge("hypercore_ibrl_jitter_seconds", "This node's headline jitter (RFC 3550): the median over its answering peers."),
    lossRatio: gauge("hypercore_ibrl_loss_ratio", "Lost over sent of all probes in the window, 0 to 1."),
    probePeers: gauge("hypercore_ibrl_probe_peers", "Peers that were probed in the window."),
    probePeersAnswering: gauge("hypercore_ibrl_probe_peers_answering", "Of these, peers that answered at least once."),
    reputation: gauge("hypercore_ibrl_reputation_ratio", "This node's reputation, 0 to 1, as computed here from what others signed; no sample while unknown."),
    reputationObservers: gauge("hypercore_ibrl_reputation_observers", "Nodes whose votes that reputation is."),
    priceScriptFailures: counter("hypercore_ibrl_price_script_failures_total", "Runs of the price script that gave no price."),

    // Policies.
    attested: (type: AttestationType, elapsedMs: number) => {
      attestations.inc({ type });
      attestationTime.observe(elapsedMs / 1_000);
    },
    policyEvaluation: (result: (typeof EVALUATION_RESULTS)[number]) => policyEvaluations.inc({ result }),
    policyViolation: (rule: RuleKind, count: number) => policyViolations.inc({ rule }, count),
    policyDecision: histogram("hypercore_ibrl_policy_decision_seconds", "Time that a decision took, from the nodes' records to the order; without reading and writing."),
    policyWasm: histogram("hypercore_ibrl_policy_wasm_seconds", "Time that a policy module took for one batch, the way to its worker and back included."),
    policyWasmFault: (fault: WasmFault) => wasmFaults.inc({ fault }),
    policyWasmKills: counter("hypercore_ibrl_policy_wasm_kills_total", "Policy modules that were ended at their deadline."),

    nodeMetadataWrites: counter("hypercore_ibrl_nomad_metadata_writes_total", "Writes of this node's values into its Nomad client's metadata; each is a Raft write of Nomad's servers."),
    nodeMetadataWriteFailures: counter("hypercore_ibrl_nomad_metadata_write_failures_total", "Such writes that Nomad did not take."),

    proofGenerated: histogram("hypercore_ibrl_proof_generation_seconds", "Time that an entry of a proof took to be made, signed, checked and put on the disk; its count is that of entries."),
    proofVerified: (result: (typeof VERIFICATION_RESULTS)[number], elapsedMs: number) => {
      proofVerifications.inc({ result });
      proofVerificationTime.observe(elapsedMs / 1_000);
    },
    trafficMetered: gauge("hypercore_ibrl_traffic_metered", "1 while the kernel counts the bytes of this node's allocations, 0 where it cannot; no sample where that is off."),
    carried: (direction: "in" | "out", bytes: number) => carriedBytes.inc({ direction }, bytes),

    mover: gauge("hypercore_ibrl_mover", "1 while this sidecar is the one that moves workloads; no sample where it does not place."),
    workloadMoved: (cause: MoveCause) => moves.inc({ cause }),
    /** Undefined: another sidecar knows. */
    setStuck: (counts: Readonly<Record<StuckState, number>> | undefined) => {
      stuck.reset();
      if (counts !== undefined) for (const state of STUCK_STATES) stuck.set({ state }, counts[state]);
    },

    apiRequest: (api: "http" | "grpc", call: string, code: number) => apiRequests.inc({ api, call, code: String(code) }),
  };
}

function keysOf<K extends string>(all: Record<K, 0>): K[] {
  return Object.keys(all) as K[];
}
