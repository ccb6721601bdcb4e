import fc from "fast-check";
import { parseBeaconEndpoint } from "../../src/sidecar/beacon-endpoint.js";
import { parseDuration, resolveSettings, type RawSettings, SETTINGS, type SettingSpec, SettingsError } from "../../src/sidecar/settings.js";

const resolve = (flags: RawSettings = {}, env: Record<string, string> = {}, content?: RawSettings) =>
  resolveSettings({
    flags, env, hostname: "host-1", isRoot: false,
    ...(content === undefined ? {} : { file: { path: "s.json", content } }),
  });

test("without any source the defaults hold", () => {
  expect(resolve()).toMatchObject({
    nodeName: "host-1", capabilities: [], grpcBind: { host: "127.0.0.1", port: 8000 }, httpBind: { host: "127.0.0.1", port: 8001 },
    beatMs: 5_000, heartbeatMinMs: 100_000, validityMinMs: 300_000, beaconPrice: "0.01", beaconReputation: 1, insecureBind: false,
  });
  expect(resolveSettings({ flags: {}, env: {}, hostname: "h", isRoot: true }).stateDir).toBe("/var/lib/hypercore-ibrl");
});

test("a flag wins over the environment, the environment over the file, and an empty variable is an unset one", () => {
  expect(resolve({ beat: "1s" }, { IBRL_BEAT: "2s" }, { beat: "3s" }).beatMs).toBe(1_000);
  expect(resolve({}, { IBRL_BEAT: "2s" }, { beat: "3s" }).beatMs).toBe(2_000);
  expect(resolve({}, { IBRL_BEAT: "" }, { beat: "3s" }).beatMs).toBe(3_000);
});

test("Consul's and Nomad's settings keep their variables' names, whatever brought them", () => {
  const settings = resolve({ "consul-http-addr": "10.0.0.1:8500" }, { CONSUL_HTTP_ADDR: "x", CONSUL_HTTP_TOKEN: "t", NOMAD_REGION: "eu" });
  expect(settings.consulEnv).toMatchObject({ CONSUL_HTTP_ADDR: "10.0.0.1:8500", CONSUL_HTTP_TOKEN: "t" });
  expect(settings.nomadEnv).toMatchObject({ NOMAD_REGION: "eu" });
});

test("lists come from repeated flags, a comma-separated variable, or a JSON list", () => {
  expect(resolve({ capability: ["a", "b"] }).capabilities).toEqual(["a", "b"]);
  expect(resolve({}, { IBRL_CAPABILITIES: "a, b," }).capabilities).toEqual(["a", "b"]);
  expect(resolve({}, {}, { capability: ["a"] }).capabilities).toEqual(["a"]);
});

test.each<[string, RawSettings, Record<string, string>, RawSettings | undefined, string]>([
  ["a duration without unit", { beat: "5" }, {}, undefined, '--beat: "5" is not within 200ms to 60000ms (a duration: 500ms, 5s, 2m, 1h)'],
  ["a beat of zero", {}, { IBRL_BEAT: "0s" }, undefined, 'IBRL_BEAT: "0s" is not within'],
  ["a reputation of 50", { "beacon-reputation": "50" }, {}, undefined, "--beacon-reputation"],
  ["a reputation of NaN", { "beacon-reputation": "NaN" }, {}, undefined, "--beacon-reputation"],
  ["an address without port", { "grpc-bind-addr": "localhost" }, {}, undefined, "is not HOST:PORT"],
  ["port 70000", { "http-bind-addr": "127.0.0.1:70000" }, {}, undefined, "is not HOST:PORT"],
  ["a level that is none", {}, { IBRL_LOG_LEVEL: "loud" }, undefined, 'IBRL_LOG_LEVEL: "loud" is not one of debug, info, warn, error'],
  ["a boolean that is none", {}, { IBRL_INSECURE_BIND: "yes" }, undefined, "neither true nor false"],
  ["an unknown key in the file", {}, {}, { beats: "5s" }, '"beats" in s.json: no such setting; did you mean "beat"?'],
  ["an object in the file", {}, {}, { beat: {} as never }, '"beat" in s.json: takes a string'],
])("%s is refused, and named with its source", (_, flags, env, file, message) => {
  expect(() => resolve(flags, env, file)).toThrow(SettingsError);
  expect(() => resolve(flags, env, file)).toThrow(message);
});

test("no text crashes the reading of settings", () => {
  fc.assert(
    fc.property(fc.constantFrom(...(SETTINGS as readonly SettingSpec[])), fc.string(), (spec, text) => {
      try {
        resolve({ [spec.name]: text });
      } catch (error) {
        expect(error).toBeInstanceOf(SettingsError);
      }
    }),
    { numRuns: 500 },
  );
});

test("secrets have no flag: a command line is seen by every user of the host", () => {
  const secrets = (SETTINGS as readonly SettingSpec[]).filter((spec) => spec.secret === true).map((spec) => spec.env);
  expect(secrets).toEqual(["CONSUL_HTTP_TOKEN", "CONSUL_HTTP_AUTH", "NOMAD_TOKEN"]);
});

test.each([["500ms", 500], ["5s", 5_000], ["1.5m", 90_000], ["1h", 3_600_000], ["1d", Number.NaN], ["-1s", Number.NaN], ["s", Number.NaN]])("duration %s", (text, ms) => {
  expect(parseDuration(text)).toBe(ms);
});

test.each(["beacon.example:8000", "ftp://x", "grpc://x", "tcp://", "http//x"])("beacon endpoint %j is refused with what would be right", (text) => {
  expect(() => parseBeaconEndpoint(text)).toThrow(SettingsError);
});

test("beacon endpoints of each scheme are taken, and an empty one is none", () => {
  expect(parseBeaconEndpoint("")).toBeUndefined();
  for (const url of ["grpc://b:1", "grpcs://b:1", "tcp://[::1]:1", "http://b", "https://b/x"]) expect(parseBeaconEndpoint(url)).toBeInstanceOf(URL);
});
