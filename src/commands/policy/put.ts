import { Args, Flags } from "@oclif/core";
import { KeyAdmission } from "../../beacon/keys.js";
import { openStoredPolicy, POLICY_NAME_RULE, policyHash } from "../../policy/stored-policy.js";
import { callerFlags, callerHeaders } from "../reading/caller-flags.js";
import { clientTlsFrom } from "../reading/client-tls-files.js";
import { hostPort, readingFlags, tlsFlags } from "../reading/flags.js";
import { PlainCommand } from "../reading/plain-command.js";
import { checkPolicy, PolicyFileError } from "../reading/policy-source.js";
import { UsageError } from "../reading/usage-error.js";
import { storedPolicyDocument, storedPolicyText } from "../views/stored-policies.js";

export default class PolicyPut extends PlainCommand {
  static override summary = "Put a policy into the cluster, under a name and under its hash.";
  static override description =
    "The policy is checked here and by the sidecar, which signs who put it there and when. It is for callers whom the sidecar knows " +
    "(docs/ports.md), and takes a sidecar that may write policies (docs/secured-consul.md). A name that is taken leads to the new bytes " +
    "afterwards; the old ones stay under their hash. At most 512 KiB.\n\nExit codes: 0; 1 error, or the file is wrong; 2 bad usage.";
  static override examples = ["<%= config.bin %> <%= command.id %> nomad/policies/low-latency.json", "<%= config.bin %> <%= command.id %> module.wasm --name short-queue --api-token-file api.token"];
  static override args = { file: Args.string({ name: "FILE", description: "The policy file, or module.", required: true }) };
  static override flags = {
    name: Flags.string({ summary: "Default: the policy's own name, or the module's file name.", helpValue: "NAME" }),
    "grpc-addr": readingFlags["grpc-addr"],
    ...tlsFlags,
    ...callerFlags,
  };

  async run(): Promise<object> {
    const { args, flags } = await this.parse(PolicyPut);
    const { evaluator, bytes } = await checkPolicy(args.file);
    const name = flags.name ?? evaluator.identity.name;
    if (!POLICY_NAME_RULE.test(name)) throw new UsageError(`${JSON.stringify(name)} is no name to store a policy under: choose one of letters, digits, . _ - with --name`);
    const { askToPut } = await import("../../sidecar/api/policy-client.js");
    const { value } = await askToPut(name, bytes, { address: hostPort(flags["grpc-addr"]), tls: clientTlsFrom(flags), headers: callerHeaders(flags, process.env) });
    const opened = openStoredPolicy(name, value, new KeyAdmission());
    if (!opened.ok || opened.signed.record.hash !== policyHash(bytes)) throw new PolicyFileError(args.file, [{ path: name, message: `the sidecar's answer fails verification: ${opened.ok ? "another hash" : opened.detail}` }]);
    this.log(storedPolicyText(opened.signed, undefined));
    return { schemaVersion: 1, ...storedPolicyDocument(opened.signed, undefined) };
  }
}
