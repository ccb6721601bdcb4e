/**
 * What the policies of a decision ask of the cluster beyond each node's own record: links to some target, copies of some
 * job. Each distinct one is worked out once, and a candidate's `links` and `copies` stand in the order of these lists.
 */
import type { Copies, LinkTarget, Policy } from "./policy.js";

export interface Needs {
  targets: readonly LinkTarget[];
  copies: readonly Copies[];
  disputedLinks: boolean;
}

/** `job` is the workload's own, which `jobs: []` stands for. */
export function needsOf(policies: readonly Policy[], job: string | undefined): Needs {
  return {
    targets: distinct(policies.flatMap(({ links }) => links.map(({ target }) => target)), targetKey),
    copies: distinct(policies.flatMap((policy) => copiesIn(policy).map((copies) => withJob(copies, job))), copiesKey),
    disputedLinks: policies.some(({ limits }) => limits.disputedLinks !== undefined),
  };
}

export function targetIndex(needs: Needs, target: LinkTarget): number {
  return needs.targets.findIndex((other) => targetKey(other) === targetKey(target));
}

export function copiesIndex(needs: Needs, copies: Copies, job: string | undefined): number {
  return needs.copies.findIndex((other) => copiesKey(other) === copiesKey(withJob(copies, job)));
}

/** For people: "node-3", "service postgres". */
export function targetName(target: LinkTarget): string {
  return "node" in target ? target.node : `service ${target.service}`;
}

function copiesIn({ antiAffinity, spread }: Policy): Copies[] {
  return [antiAffinity, spread].filter((copies) => copies !== undefined);
}

/** Without the limits that stand beside it in a policy. */
function withJob({ by, nearerThanUs, jobs }: Copies, job: string | undefined): Copies {
  const counted = jobs.length > 0 ? [...jobs].sort() : job === undefined ? [] : [job];
  return { by, jobs: counted, ...(nearerThanUs === undefined ? {} : { nearerThanUs }) };
}

function targetKey(target: LinkTarget): string {
  return "node" in target ? `node ${target.node}` : `service ${target.service}`;
}

function copiesKey({ by, nearerThanUs, jobs }: Copies): string {
  return JSON.stringify([by, nearerThanUs ?? null, jobs]);
}

function distinct<T>(all: readonly T[], keyOf: (item: T) => string): T[] {
  return [...new Map(all.map((item) => [keyOf(item), item])).values()];
}
