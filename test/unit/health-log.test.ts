import { ConsulError, type ConsulErrorCode } from "../../src/sidecar/consul-api.js";
import { HealthLog } from "../../src/sidecar/health-log.js";

function fixture() {
  const lines: [string, object][] = [];
  const clock = { now: 0, monoMs: () => clock.now };
  const at = (level: string) => (fields: object) => void lines.push([level, fields]);
  const log = new HealthLog({ dependency: "consul", logger: { info: at("info"), warn: at("warn"), error: at("error") }, clock });
  return { lines, clock, log };
}
const failure = (code: ConsulErrorCode, permission?: string) => new ConsulError(code, "kv.put", "why", permission === undefined ? {} : { permission });

describe("HealthLog", () => {
  it("writes one line when it goes down and one when it is back, however often it fails", () => {
    const { lines, clock, log } = fixture();
    log.up();
    log.up();
    for (let i = 0; i < 100; i += 1) log.down(failure(i % 2 === 0 ? "timeout" : "unreachable"));
    clock.now = 42_000;
    log.up();
    log.up();
    expect(lines).toEqual([
      ["info", { dependency: "consul" }],
      ["warn", { dependency: "consul", code: "timeout", reason: "why" }],
      ["info", { dependency: "consul", downForMs: 42_000, failures: 100 }],
    ]);
    expect(log.state).toBe("up");
  });

  it("asks the operator to act on a refusal, again when another permission is missing", () => {
    const { lines, log } = fixture();
    for (const permission of ["key:write", "key:write", "event:write"]) log.down(failure("permission", permission));
    expect(lines.map(([level, fields]) => [level, (fields as { permission?: string }).permission])).toEqual([
      ["error", "key:write"],
      ["error", "event:write"],
    ]);
    expect(log.state).toBe("refused");
  });

  it("takes an abort for no state, and a foreign error for one that may pass", () => {
    const { lines, log } = fixture();
    log.down(failure("aborted"));
    expect(log.state).toBe("unknown");
    log.down("odd");
    expect(lines).toEqual([["warn", { dependency: "consul", reason: "odd" }]]);
  });
});
