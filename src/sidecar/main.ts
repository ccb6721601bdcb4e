/**
 * The composition root: the only file that knows every adapter. It makes the parts, starts the loops, and ends them in
 * order. Nothing here decides anything that a loop could decide.
 */
import { readFileSync } from "node:fs";
import { setMaxListeners } from "node:events";
import { hostname } from "node:os";
import type { Logger } from "pino";
import { CHUNK_PROBES } from "../beacon/link-statistics-exchange.js";
import { AllowListBook } from "../beacon/allow-list.js";
import type { Signed } from "../beacon/envelope.js";
import { KeyAdmission } from "../beacon/keys.js";
import { PinBook } from "../beacon/pins.js";
import type { Beacon } from "../beacon/record.js";
import { Registry } from "../beacon/registry.js";
import { TrustPolicy } from "../beacon/trust-policy.js";
import { AllowListWatch } from "./allow-list-watch.js";
import { Attestor } from "./attestor.js";
import { formatHostPort } from "./api/bind-address.js";
import type { ReadyStatus } from "./api/cluster-reader.js";
import { CallerGuard } from "./api/caller.js";
import { sendGrpcLogTo } from "./api/grpc-log.js";
import { type EventHandlers, beaconAttestEvent, policyQueryEvent, proofVerifyEvent } from "./api/grpc-events.js";
import { GrpcApi } from "./api/grpc-server.js";
import { HttpApi } from "./api/http-server.js";
import { connectNetwork } from "./api/network-client.js";
import { peerCall } from "./api/peer-call.js";
import { TlsFiles } from "./api/tls-files.js";
import { Backoff } from "./backoff.js";
import { BeaconEndpoint, parseBeaconEndpoint, reachability } from "./beacon-endpoint.js";
import { systemClock } from "./clock.js";
import { ClockTelemetry } from "./clock-telemetry.js";
import { ClockWatch } from "./clock-watch.js";
import { readClusterPolicy } from "./cluster-policy.js";
import { ClusterView } from "./cluster-view.js";
import type { CallOptions } from "./consul-api.js";
import { connectConsul } from "./consul/connect.js";
import { consulSettingsFrom } from "./consul/settings.js";
import { Decisions } from "./decisions.js";
import { EVENT_NAME } from "../beacon/documents.js";
import { Federation } from "./federation.js";
import { EventFeed } from "./event-feed.js";
import { EvidenceBook } from "./evidence-book.js";
import { HealthLog } from "./health-log.js";
import { Intake, type IntakeObserver } from "./intake.js";
import { KeyCheckThread } from "./key-check-thread.js";
import { KeyJudge } from "./key-judge.js";
import { createMetrics } from "./metrics.js";
import { readOperatorKeys } from "./operator-keys.js";
import { createNomadClient } from "./nomad/client.js";
import { createNomadJobs } from "./nomad/jobs-client.js";
import { createNomadMetadata } from "./nomad/metadata-client.js";
import { nomadSettingsFrom } from "./nomad/settings.js";
import { createNomadTokenCheck } from "./nomad/token-check.js";
import { NodeMetadata } from "./node-metadata.js";
import { createPlacement } from "./placement/create.js";
import { PLACER_CAPABILITY } from "./placement/workload-calls.js";
import { PolicyDesk } from "./policy-desk.js";
import { PolicyQueries } from "./policy-queries.js";
import { PolicyTelemetry } from "./policy-telemetry.js";
import { Publisher } from "./publisher.js";
import { capabilityProblem } from "./readings/capabilities.js";
import { defaultHostPaths } from "./readings/host.js";
import { InterfaceRates, readInterfaces } from "./readings/interfaces.js";
import { readLocalNomad } from "./readings/local-nomad.js";
import { priceSourceFrom } from "./readings/price-source.js";
import { ThisNode } from "./readings/this-node.js";
import { type KeyFile, readKeyFile } from "./probe/key-file.js";
import { choosePeers } from "./probe/choose-peers.js";
import { loadOrCreateProbeKeys } from "./state/probe-key.js";
import { DEFAULT_PROBE_PORT, DEFAULT_PROBE_SETTINGS } from "./probe/probe-settings.js";
import { StampRunner } from "./probe/stamp-runner.js";
import { ProbeTelemetry } from "./probe-telemetry.js";
import { KeyRotator } from "./key-rotator.js";
import { OwnPin } from "./own-pin.js";
import { OwnVoice } from "./own-voice.js";
import { createOwnWork } from "./own-work-main.js";
import { Probing } from "./probing.js";
import { ReputationBook } from "./reputation-book.js";
import { RotationReader } from "./rotation-reader.js";
import { type OwnLinks, Sealer } from "./sealer.js";
import { SettingsError, type SidecarSettings } from "./settings.js";
import { serviceNodes } from "./service-nodes.js";
import { loadOrCreateApiToken } from "./state/api-token.js";
import { makeStateFolder } from "./state/atomic-file.js";
import { readDecisionList, writeDecisionList } from "./state/decision-list.js";
import { EpochCounter } from "./state/epoch.js";
import { readEvidence, writeEvidence } from "./state/evidence-file.js";
import { loadOrCreateIdentity, NodeIdentity } from "./state/identity.js";
import { readAllowListFile, writeAllowListFile } from "./state/allow-list-file.js";
import { PinFile } from "./state/pin-file.js";
import { ProofChecks } from "./proof-checks.js";
import { StateReader, type StateVerdict } from "./state-reader.js";
import { storedIn } from "./stored-records.js";
import { Telemetry } from "./telemetry.js";
import { TrustTelemetry } from "./trust-telemetry.js";
import { Watcher } from "./watcher.js";
import { WorkOutcomes } from "./work-outcomes.js";

/** Each loop's call under way listens to the one signal: more than the 10 at which Node warns of a leak, and not many more. */
const MAX_ABORT_LISTENERS = 64;
/** Of the 10 s that a stop may take: leaving Consul, and answering what is under way. */
const LEAVE_MS = 4_000;
const DRAIN_MS = 2_000;

/**
 * Runs the sidecar until the signal aborts, then leaves the cluster and resolves. Rejects before anything was
 * published with SettingsError, ConsulSettingsError, NomadSettingsError, StateError or BindError.
 */
export async function runSidecar(settings: SidecarSettings, logger: Logger, signal: AbortSignal): Promise<void> {
  setMaxListeners(MAX_ABORT_LISTENERS, signal);
  sendGrpcLogTo(logger);
  const clock = systemClock;
  const random = Math.random;
  const backoff = () => new Backoff(random);
  const health = (dependency: string) => new HealthLog({ dependency, logger, clock });

  const endpoint = parseBeaconEndpoint(settings.beaconEndpoint);
  const metrics = createMetrics({ interfaces: async () => (await readInterfaces()).value });
  const policyTelemetry = new PolicyTelemetry({ metrics, logger });
  const clusterPolicy = readClusterPolicy(settings.clusterPolicy, policyTelemetry.wasm);
  if (clusterPolicy !== undefined) logger.info(clusterPolicy.context, "cluster policy applies");
  const operators = readOperatorKeys(settings.operatorKeys);
  const sharedKey = sharedProbeKey(settings.probeKeyFile);
  const price = priceSourceFrom(settings, {
    clock, logger,
    health: health("price script"),
    onScriptFailure: () => metrics.priceScriptFailures.inc(),
    env: process.env,
  });
  for (const name of settings.capabilities) {
    const problem = capabilityProblem(name);
    if (problem !== undefined) throw new SettingsError("--capability", problem);
  }
  const consulSettings = consulSettingsFrom(settings.consulEnv);
  const nomad = await createNomadClient(nomadSettingsFrom(settings.nomadEnv));
  const consul = connectConsul(consulSettings, {
    onSkipped: (operation, count) => logger.warn({ operation, count }, "entries of a Consul answer were not understood"),
  });

  const tls = settings.tls === undefined ? undefined : new TlsFiles(settings.tls, logger);

  makeStateFolder(settings.stateDir);
  const identity = new NodeIdentity(loadOrCreateIdentity(settings.stateDir));
  const epoch = new EpochCounter(settings.stateDir);
  const pinFile = new PinFile(settings.stateDir);
  const pins = new PinBook(pinFile.read(), (all) => {
    try {
      pinFile.write(all);
    } catch (error) {
      logger.error({ err: error }, "pins cannot be kept on disk: after a restart they are trusted on first use again");
    }
  });

  const keys = new KeyAdmission();
  const rotator = new KeyRotator({ stateDir: settings.stateDir, identity, epoch, keys, pins, clock, logger });
  const lists = new AllowListBook(operators, keys);
  const policy = new TrustPolicy(settings.trustMode, pins, lists, () => clock.nowMs());
  const ownKey = () => Buffer.from(identity.publicKey).toString("hex");
  const reputations = new ReputationBook({
    clock,
    ownKey,
    onOwn: (own) => {
      metrics.reputation.set(own?.score);
      metrics.reputationObservers.set(own?.observers);
    },
  });
  const evidence: EvidenceBook = new EvidenceBook({
    kept: readEvidence(settings.stateDir), clock,
    write: (all) => writeEvidence(settings.stateDir, all),
    observer: { kept: (...found) => telemetry.evidence.kept(...found), notKept: (...found) => telemetry.evidence.notKept(...found) },
  });
  const registry = new Registry(policy, (key) => reputations.scoreOf(key), (found) => evidence.keep(found));
  const trustTelemetry = new TrustTelemetry({ metrics, logger, clock, policy });
  const telemetry = new Telemetry({ metrics, logger, clock, registry, federated: () => federation?.size ?? 0 });
  const clocks = new ClockWatch(clock, ownKey);
  const clockTelemetry = new ClockTelemetry({ metrics, logger, clocks });
  const voice = new OwnVoice({ consul, random, ownKey, epoch, keep: (found) => evidence.keep(found), observer: telemetry.voice }, clock.nowMs());
  const judge = new KeyJudge({
    keys, clock,
    checker: new KeyCheckThread(),
    observer: telemetry.keys,
    onJudged: (key) => intake.onJudged(key),
  });
  const states = new StateReader(consul, keys, clock, (node, rejection) => telemetry.rejected("kv", node, rejection), judge, (earlier, later) => registry.accuse(earlier, later));
  const probeKeys = loadOrCreateProbeKeys(settings.stateDir);
  const probeTelemetry = new ProbeTelemetry({ metrics, logger, clock });
  const intake = new Intake(registry, keys, clock, { ...telemetry.intake, ...listening(voice, clocks, policy) }, judge, () => policy.version);
  const { probeBind } = settings;
  const witness = new WorkOutcomes((node) => registry.byNode(node)?.verified.key.hex, ownKey, clock);
  const ownPin = new OwnPin({
    consul,
    publicKey: () => identity.publicKey,
    rotations: () => rotator.rotations,
    onConflict: (key, pinned) => telemetry.ownPinConflict(key, pinned),
  });
  const publisher = new Publisher({
    consul, clock, random, backoff, epoch, voice, keys, registry, pins,
    pin: ownPin,
    isOwnKey: (key) => rotator.isOwn(key),
    sealer: new Sealer(identity, epoch, keys, clock, settings.beaconReputation, (allocation) => proofs.proofOf(allocation)),
    reader: new ThisNode({
      consul, nomad, clock, logger,
      price,
      hostname: hostname(),
      hostPaths: defaultHostPaths(process.env["XDG_RUNTIME_DIR"]),
      extraCapabilities: settings.placement.placer ? [...settings.capabilities, PLACER_CAPABILITY] : settings.capabilities,
      headline: () => probing.headline(),
      interfaces: new InterfaceRates(clock),
    }),
    links: async () => {
      if (probeBind !== null) await probing.bind();
      const workOutcomes = witness.list();
      return { ...ownLinks(probing), ...(clusterPolicy === undefined ? {} : { policy: clusterPolicy.context }), ...(workOutcomes.length === 0 ? {} : { workOutcomes }) };
    },
    limits: settings,
    grpcPort: (address) => grpc.portAt(address),
    observer: telemetry.publish,
    standalone: { node: settings.nodeName, address: settings.advertiseAddr ?? "127.0.0.1" },
    ...(settings.advertiseAddr === undefined ? {} : { advertiseAddr: settings.advertiseAddr }),
  });
  let peerStates: ReadonlyMap<string, StateVerdict> = new Map();
  const reflector = { ...DEFAULT_PROBE_SETTINGS.reflector, ...answersFor(settings) };
  const runner = new StampRunner(probeKeys, { ...DEFAULT_PROBE_SETTINGS, intervalMs: settings.probeIntervalMs, windowMs: settings.probeWindowMs, reflector }, {
    onSamples: (samples) => probeTelemetry.sampled(samples.map(({ sample }) => sample)),
    onReport: ({ reflector }) => probeTelemetry.reported(runner.outcome()?.peers ?? [], reflector),
    onCrash: (error, respawnMs) => probeTelemetry.crashed(error, respawnMs),
    onBadKey: (peer, reason) => probeTelemetry.badKey(peer, reason),
  }, sharedKey);
  const probing = new Probing({
    runner,
    publicKey: Buffer.from(probeKeys.publicKey).toString("hex"),
    ownKey,
    registry, clock,
    observer: probeTelemetry.probing,
    states: async () => (peerStates = await states.read(datacenter() ?? "", { consistency: "stale" })),
    ownCoordinate: () => publisher.sealed?.state.record.coordinate,
    chunks: () => publishedChunks(publisher.cadence.heartbeatMs, settings.probeIntervalMs),
    published: () => publisher.publishedState?.probe,
    bind: () => {
      const host = publisher.memberAddress;
      if (host === undefined || probeBind === null) return undefined; // nobody to probe before there is a cluster
      return probeBind ?? { host, port: DEFAULT_PROBE_PORT };
    },
    choose: (choice) => choosePeers({ ...choice, count: settings.probePeers, seed: datacenter() ?? "" }),
    ...(settings.advertiseAddr === undefined ? {} : { advertiseAddr: settings.advertiseAddr }),
  });
  const datacenter = () => joinedAs(publisher)?.datacenter;
  const watcher = new Watcher({
    consul, clock, registry, pins, intake, datacenter,
    rotations: new RotationReader(keys),
    backoff: backoff(),
    observer: telemetry.watch,
    minReadMs: () => publisher.cadence.catalogReadMs,
    heartbeatMs: () => publisher.cadence.heartbeatMs,
  });
  const allowList = new AllowListWatch({
    consul, clock, lists, datacenter,
    backoff: backoff(),
    disk: { read: () => readAllowListFile(settings.stateDir), write: (document) => writeAllowListFile(settings.stateDir, document) },
    file: () => (settings.allowListFile === "" ? null : readFileSync(settings.allowListFile)),
    observer: trustTelemetry,
    minReadMs: () => publisher.cadence.catalogReadMs,
  });
  const feed = new EventFeed(
    {
      consul, clock,
      backoff: backoff(),
      onEvent: (event) => {
        metrics.eventsReceived.inc();
        telemetry.watched("events", undefined);
        watcher.onEvent(event);
      },
      onGap: () => {
        metrics.eventGaps.inc();
        watcher.resync(signal).catch((error: unknown) => telemetry.watched("catalog", error));
      },
      onError: (error) => telemetry.watched("events", error),
    },
    EVENT_NAME,
  );
  const view = new ClusterView({
    consul, registry, intake, clock, pins,
    states,
    self: () => publisher.self,
    ownState: () => (publisher.sealed === undefined || voice.yielded ? undefined : { ok: true, verified: publisher.sealed.state }),
    sidecars: () => watcher.sidecars,
    minReadMs: () => publisher.cadence.catalogReadMs,
    onRead: (error) => telemetry.watched("list", error),
    federated: (local) => federation?.views(local) ?? [],
    score: (views) => reputations.score(views),
  });

  metrics.beaconConfigured.set(endpoint !== undefined);
  metrics.beaconConnected.set(false);
  const readiness = { status: (): ReadyStatus => ({ ...readyStatus(publisher, watcher, telemetry), ...(beaconNetwork === undefined ? {} : { beaconNetwork: beaconNetwork.state }) }) };
  const nomadToken = await createNomadTokenCheck(nomadSettingsFrom(settings.nomadEnv));
  const guard = new CallerGuard({ apiToken: loadOrCreateApiToken(settings.stateDir), nomadToken, allowed: settings.tlsAllow, logger });
  const jobs = await createNomadJobs(nomadSettingsFrom(settings.nomadEnv));
  const decisions = new Decisions({
    consul, identity, keys, clock,
    observer: policyTelemetry.decisions,
    decider: () => joinedAs(publisher),
    kept: { read: () => readDecisionList(settings.stateDir), write: (ids) => writeDecisionList(settings.stateDir, ids) },
    onStale: (error) => logger.warn({ err: error }, "an old decision of this node stays in KV"),
  });
  const { workloads, mover } = createPlacement({
    settings: settings.placement, nomad: jobs, consul, keys, view, decisions, clock, random, logger, witness,
    self: () => joinedAs(publisher),
    observer: { moving: (isMover) => metrics.mover.set(isMover), moved: metrics.workloadMoved, stuck: metrics.setStuck },
    wasm: { observer: policyTelemetry.wasm },
    clusterPolicy: () => clusterPolicy?.evaluator,
    answers: tls === undefined ? undefined : peerCall({ tls: () => tls.client, keys, clock }),
  });
  const nomadNode = async (node: string, until: AbortSignal) => (await readLocalNomad(nomad, { consulNode: node, hostname: hostname() }, { signal: until })).node.value?.id;
  const nodeMetadata = settings.nomadMetadata
    ? new NodeMetadata({
        clock, random, nomadNode,
        set: await createNomadMetadata(nomadSettingsFrom(settings.nomadEnv)),
        own: () => (voice.yielded || joinedAs(publisher) === undefined ? undefined : publisher.sealed?.beacon.record),
        cadence: () => publisher.cadence,
        backoff: backoff(),
        observer: telemetry.nodeMetadata,
      })
    : undefined;
  const { proofs, traffic } = await createOwnWork({
    settings, consul, identity, keys, clock, logger, health, metrics, publisher, nomadNode,
    signing: () => {
      const place = joinedAs(publisher);
      return place === undefined || voice.yielded ? undefined : { ...place, identity, epoch: epoch.epoch };
    },
    isOwnKey: (key) => rotator.isOwn(key),
    // Those whose state is by the key that is believed.
    peers: () => [...peerStates.values()].flatMap((state) => ("verified" in state && registry.byNode(state.verified.record.node)?.verified.key.hex === state.verified.key.hex ? [state.verified] : [])),
    linked: () => new Set(probing.halves().map(({ peerKey }) => peerKey)),
  });
  const desk = new PolicyDesk({ consul, decisions, identity, clock, nodes: () => view.list(), clusterPolicy: () => clusterPolicy?.evaluator, wasm: policyTelemetry.wasm });
  const policies = { desk, stored: storedIn(consul), clusterPolicy: () => clusterPolicy?.document, services: (names: readonly string[], options: CallOptions) => serviceNodes(consul, names, options) };
  const attestor = new Attestor({ identity, clock, sealed: () => (publisher.self?.joined !== true || voice.yielded ? undefined : publisher.sealed), onSigned: metrics.attested });
  const federation = endpoint === undefined || !endpoint.protocol.startsWith("grpc") ? undefined : new Federation({
    attestor, keys, clock,
    connect: (until) => connectNetwork(endpoint, settings.beaconTls, until),
    sealed: () => (publisher.self?.joined !== true || voice.yielded ? undefined : publisher.sealed),
    beatMs: settings.beatMs,
    networkKeys: settings.beaconNetworkKeys,
    observer: {
      stated: () => metrics.networkStatements.inc(),
      listed: (_, refused) => metrics.networkRefused.inc(refused),
      networkKey: (key) => logger.info({ key }, "the beacon network signs with this key"),
    },
  });
  const beaconNetwork = endpoint === undefined ? undefined : new BeaconEndpoint({
    clock, backoff: backoff(), health: health("beacon endpoint"),
    session: federation === undefined ? reachability(endpoint, clock) : (until, connected) => federation.session(until, connected),
    onState: (connected) => metrics.beaconConnected.set(connected),
  });
  const events: EventHandlers = new Map([beaconAttestEvent(attestor), policyQueryEvent(new PolicyQueries({ own: () => clusterPolicy?.context, nodes: () => view.list(), stored: policies.stored, keys })), proofVerifyEvent(new ProofChecks(() => view.list(), clock, metrics.proofVerified))]);
  const grpc = new GrpcApi({
    bind: settings.grpcBind, insecureBind: settings.insecureBind, guard, reader: view, workloads, policies, events, logger,
    tls: settings.tls?.grpc === true ? tls : undefined,
    onAnswer: (path, code) => metrics.apiRequest("grpc", path, code),
  });
  const http = new HttpApi({
    bind: settings.httpBind, insecureBind: settings.insecureBind, guard, tls: settings.tls?.http === true ? tls : undefined, reader: view, workloads, readiness, registry: metrics.registry, logger,
    onAnswer: (route, status) => metrics.apiRequest("http", route, status),
  });

  try {
    const addresses = { grpc: formatHostPort(await grpc.start()), http: formatHostPort(await http.start()) };
    logger.info({ ...addresses, beaconId: identity.beaconId, publicKey: Buffer.from(identity.publicKey).toString("hex"), newKey: identity.created, epoch: epoch.epoch, consul: consul.address, stateDir: settings.stateDir }, "sidecar ready");
    await publisher.beat(signal);
    if (publisher.self?.joined !== true) {
      logger.warn({ node: settings.nodeName, consul: consul.address }, "no Consul agent answers: serving this node alone, and joining when one does");
    }
    grpc.setServing(true);
    const sweeping = every(1_000, signal, () => {
      metrics.registrySweeps.inc();
      takeEditedPins(pinFile, pins, trustTelemetry);
      clockTelemetry.judge();
      watcher.sweep();
    });
    await Promise.all([
      publisher.run(signal),
      rotator.run(settings.beatMs, { place: () => (voice.yielded ? undefined : joinedAs(publisher)), pin: ownPin, rekey: (change) => publisher.rekey(change) }, signal),
      watcher.run(signal),
      judge.run(signal),
      runWhenJoined(() => datacenter() !== undefined, () => feed.run(signal), signal),
      sweeping,
      lists.hasOperator ? allowList.run(signal) : undefined,
      reputations.run(() => view.list(), () => publisher.cadence.heartbeatMs, signal),
      price.run(signal),
      proofs.run(signal),
      traffic?.run(signal),
      nodeMetadata?.run(settings.beatMs, signal),
      mover?.run(signal),
      tls?.run(clock, signal),
      probeBind === null ? undefined : probing.run(signal),
      beaconNetwork?.run(signal),
    ]);
  } finally {
    await Promise.all([leave(publisher, logger), voice.yielded ? undefined : nodeMetadata?.remove()]);
    await Promise.all([grpc.close(DRAIN_MS), http.close(DRAIN_MS)]);
    consul.close();
    await clusterPolicy?.evaluator.close?.();
  }
}

/** Every well signed beacon is heard, also one that is refused for its time. */
function listening(voice: OwnVoice, clocks: ClockWatch, policy: TrustPolicy): Pick<IntakeObserver, "opened" | "untimely"> {
  const untimely = (told: Signed<Beacon>): void => {
    const { node, datacenter } = told.record;
    clocks.hear(told, policy.judge(node, datacenter, told.key.hex).kind === "pinned");
  };
  return {
    untimely,
    opened: (verified) => {
      voice.hear(verified);
      untimely(verified);
    },
  };
}

function takeEditedPins(file: PinFile, pins: PinBook, telemetry: TrustTelemetry): void {
  try {
    const edited = file.edited();
    if (edited === undefined) return;
    pins.replace(edited);
    telemetry.pinsEdited(edited.length);
  } catch (error) {
    telemetry.pinsUnreadable(error);
  }
}

/** A peer probes us as often as we probe it: twice that is room for its jitter and for a restart. */
function answersFor({ probeIntervalMs, probeOpenRate }: SidecarSettings) {
  const answersPerSecond = Math.max(DEFAULT_PROBE_SETTINGS.reflector.answersPerSecond, 2_000 / probeIntervalMs);
  return { answersPerSecond, burst: 2 * answersPerSecond, openAnswersPerSecond: probeOpenRate };
}

/** Undefined where none is set. Throws SettingsError. */
function sharedProbeKey(path: string): Uint8Array | undefined {
  if (path === "") return undefined;
  let file: KeyFile;
  try {
    file = readKeyFile(path);
  } catch (error) {
    throw new SettingsError("--probe-key-file", `${path} ${error instanceof Error ? error.message : String(error)}`);
  }
  if (file.exposed) throw new SettingsError("--probe-key-file", `${path} can be read by other users of the host: chmod 600 ${path}`);
  return file.key;
}

/** Two ends write up to a heartbeat (and its tenth) apart; what both records cover then is still a minute of probes. */
function publishedChunks(heartbeatMs: number, intervalMs: number): number {
  return Math.ceil((heartbeatMs * 1.1 + 80_000) / (CHUNK_PROBES * intervalMs));
}

function ownLinks(probing: Probing): OwnLinks {
  const { contact } = probing;
  const links = probing.halves();
  return { ...(contact === undefined ? {} : { probe: contact }), ...(links.length === 0 ? {} : { links }) };
}

function joinedAs({ self }: Publisher): { node: string; datacenter: string } | undefined {
  return self?.joined === true ? self.node : undefined;
}

function readyStatus(publisher: Publisher, watcher: Watcher, telemetry: Telemetry): ReadyStatus {
  const joined = publisher.self?.joined === true;
  const standalone = publisher.self !== undefined && !joined;
  const consul = telemetry.consulState === "up" ? "connected" : telemetry.consulState === "unknown" ? "connecting" : "unreachable";
  return { ready: standalone ? publisher.sealed !== undefined : watcher.filled, consul, standalone };
}

/** Events have nothing to say before the agent answered once; asking would only log its absence twice. */
async function runWhenJoined(joined: () => boolean, run: () => Promise<void>, signal: AbortSignal): Promise<void> {
  while (!joined() && !signal.aborted) await systemClock.sleep(200, signal);
  if (!signal.aborted) await run();
}

async function every(ms: number, signal: AbortSignal, act: () => void): Promise<void> {
  while (!signal.aborted) {
    act();
    await systemClock.sleep(ms, signal);
  }
}

async function leave(publisher: Publisher, logger: Logger): Promise<void> {
  if (publisher.self?.joined !== true) return;
  try {
    await publisher.leave(AbortSignal.timeout(LEAVE_MS));
    logger.info({}, "left the cluster");
  } catch (error) {
    logger.warn({ err: error }, "could not leave cleanly: Consul marks the sidecar critical when its TTL ends");
  }
}
