import type { NodeView } from "../../src/beacon/node-view.js";
import { metricsDocument } from "../../src/commands/views/documents.js";
import { listing } from "../../src/commands/views/listing.js";
import { warnings } from "../../src/commands/views/warnings.js";
import { bareView, fullView, type Known, unobserved } from "../harness/node-views.js";
import { identity } from "../harness/records.js";
import { beaconId } from "../../src/beacon/keys.js";

const BEACON_ID = beaconId(identity(1).publicKey);

/** The ancestor's sample (reference: its `cluster metrics`), with this node's IDs. */
const ANCESTOR = `IBRL Cluster Metrics:
====================

Node: 5f3a2b1c-0000-4000-8000-000000000001
  Beacon ID:       ${BEACON_ID}
  Latency:         12.35 ms
  Jitter:          1.00 ms
  Packet Loss:     0.00%
  Queue Depth:     3
  Price/GB:        $0.0100
  Reputation:      1.0
  Capabilities:    [container vm]
  Workloads:       2

`;

/** As it arrives on stdout: the command ends the text with a newline. */
function printed(...nodes: NodeView[]): string {
  return `${listing(nodes)}\n`;
}

test("a fully measured node is printed exactly as the ancestor did", () => {
  expect(printed(fullView())).toBe(ANCESTOR);
});

test("a node without a sidecar has one line in place of the beacon's", () => {
  expect(printed(bareView("node-9"))).toBe(`IBRL Cluster Metrics:
====================

Node: 9e8d7c6b-0000-4000-8000-000000000000
  Beacon: Not available
  Workloads:       unknown

`);
});

test("every node has its block, and no node the header alone", () => {
  const block = ANCESTOR.split("\n\n").slice(1).join("\n\n");
  expect(printed(fullView(), fullView())).toBe(ANCESTOR + block);
  expect(printed()).toBe("IBRL Cluster Metrics:\n====================\n\n");
});

describe("what is not known differs in its value only", () => {
  const estimated = fullView({ beacon: { latency: { us: 420, source: "estimated" } } });
  const without = (field: Known): NodeView => fullView({ without: [field] });
  const cases: [what: string, view: NodeView, line: string][] = [
    ["estimated latency", estimated, "  Latency:         0.42 ms (estimated)"],
    ["no latency", without("latency"), "  Latency:         unmeasured"],
    ["no jitter", without("jitterUs"), "  Jitter:          unmeasured"],
    ["no loss", without("lossRatio"), "  Packet Loss:     unmeasured"],
    ["no queue depth", without("queueDepth"), "  Queue Depth:     unmeasured"],
    ["no price", without("priceMicroUsdPerGb"), "  Price/GB:        unknown"],
    ["no reputation, declared", unobserved(fullView()), "  Reputation:      unknown (declared 1.0)"],
    ["no reputation, none declared", unobserved(without("declaredReputation")), "  Reputation:      unknown"],
    ["no capability", fullView({ beacon: { capabilities: [] } }), "  Capabilities:    []"],
    ["no Nomad", fullView({ workloads: null }), "  Workloads:       unknown"],
  ];
  test.each(cases)("%s", (_, view, line) => {
    const lines = printed(view).split("\n");
    const label = line.slice(0, 19);
    expect(lines.filter((l) => l.startsWith(label))).toEqual([line]);
    const others = (text: string): string[] => text.split("\n").filter((l) => !l.startsWith(label));
    expect(others(printed(view))).toEqual(others(ANCESTOR));
  });

  test("a known zero is a zero", () => {
    const zero = fullView({
      workloads: 0,
      beacon: { latency: { us: 0, source: "measured" }, jitterUs: 0, lossRatio: 0, queueDepth: 0, priceMicroUsdPerGb: 0 },
      view: { reputation: { score: 0, observers: 3 } },
    });
    expect(printed(zero).split("\n").slice(5, 13)).toEqual([
      "  Latency:         0.00 ms",
      "  Jitter:          0.00 ms",
      "  Packet Loss:     0.00%",
      "  Queue Depth:     0",
      "  Price/GB:        $0.0000",
      "  Reputation:      0.0",
      "  Capabilities:    [container vm]",
      "  Workloads:       0",
    ]);
  });
});

test("a second decimal of the reputation is shown where it says something", () => {
  expect(printed(fullView({ view: { reputation: { score: 0.874, observers: 5 } } }))).toContain("  Reputation:      0.87\n");
});

const REJECTED = ["expired", "pin-conflict", "id-collision", "equivocation", "unlisted"] as const;
test.each(REJECTED)("%s: no beacon and no workloads, even where the view still holds records", (trust) => {
  const text = printed(fullView({ view: { trust, detail: "because" } }));
  expect(text).toContain("  Beacon: Not available\n  Workloads:       unknown\n");
  expect(text).not.toContain(BEACON_ID);
});

test("a node of open mode is shown, and its beacon ID says that nothing of it is verified", () => {
  const open = fullView({ view: { trust: "unverified", detail: "open mode" } });
  expect(printed(open)).toBe(ANCESTOR.replace(BEACON_ID, `${BEACON_ID} (unverified)`));
  expect(warnings([open])).toEqual(["warning: node-1: unverified: open mode"]);
  expect(metricsDocument([open]).nodes).toMatchObject([{ verified: false, trust: "unverified", latency: { ms: 12.35 } }]);
});

test("a node without an ID goes by its name", () => {
  expect(printed(bareView("by-hand", { id: "" }))).toContain("Node: by-hand\n");
});

test("control and direction characters of remote names arrive escaped", () => {
  const text = printed(bareView("x", { id: "a\u001b[2Jb\u009bc\u202ed\ne" }));
  expect(text).toContain("Node: a\\u001b[2Jb\\u009bc\\u202ed\\u000ae\n");
});

describe("warnings", () => {
  test("name the reason of every node that is not believed, and the nodes that are down", () => {
    const nodes = [
      fullView(),
      bareView("node-9"),
      bareView("node-2", { trust: "expired", detail: "last heard\u0007 310 s ago", alive: true }),
      bareView("node-3", { trust: "unverified", alive: false }),
      fullView({ view: { name: "node-4", alive: false } }),
    ];
    expect(warnings(nodes)).toEqual([
      "warning: node-2: expired: last heard\\u0007 310 s ago",
      "warning: node-3: unverified; down, says Consul",
      "warning: node-4: down, says Consul",
    ]);
  });
});
