import { pino } from "pino";
import { bindErrorOf, checkBind, formatHostPort, isLoopback } from "../../src/sidecar/api/bind-address.js";
import { isOwnHost } from "../../src/sidecar/api/host-guard.js";

test.each(["127.0.0.1", "127.8.9.10", "::1", "0:0:0:0:0:0:0:1", "::ffff:127.0.0.1", "localhost", "LOCALHOST", "localhost."])("%s is loopback", (host) => {
  expect(isLoopback(host)).toBe(true);
});

test.each(["0.0.0.0", "::", "10.0.0.1", "128.0.0.1", "126.255.255.255", "::2", "::ffff:10.0.0.1", "", "127.0.0.1.evil.example", "localhost.evil.example", "127.1"])(
  "%s is not",
  (host) => {
    expect(isLoopback(host)).toBe(false);
  },
);

test("an address beyond loopback is refused, with mTLS allowed, and with the opt-out allowed and logged at warn", () => {
  const lines: string[] = [];
  const logger = pino({ level: "debug" }, { write: (line: string) => void lines.push(line) });
  const wild = { host: "0.0.0.0", port: 8000 };
  expect(() => checkBind("grpc", wild, { insecureBind: false, mtls: false }, logger)).toThrow(expect.objectContaining({ code: "not-loopback", address: "0.0.0.0:8000" }));
  checkBind("grpc", { host: "127.0.0.1", port: 8000 }, { insecureBind: false, mtls: false }, logger);
  checkBind("grpc", wild, { insecureBind: false, mtls: true }, logger);
  expect(lines).toEqual([]);
  checkBind("grpc", wild, { insecureBind: true, mtls: false }, logger);
  expect(lines.map((line) => JSON.parse(line) as object)).toEqual([expect.objectContaining({ level: 40, address: "0.0.0.0:8000" })]);
});

test("addresses are written as clients take them", () => {
  expect(formatHostPort({ host: "::1", port: 8000 })).toBe("[::1]:8000");
  expect(formatHostPort({ host: "127.0.0.1", port: 8000 })).toBe("127.0.0.1:8000");
});

test.each([
  ["EADDRINUSE", "in-use"],
  ["EADDRNOTAVAIL", "not-available"],
  ["EACCES", "permission"],
  ["EOTHER", "failed"],
])("%s", (systemCode, code) => {
  const cause = Object.assign(new Error(`listen ${systemCode}`), { code: systemCode });
  expect(bindErrorOf("http", { host: "127.0.0.1", port: 8000 }, cause)).toMatchObject({ code, name: "BindError" });
});

describe("the Host header", () => {
  const own = { boundHost: "0.0.0.0", localAddress: "::ffff:10.0.0.7", names: ["node-a.internal"] };
  test.each(["localhost", "localhost:8001", "127.0.0.1:8001", "[::1]:8001", "10.0.0.7:8001", "NODE-A.internal:8001", "node-a.internal."])("%s is ours", (host) => {
    expect(isOwnHost(host, own)).toBe(true);
  });
  test.each([undefined, "", "evil.example", "evil.example:8001", "10.0.0.8", "localhost.evil.example", "node-a.internal.evil.example", "localhost@evil.example", "localhost/x", "[::1", "::1"])(
    "%s is not",
    (host) => {
      expect(isOwnHost(host, own)).toBe(false);
    },
  );
});
