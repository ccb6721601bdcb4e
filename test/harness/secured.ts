/** What tests on a secured cluster change and see: a node's policy rule by rule, its token, and what its sidecar says it is refused. */
import { readFileSync } from "node:fs";
import { rename, writeFile } from "node:fs/promises";
import type { LocalCluster, LocalNode } from "../../src/dev/local-cluster.js";
import { policyOf } from "./cluster.js";
import { sidecarOf } from "./observe.js";

/** The shipped policy of the node's sidecar, a rule each. */
export function rulesOf(node: string): string[] {
  return policyOf("sidecar", node).split("\n").filter((line) => /^\w+ "/.test(line));
}

async function manage<T>(cluster: LocalCluster, method: "PUT" | "GET" | "DELETE", path: string, body?: object): Promise<T> {
  const response = await serverOf(cluster).consul.request(path, { method, ...(body && { body: JSON.stringify(body) }) });
  if (!response.ok) throw new Error(`${path}: ${String(response.status)} ${await response.text()}`);
  return (await response.json()) as T;
}

function serverOf(cluster: LocalCluster): LocalNode {
  return cluster.nodes[0] as LocalNode;
}

const policyName = (cluster: LocalCluster, node: LocalNode): string => cluster.security?.policyName(node.name) ?? "";

/** Consul's agents hold a policy for as long as acl.policy_ttl. */
export async function setRules(cluster: LocalCluster, node: LocalNode, rules: readonly string[]): Promise<void> {
  const Name = policyName(cluster, node);
  const { ID } = await manage<{ ID: string }>(cluster, "GET", `/v1/acl/policy/name/${Name}`);
  await manage(cluster, "PUT", `/v1/acl/policy/${ID}`, { Name, Rules: rules.join("\n") });
}

interface MadeToken {
  AccessorID: string;
  SecretID: string;
}

/** Another token with the node's policy. `ttl` as Consul has it: a minute at least. */
export function makeToken(cluster: LocalCluster, node: LocalNode, ttl?: string): Promise<MadeToken> {
  return manage<MadeToken>(cluster, "PUT", "/v1/acl/token", { Policies: [{ Name: policyName(cluster, node) }], ...(ttl && { ExpirationTTL: ttl }) });
}

export async function revoke(cluster: LocalCluster, { AccessorID }: MadeToken): Promise<void> {
  await manage(cluster, "DELETE", `/v1/acl/token/${AccessorID}`);
}

/** As an operator's tool would: the new file takes the place of the old one. */
export async function replaceTokenFile(cluster: LocalCluster, node: LocalNode, secret: string): Promise<void> {
  const file = cluster.security?.tokenFile(node.name) ?? "";
  await writeFile(`${file}.new`, `${secret}\n`, { mode: 0o600 });
  await rename(`${file}.new`, file);
}

/** What the sidecar's log says last of each dependency that refuses it: the permission, or the reason where Consul names none. */
export function refusals(node: LocalNode): Record<string, string> {
  const last = new Map<string, { msg: string; permission?: string; reason?: string }>();
  for (const line of readFileSync(sidecarOf(node).logFile, "utf8").trimEnd().split("\n")) {
    if (!line.includes('"dependency"')) continue;
    const said = JSON.parse(line) as { dependency: string; msg: string; permission?: string; reason?: string };
    last.set(said.dependency, said);
  }
  const refusing = [...last].filter(([, { msg }]) => msg === "Dependency refuses us");
  return Object.fromEntries(refusing.map(([dependency, { permission, reason }]) => [dependency, permission ?? reason ?? ""]));
}
