/** What the commands that change trust share: Consul, its datacenter, and the arguments for nodes and keys. */
import { Flags } from "@oclif/core";
import { keyFault } from "../../beacon/keys.js";
import { NAME_RULE } from "../../beacon/record.js";
import type { ConsulApi } from "../../sidecar/consul-api.js";
import { PlainCommand } from "./plain-command.js";
import { openConsul } from "./source.js";
import { UsageError } from "./usage-error.js";

export const consulFlags = {
  datacenter: Flags.string({ summary: "Datacenter to write to. Default: the agent's own.", helpValue: "NAME" }),
};
export const stateDirFlag = Flags.string({
  summary: "State folder of the sidecar on this host, whose pins are edited too. Default: the one that a sidecar of this user would use, if it is there.",
  env: "IBRL_STATE_DIR",
  helpValue: "DIR",
});

export abstract class TrustCommand extends PlainCommand {
  /** Rejects with what `act` rejects with, ConsulError or ConsulSettingsError. */
  protected async withConsul<T>(given: string | undefined, act: (consul: ConsulApi, datacenter: string) => Promise<T>): Promise<T> {
    const { consul, datacenter } = await openConsul(process.env, given);
    try {
      return await act(consul, datacenter ?? (await consul.self()).datacenter);
    } finally {
      consul.close();
    }
  }
}

/** Throws UsageError. */
export function nodeName(text: string): string {
  if (!NAME_RULE.test(text)) throw new UsageError(`${JSON.stringify(text)} is no Consul node name`);
  return text;
}

/** Lower-case hex of a whole key that may be enrolled. Throws UsageError. */
export function wholeKey(text: string): string {
  if (!/^[0-9a-fA-F]{64}$/.test(text)) throw new UsageError(`${JSON.stringify(text.slice(0, 80))}: write the whole public key, 64 hex digits; the beacon ID is its first 16 only`);
  const fault = keyFault(Buffer.from(text, "hex"));
  if (fault !== null) throw new UsageError(`${text} is no key that can be enrolled: ${fault}`);
  return text.toLowerCase();
}
