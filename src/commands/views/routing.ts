/** A service's instances in their order: one line of addresses, or a document. */
import { turnedAway } from "../../policy/no-match.js";
import type { Route } from "../../policy/route.js";
import { failureText } from "../../policy/wording.js";
import { formatHostPort } from "../../sidecar/api/bind-address.js";
import { printable } from "./printable.js";

/** `10.0.0.1:8080 10.0.0.2:8080`, the best first; empty where there is none. */
export function routeLine({ instances }: Route): string {
  return instances.map(({ address, port }) => printable(formatHostPort({ host: address, port }))).join(" ");
}

/** Raw values; `turnedAway` says for each excluded node which rules it broke. */
export function routeDocument(service: string, { instances, decision }: Route): object {
  return {
    schemaVersion: 1,
    service,
    policies: decision.applied.map(({ role, evaluator: { identity } }) => ({ role, ...identity })),
    instances: instances.map(({ node, id, address, port, status, scorePpm }) => ({ node, id, address, port, status, scorePpm })),
    turnedAway: turnedAway(decision).map(({ node, failures }) => ({ node, failures: failures.map(({ policy, result }) => ({ policy, rule: result.rule.name, said: failureText(result) })) })),
  };
}
