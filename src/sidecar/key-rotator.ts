/**
 * Takes up a key that `hypercore identity rotate` prepared, while the sidecar runs or at its next start: signs the
 * rotation once, puts it in KV, and only then changes to the new key. Each step is on the disk before the next one
 * begins (state/rotation-files.ts), so a crash at any of them is gone on from there.
 */
import type { Logger } from "pino";
import type { KeyAdmission } from "../beacon/keys.js";
import type { PinBook } from "../beacon/pins.js";
import { openRotation, type Rotation, sealRotation } from "../beacon/rotation.js";
import type { Clock } from "./clock.js";
import type { OwnPin, Place } from "./own-pin.js";
import type { EpochCounter } from "./state/epoch.js";
import type { Identity, NodeIdentity } from "./state/identity.js";
import { adoptNextKey, readNextKey, readOwnRotations, writeOwnRotations } from "./state/rotation-files.js";

export class KeyRotator {
  #rotations: Rotation[];
  #problem = "";

  /** Reads the node's own chain, along which its own pin moves. Throws StateError. */
  constructor(
    private readonly deps: {
      stateDir: string;
      identity: NodeIdentity;
      epoch: EpochCounter;
      keys: KeyAdmission;
      pins: PinBook;
      clock: Clock;
      logger: Logger;
    },
  ) {
    this.#rotations = readOwnRotations(deps.stateDir, deps.keys);
    deps.pins.follow(this.#rotations);
  }

  /** Of this node, oldest first. */
  get rotations(): readonly Rotation[] {
    return this.#rotations;
  }

  /** Every key that this node had and rotated away, and the present one: hex. */
  isOwn(publicKeyHex: string): boolean {
    return publicKeyHex === hex(this.deps.identity) || this.#rotations.some(({ oldKey }) => oldKey === publicKeyHex);
  }

  /** Looks for a prepared key every `everyMs` until the signal aborts. Never rejects. */
  async run(
    everyMs: number,
    parts: { place: () => Place | undefined; pin: OwnPin; rekey: (change: () => void) => Promise<void> },
    signal: AbortSignal,
  ): Promise<void> {
    while (!signal.aborted) {
      const place = parts.place();
      try {
        if (place !== undefined) await this.#step(place, parts, signal);
        this.#problem = "";
      } catch (error) {
        const reason = error instanceof Error ? error.message : String(error);
        if (!signal.aborted && reason !== this.#problem) this.deps.logger.error({ reason }, "the key is not rotated: the node goes on with the old one, and tries again");
        this.#problem = reason;
      }
      await this.deps.clock.sleep(everyMs, signal);
    }
  }

  async #step(place: Place, { pin, rekey }: { pin: OwnPin; rekey: (change: () => void) => Promise<void> }, signal: AbortSignal): Promise<void> {
    const { stateDir, identity, epoch, pins, logger } = this.deps;
    const next = readNextKey(stateDir);
    if (next === null) return;
    const rotation = this.#signedFor(next) ?? this.#sign(next, place);
    await pin.announce(rotation, signal);
    const from = identity.beaconId;
    await rekey(() => {
      epoch.raiseAbove(Math.max(epoch.epoch, rotation.epoch - 1));
      adoptNextKey(stateDir);
      identity.replace(next);
      pins.follow([rotation]);
    });
    logger.info({ from, to: next.beaconId, epoch: epoch.epoch, node: place.node }, "the node's key was rotated");
  }

  /** What was signed before a crash is used, never signed again: two rotations of one key are a fork. */
  #signedFor(next: Identity): Rotation | undefined {
    const signed = this.#rotations.find(({ oldKey }) => oldKey === hex(this.deps.identity));
    if (signed !== undefined && signed.newKey !== hex(next)) {
      throw new Error(`a rotation to key ${signed.newKey} was signed already, and the prepared key is another: put that key back as identity.next.pem`);
    }
    return signed;
  }

  #sign(next: Identity, { node, datacenter }: Place): Rotation {
    const { stateDir, identity, epoch, keys, clock } = this.deps;
    const sealed = sealRotation({ node, datacenter, epoch: epoch.epoch + 1, issuedAtMs: clock.nowMs() }, identity, next);
    const opened = openRotation(sealed, keys, { node, datacenter });
    if (!opened.ok) throw new Error(`a rotation that this node sealed does not open: ${opened.reason}: ${opened.detail}`);
    const rotations = [...this.#rotations, opened.rotation];
    writeOwnRotations(stateDir, rotations);
    this.#rotations = rotations;
    return opened.rotation;
  }
}

function hex({ publicKey }: { publicKey: Uint8Array }): string {
  return Buffer.from(publicKey).toString("hex");
}
