/** `--node NAME|ID`: the nodes that are meant, or what was probably meant instead. */
import type { NodeView } from "../../beacon/node-view.js";
import { figuresOf } from "../views/figures.js";
import { printable } from "../views/printable.js";

/** `message` is for people: the names that exist stand in it. */
export class UnknownNodeError extends Error {
  override readonly name = "UnknownNodeError";
  readonly code = "unknown-node";
}

const MIN_PREFIX = 4;
const SUGGESTIONS = 10;

/** By name, or by node ID or beacon ID, whole or from its first four characters on. */
export function matchesName(view: NodeView, wanted: string): boolean {
  if (view.name === wanted) return true;
  const prefix = wanted.toLowerCase();
  return prefix.length >= MIN_PREFIX && [view.id, figuresOf(view).beaconId ?? ""].some((id) => id.toLowerCase().startsWith(prefix));
}

/** All nodes where none is named. Throws UnknownNodeError for names that nothing answers to, or several by a short ID. */
export function selectNodes(nodes: readonly NodeView[], wanted: readonly string[]): NodeView[] {
  if (wanted.length === 0) return [...nodes];
  const found = wanted.map((name) => {
    // A name is a name, even where it looks like the start of another node's ID.
    const exact = nodes.filter((view) => view.name === name);
    return { name, views: exact.length > 0 ? exact : nodes.filter((view) => matchesName(view, name)) };
  });
  const faults = found.flatMap(({ name, views }) => {
    if (views.length === 0) return [`There is no node ${JSON.stringify(name)}. ${known(nodes, name)}`];
    if (views.length > 1) return [`${JSON.stringify(name)} could be ${names(views)}: write more of the ID, or the name`];
    return [];
  });
  if (faults.length > 0) throw new UnknownNodeError(faults.join("\n"));
  const chosen = new Set(found.flatMap(({ views }) => views));
  return nodes.filter((view) => chosen.has(view));
}

function known(nodes: readonly NodeView[], wanted: string): string {
  if (nodes.length === 0) return "The cluster has none.";
  const nearest = nodes
    .map((view) => ({ view, shared: sharedPrefix(view.name, wanted) }))
    .sort((a, b) => b.shared - a.shared || (a.view.name < b.view.name ? -1 : 1))
    .map(({ view }) => view);
  const more = nodes.length - SUGGESTIONS;
  return `Known: ${names(nearest.slice(0, SUGGESTIONS))}${more > 0 ? ` and ${String(more)} more` : ""}.`;
}

function names(views: readonly NodeView[]): string {
  return views.map((view) => printable(view.name)).join(", ");
}

function sharedPrefix(a: string, b: string): number {
  let length = 0;
  while (length < Math.min(a.length, b.length) && a[length] === b[length]) length += 1;
  return length;
}
