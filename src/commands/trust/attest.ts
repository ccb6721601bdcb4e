import { randomBytes } from "node:crypto";
import { Flags } from "@oclif/core";
import { type Asked, ATTESTATION_TYPES, checkAttestation, NONCE_BYTES } from "../../beacon/attestation.js";
import { DEFAULT_SKEW_MS } from "../../beacon/envelope.js";
import { KeyAdmission } from "../../beacon/keys.js";
import { clientTlsFrom } from "../reading/client-tls-files.js";
import { hostPort, readingFlags, tlsFlags } from "../reading/flags.js";
import { PlainCommand } from "../reading/plain-command.js";
import { UsageError } from "../reading/usage-error.js";
import { attestationDocument, type AttestationDocument, attestationText } from "../views/attestation.js";

/** The node goes on sealing: between its answer and its listing there may be a beat. */
const ATTEMPTS = 5;

class AttestationError extends Error {
  override readonly name = "AttestationError";
  constructor(
    readonly code: string,
    detail: string,
  ) {
    super(`the attestation does not verify: ${code}: ${detail}`);
  }
}

export default class TrustAttest extends PlainCommand {
  static override summary = "Ask a sidecar to sign now that it speaks for its node, what its state is, or that a workload is in it; and check that.";
  static override description =
    "The signature covers a nonce, so that no old answer passes. It is held against the signed state that the sidecar lists of its node; " +
    "`trust show` says how the node's key is known. docs/trust.md says what it proves.\n\nExit codes: 0; 1 error, also an attestation that does not verify; 2 bad usage.";
  static override examples = ["<%= config.bin %> <%= command.id %>", "<%= config.bin %> <%= command.id %> --type STATE_HASH --json", "<%= config.bin %> <%= command.id %> --workload ibrl-82f3e9c695dc6b8d1b11"];
  static override flags = {
    "grpc-addr": readingFlags["grpc-addr"],
    ...tlsFlags,
    type: Flags.option({ summary: "What to attest to. Default: NODE_IDENTITY, with --workload WORKLOAD.", options: ATTESTATION_TYPES })(),
    workload: Flags.string({ summary: "Nomad allocation or job on the node.", helpValue: "ID" }),
    nonce: Flags.string({ summary: `What the answer must repeat: ${String(2 * NONCE_BYTES.least)} to ${String(2 * NONCE_BYTES.most)} hex digits. Default: random.`, helpValue: "HEX" }),
  };

  async run(): Promise<AttestationDocument> {
    const { flags } = await this.parse(TrustAttest);
    const asked = askedBy(flags);
    const [{ askToAttest }, { listNodes }, { silenceGrpcLog }] = await Promise.all([
      import("../../sidecar/api/attest-client.js"),
      import("../../sidecar/api/client.js"),
      import("../../sidecar/api/grpc-log.js"),
    ]);
    silenceGrpcLog();
    const keys = new KeyAdmission();
    const options = { address: hostPort(flags["grpc-addr"]), tls: clientTlsFrom(flags), keys };
    for (let attempt = 1; ; attempt += 1) {
      const { nodeId, sealed } = await askToAttest(asked, options);
      const view = (await listNodes(options)).find(({ id }) => id === nodeId);
      if (view?.state === undefined) throw new AttestationError("unknown-node", `the sidecar lists no signed state of its node ${JSON.stringify(nodeId)}${view?.detail === undefined ? "" : `: ${view.detail}`}`);
      const checked = checkAttestation(sealed, asked, { keys, nowMs: Date.now(), skewMs: DEFAULT_SKEW_MS, datacenter: view.datacenter, node: view.name }, view.state);
      if (checked.ok) {
        const document = attestationDocument(checked.verified, view.trust);
        this.log(attestationText(document));
        return document;
      }
      if (checked.reason !== "superseded" || attempt === ATTEMPTS) throw new AttestationError(checked.reason, checked.detail);
    }
  }
}

/** Throws UsageError. */
function askedBy({ type, workload, nonce = randomBytes(32).toString("hex") }: { type?: Asked["type"] | undefined; workload?: string | undefined; nonce?: string | undefined }): Asked {
  const digits = nonce.length;
  if (!/^(?:[0-9a-f]{2})+$/i.test(nonce) || digits < 2 * NONCE_BYTES.least || digits > 2 * NONCE_BYTES.most) throw new UsageError(`--nonce takes ${String(2 * NONCE_BYTES.least)} to ${String(2 * NONCE_BYTES.most)} hex digits, an even number`);
  const chosen = type ?? (workload === undefined ? "NODE_IDENTITY" : "WORKLOAD");
  if ((chosen === "WORKLOAD") !== (workload !== undefined)) throw new UsageError("--workload ID goes with the type WORKLOAD, and with no other");
  return { type: chosen, nonce: nonce.toLowerCase(), ...(workload === undefined ? {} : { workload }) };
}
