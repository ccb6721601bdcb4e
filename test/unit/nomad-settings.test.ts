/** The variables of Nomad's command line, read as it reads them; every refusal names its variable and hides its value. */
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import fc from "fast-check";
import { createNomadClient } from "../../src/sidecar/nomad/client.js";
import { nomadSettingsFrom, NomadSettingsError } from "../../src/sidecar/nomad/settings.js";

test("without variables it is the agent of this machine", () => {
  const expected = {
    endpoint: { kind: "tcp", secure: false, host: "127.0.0.1", port: 4646 },
    address: "http://127.0.0.1:4646",
    tls: { skipVerify: false },
  };
  expect(nomadSettingsFrom({})).toEqual(expected);
  expect(nomadSettingsFrom({ NOMAD_ADDR: "", NOMAD_TOKEN: "", NOMAD_SKIP_VERIFY: "" })).toEqual(expected);
});

test.each([
  ["http://10.0.0.5:4646", { kind: "tcp", secure: false, host: "10.0.0.5", port: 4646 }],
  ["https://nomad.example:8443/", { kind: "tcp", secure: true, host: "nomad.example", port: 8443 }],
  ["https://nomad.example", { kind: "tcp", secure: true, host: "nomad.example", port: 443 }],
  ["http://nomad.example", { kind: "tcp", secure: false, host: "nomad.example", port: 80 }],
  ["http://[::1]:4646", { kind: "tcp", secure: false, host: "::1", port: 4646 }],
  ["unix:///run/nomad.sock", { kind: "unix", socketPath: "/run/nomad.sock" }],
])("NOMAD_ADDR=%s", (address, endpoint) => {
  expect(nomadSettingsFrom({ NOMAD_ADDR: address }).endpoint).toEqual(endpoint);
});

test("all variables have their place", () => {
  const settings = nomadSettingsFrom({
    NOMAD_ADDR: "https://n:4646",
    NOMAD_TOKEN: "secret",
    NOMAD_REGION: "global",
    NOMAD_NAMESPACE: "team",
    NOMAD_CACERT: "/ca.pem",
    NOMAD_CAPATH: "/ca.d",
    NOMAD_CLIENT_CERT: "/cert.pem",
    NOMAD_CLIENT_KEY: "/key.pem",
    NOMAD_TLS_SERVER_NAME: "client.global.nomad",
    NOMAD_SKIP_VERIFY: "1",
  });
  expect(settings).toMatchObject({ token: "secret", region: "global", namespace: "team" });
  expect(settings.tls).toEqual({
    caFile: "/ca.pem",
    caPath: "/ca.d",
    certFile: "/cert.pem",
    keyFile: "/key.pem",
    serverName: "client.global.nomad",
    skipVerify: true,
  });
});

test.each([
  ["NOMAD_ADDR", { NOMAD_ADDR: "hunter2" }],
  ["NOMAD_ADDR", { NOMAD_ADDR: "127.0.0.1:4646" }],
  ["NOMAD_ADDR", { NOMAD_ADDR: "ftp://hunter2" }],
  ["NOMAD_ADDR", { NOMAD_ADDR: "http://user:hunter2@n:4646" }],
  ["NOMAD_ADDR", { NOMAD_ADDR: "http://n:4646/hunter2" }],
  ["NOMAD_ADDR", { NOMAD_ADDR: "http://n:4646?token=hunter2" }],
  ["NOMAD_ADDR", { NOMAD_ADDR: "unix://hunter2.sock" }],
  ["NOMAD_TOKEN", { NOMAD_TOKEN: "hunter2\n" }],
  ["NOMAD_TOKEN", { NOMAD_TOKEN: "hunter2 x" }],
  ["NOMAD_SKIP_VERIFY", { NOMAD_SKIP_VERIFY: "hunter2" }],
  ["NOMAD_CLIENT_KEY", { NOMAD_CLIENT_CERT: "/hunter2" }],
  ["NOMAD_CLIENT_CERT", { NOMAD_CLIENT_KEY: "/hunter2" }],
])("%s is refused by name and not repeated: %j", (variable, env) => {
  const error = refusal(env);
  expect(error.variable).toBe(variable);
  expect(error.message.startsWith(`${variable}: `)).toBe(true);
  expect(error.message).not.toContain("hunter2");
});

test("any values give settings or a named refusal", () => {
  const names = ["NOMAD_ADDR", "NOMAD_TOKEN", "NOMAD_SKIP_VERIFY", "NOMAD_CLIENT_CERT", "NOMAD_CLIENT_KEY"] as const;
  const env = fc.record(Object.fromEntries(names.map((n) => [n, fc.oneof(fc.string(), fc.webUrl())])), { requiredKeys: [] });
  fc.assert(
    fc.property(env, (values) => {
      try {
        expect(nomadSettingsFrom(values).address).not.toBe("");
      } catch (error) {
        expect(error).toBeInstanceOf(NomadSettingsError);
        expect(names).toContain((error as NomadSettingsError).variable);
      }
    }),
  );
});

describe("certificate files", () => {
  let folder: string;
  beforeEach(async () => {
    folder = await mkdtemp(join(tmpdir(), "ibrl-nomad-tls-"));
    await writeFile(join(folder, "text"), "no certificate");
    await writeFile(join(folder, "broken.pem"), "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n");
  });
  afterEach(() => rm(folder, { recursive: true }));

  test.each([
    ["NOMAD_CACERT", { NOMAD_CACERT: "absent" }, "absent cannot be read (ENOENT)"],
    ["NOMAD_CACERT", { NOMAD_CACERT: "text" }, "text holds no PEM block"],
    ["NOMAD_CACERT", { NOMAD_CACERT: "broken.pem" }, "cannot be used"],
    ["NOMAD_CAPATH", { NOMAD_CAPATH: "absent" }, "absent cannot be read (ENOENT)"],
    ["NOMAD_CAPATH", { NOMAD_CAPATH: "" }, "broken.pem cannot be used"],
    ["NOMAD_CLIENT_CERT", { NOMAD_CLIENT_CERT: "absent", NOMAD_CLIENT_KEY: "text" }, "absent cannot be read (ENOENT)"],
    ["NOMAD_CLIENT_CERT", { NOMAD_CLIENT_CERT: "broken.pem", NOMAD_CLIENT_KEY: "broken.pem" }, "cannot be used"],
  ])("%s is refused where %j: %s", async (variable, files, message) => {
    const env = Object.fromEntries(Object.entries(files).map(([name, file]) => [name, join(folder, file)]));
    const error = await createNomadClient(nomadSettingsFrom({ NOMAD_ADDR: "https://n:1", ...env })).catch((e: unknown) => e);
    expect(error).toBeInstanceOf(NomadSettingsError);
    expect((error as NomadSettingsError).variable).toBe(variable);
    expect((error as Error).message).toContain(message);
  });
});

function refusal(env: Record<string, string>): NomadSettingsError {
  try {
    nomadSettingsFrom(env);
  } catch (error) {
    if (error instanceof NomadSettingsError) return error;
    throw error;
  }
  throw new Error("it was accepted");
}
