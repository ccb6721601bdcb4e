/** What the sidecar keeps of the reputations that it computed: for its views, its registry's minimum and its own metric. */
import { PinBook } from "../../src/beacon/pins.js";
import type { NodeView } from "../../src/beacon/node-view.js";
import { Registry } from "../../src/beacon/registry.js";
import { systemClock } from "../../src/sidecar/clock.js";
import { ReputationBook } from "../../src/sidecar/reputation-book.js";
import { keyOf } from "../harness/links.js";
import { bareView, fullView } from "../harness/node-views.js";
import { mesh, signedState } from "../harness/observers.js";
import { verifiedBeacon, identity } from "../harness/records.js";
import { rotation } from "../harness/rotations.js";

const views = (n: number, received = 64): NodeView[] =>
  mesh(n, () => ({ received })).map((state, i) => fullView({ name: `node-${String(i + 1)}`, key: i + 1, view: { state, reputation: { score: 0.1, observers: 99 } } }));

function bookOf() {
  const own: NodeView["reputation"][] = [];
  return { own, book: new ReputationBook({ clock: systemClock, ownKey: () => keyOf(1), onOwn: (reputation) => own.push(reputation) }) };
}

test("views get the score that was computed here, and lose any other; who is not believed has none", () => {
  const { book } = bookOf();
  const [first, second, ...rest] = views(6) as [NodeView, NodeView, ...NodeView[]];
  const scored = book.score([{ ...first, trust: "pin-conflict" }, second, ...rest, bareView("node-9", { reputation: { score: 1, observers: 9 } })]);
  expect(scored.map(({ reputation }) => reputation?.score)).toEqual([undefined, 1, 1, 1, 1, 1, undefined]);
  expect(book.score(views(3)).map(({ reputation }) => reputation)).toEqual([undefined, undefined, undefined]);
});

test("a rotated key keeps what was observed under the old one, as soon as its rotation is known", () => {
  const { book } = bookOf();
  const [first, ...rest] = views(4) as [NodeView, ...NodeView[]];
  const state = signedState(9, first.state?.record.links ?? [], { node: "node-1", epoch: 13 });
  const rotated = (more: Partial<NodeView>): NodeView[] => [fullView({ name: "node-1", key: 9, view: { state, ...more } }), ...rest];
  const scoreOfFirst = (of: readonly NodeView[]): NodeView["reputation"] => book.score(of)[0]?.reputation;
  expect(scoreOfFirst(rotated({}))).toBeUndefined();
  expect(scoreOfFirst(rotated({ rotations: [rotation(1, 9, 13, "node-1")] }))).toEqual({ score: 1, observers: 3 });
});

test("this node's own score is told when the records change, and not before", () => {
  const { book, own } = bookOf();
  for (const now of [views(4), views(4), views(4, 32), views(3)]) book.score(now);
  expect(own).toEqual([{ score: 1, observers: 3 }, { score: 0.625, observers: 3 }, undefined]);
});

test("the registry's minimum reads it, and unknown passes none", () => {
  const { book } = bookOf();
  const registry = new Registry(new PinBook([]), (key) => book.scoreOf(key));
  registry.admit(verifiedBeacon({ node: "node-1" }, identity(1)), "meta", 0);
  const names = (minReputation: number): string[] => registry.list({ minReputation }, 0).map(({ verified }) => verified.record.node);
  expect(names(0)).toEqual([]);
  book.score(views(4, 32));
  expect([names(0.625), names(0.63)]).toEqual([["node-1"], []]);
});
