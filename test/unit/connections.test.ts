/** Who one client is, and how its calls are counted. The sockets are in http-api.test.ts and e2e/hostile-clients.test.ts. */
import { CALL_BUDGET, CallLimits } from "../../src/sidecar/api/call-limits.js";
import { clientOf } from "../../src/sidecar/api/connections.js";

test.each([
  ["127.0.0.1", "loopback"], ["127.9.9.9", "loopback"], ["::1", "loopback"], ["::ffff:127.0.0.1", "loopback"],
  ["192.0.2.1", "192.0.2.1"], ["::ffff:192.0.2.1", "192.0.2.1"],
  ["2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"], ["2001:db8:1:2::9", "2001:db8:1:2::/64"], ["2001:db8::9", "2001:db8:0:0::/64"],
  ["2001:db8::1:2:3:4:5", "2001:db8:0:1::/64"], ["fe80::1%eth0", "fe80:0:0:0::/64"], ["::2", "0:0:0:0::/64"],
])("%s is the client %s", (address, client) => {
  expect(clientOf(address)).toBe(client);
});

describe("calls", () => {
  const limits = (more: object) => new CallLimits({ ...CALL_BUDGET, ...more }, { monoMs: () => nowMs });
  let nowMs = 0;

  test("a client's share and the whole are bounded, and come back once for each end", () => {
    const calls = limits({ open: 3, openPerClient: 2 });
    const [a, b, c] = [calls.begin("a"), calls.begin("a"), calls.begin("b")];
    expect([a, b, c].every((call) => call !== undefined)).toBe(true);
    expect(calls.begin("b")).toBeUndefined(); // the whole
    a?.end();
    a?.end();
    expect(calls.begin("a")).toBeDefined();
    expect(calls.begin("a")).toBeUndefined();
    c?.end();
    expect(calls.begin("a")).toBeUndefined(); // its share
    expect(calls.begin("c")).toBeDefined();
  });

  test("a client's rate is bounded, another's is its own", () => {
    const calls = limits({ perS: 10, burst: 2 });
    const begin = (client: string) => {
      const call = calls.begin(client);
      call?.end();
      return call !== undefined;
    };
    expect([begin("a"), begin("a"), begin("a"), begin("b")]).toEqual([true, true, false, true]);
    nowMs += 100;
    expect([begin("a"), begin("a")]).toEqual([true, false]);
  });

  test("thousands of clients are not remembered for ever, and one whose call is open is not forgotten", () => {
    const calls = limits({ openPerClient: 1 });
    const kept = calls.begin("kept");
    for (let i = 0; i < 5_000; i += 1) calls.begin(`client ${String(i)}`)?.end();
    expect(calls.begin("kept")).toBeUndefined();
    kept?.end();
    expect(calls.begin("kept")).toBeDefined();
  });
});
