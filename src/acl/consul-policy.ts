/**
 * The Consul ACL policies that IBRL needs, from their templates in nomad/acl/. Names come from outside and end up
 * between quotes in HCL, so that only what Consul and our records take for a name is put in.
 */
import { NAME_RULE } from "../beacon/record.js";

export const ACL_ROLES = ["sidecar", "placer", "reader", "operator", "network"] as const;
export type AclRole = (typeof ACL_ROLES)[number];

/** The templates that make up a role's policy, in nomad/acl/. */
export const ACL_TEMPLATES: Readonly<Record<AclRole, readonly string[]>> = {
  sidecar: ["consul-sidecar.hcl.tpl"],
  placer: ["consul-sidecar.hcl.tpl", "consul-placer.hcl.tpl"],
  reader: ["consul-reader.hcl.tpl"],
  operator: ["consul-reader.hcl.tpl", "consul-operator.hcl.tpl"],
  network: ["consul-network.hcl.tpl"],
};

/** HCL. Throws RangeError for a name that is none, or that is missing where the template asks for it. */
export function renderPolicy(template: string, names: Readonly<{ node?: string | undefined; datacenter?: string | undefined }>): string {
  return template.replace(/\{\{(node|datacenter)\}\}/g, (_, name: "node" | "datacenter") => {
    const value = names[name];
    if (value === undefined || !NAME_RULE.test(value)) {
      throw new RangeError(value === undefined ? `the policy takes the name of a ${name}` : `${JSON.stringify(value)} is no name of a ${name}: letters, digits, . _ - only`);
    }
    return value;
  });
}
