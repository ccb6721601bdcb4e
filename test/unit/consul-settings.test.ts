import { mkdtempSync, rmSync, statSync, utimesSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type ConsulSettings, consulSettingsFrom } from "../../src/sidecar/consul/settings.js";
import { displayAddress } from "../../src/sidecar/consul/address.js";
import { ConsulSettingsError } from "../../src/sidecar/consul/settings-error.js";
import { TokenSource } from "../../src/sidecar/consul/token.js";

const DEFAULTS: ConsulSettings = {
  address: { scheme: "http", host: "127.0.0.1", port: 8500, pathPrefix: "", socketPath: null },
  tls: { verify: true, caFile: null, caPath: null, certFile: null, keyFile: null, serverName: null },
  token: null,
  tokenFile: null,
  basicAuth: null,
  datacenter: null,
};

describe("consulSettingsFrom", () => {
  it("has the CLI's defaults, for empty variables too", () => {
    expect(consulSettingsFrom({})).toEqual(DEFAULTS);
    const names =
      "HTTP_ADDR HTTP_SSL HTTP_SSL_VERIFY CACERT CAPATH CLIENT_CERT CLIENT_KEY TLS_SERVER_NAME " +
      "HTTP_TOKEN HTTP_TOKEN_FILE HTTP_AUTH NAMESPACE PARTITION DATACENTER";
    const empty = Object.fromEntries(names.split(" ").map((name) => [`CONSUL_${name}`, ""]));
    expect(consulSettingsFrom(empty)).toEqual(DEFAULTS);
  });

  it.each([
    ["10.0.0.1:8501", "", "http://10.0.0.1:8501"],
    ["consul.service:8501", "true", "https://consul.service:8501"],
    ["http://consul:1", "", "http://consul:1"],
    ["http://consul:1", "1", "https://consul:1"],
    ["https://consul:1", "false", "https://consul:1"],
    ["https://consul", "", "https://consul:443"],
    ["consul", "", "http://consul:80"],
    ["[::1]:8500", "", "http://[::1]:8500"],
    ["[fe80::1%eth0]:8500", "", "http://[fe80::1%eth0]:8500"],
    ["https://consul:8501/behind/proxy/", "", "https://consul:8501/behind/proxy"],
    ["unix:///run/consul.sock", "", "unix:///run/consul.sock"],
  ])("reads CONSUL_HTTP_ADDR=%s with CONSUL_HTTP_SSL=%s as %s", (addr, ssl, expected) => {
    expect(displayAddress(consulSettingsFrom({ CONSUL_HTTP_ADDR: addr, CONSUL_HTTP_SSL: ssl }).address)).toBe(expected);
  });

  it("keeps TLS for a unix socket where it is asked for", () => {
    const { address } = consulSettingsFrom({ CONSUL_HTTP_ADDR: "unix:///run/s", CONSUL_HTTP_SSL: "t" });
    expect(address).toMatchObject({ scheme: "https", socketPath: "/run/s" });
  });

  it.each([
    [{ CONSUL_HTTP_SSL_VERIFY: "False" }, { tls: { ...DEFAULTS.tls, verify: false } }],
    [{ CONSUL_CACERT: "/a", CONSUL_CAPATH: "/b" }, { tls: { ...DEFAULTS.tls, caFile: "/a", caPath: "/b" } }],
    [{ CONSUL_CLIENT_CERT: "/c", CONSUL_CLIENT_KEY: "/k" }, { tls: { ...DEFAULTS.tls, certFile: "/c", keyFile: "/k" } }],
    [{ CONSUL_TLS_SERVER_NAME: "server.dc1.consul:8501" }, { tls: { ...DEFAULTS.tls, serverName: "server.dc1.consul" } }],
    [{ CONSUL_TLS_SERVER_NAME: "[::1]:8501" }, { tls: { ...DEFAULTS.tls, serverName: "::1" } }],
    [{ CONSUL_TLS_SERVER_NAME: "fe80::1" }, { tls: { ...DEFAULTS.tls, serverName: "fe80::1" } }],
    [{ CONSUL_HTTP_TOKEN: "t", CONSUL_HTTP_TOKEN_FILE: "/t" }, { token: "t", tokenFile: "/t" }],
    [{ CONSUL_HTTP_AUTH: "user:pass:word" }, { basicAuth: { username: "user", password: "pass:word" } }],
    [{ CONSUL_HTTP_AUTH: "user" }, { basicAuth: { username: "user", password: "" } }],
    [{ CONSUL_DATACENTER: "east-1" }, { datacenter: "east-1" }],
  ])("reads %j", (env, expected) => {
    expect(consulSettingsFrom(env as Record<string, string>)).toEqual({ ...DEFAULTS, ...expected });
  });

  it.each([
    ["CONSUL_HTTP_ADDR", "ftp://consul:1", "unknown scheme"],
    ["CONSUL_HTTP_ADDR", "consul:0", "1..65535"],
    ["CONSUL_HTTP_ADDR", "consul:70000", "1..65535"],
    ["CONSUL_HTTP_ADDR", "consul:port", "host:port"],
    ["CONSUL_HTTP_ADDR", "::1", "[IPv6]:port"],
    ["CONSUL_HTTP_ADDR", "consul:8500/prefix", "http://host:port/prefix"],
    ["CONSUL_HTTP_ADDR", "unix://run/consul.sock", "unix:///path/to/socket"],
    ["CONSUL_HTTP_ADDR", "http://user:hunter2@consul:8500", "CONSUL_HTTP_AUTH"],
    ["CONSUL_HTTP_SSL", "yes", "write true or false"],
    ["CONSUL_HTTP_SSL_VERIFY", "off", "write true or false"],
    ["CONSUL_CLIENT_CERT", "/cert", "CONSUL_CLIENT_CERT"],
    ["CONSUL_CLIENT_KEY", "/key", "CONSUL_CLIENT_KEY"],
    ["CONSUL_TLS_SERVER_NAME", "server/name", "server.dc1.consul"],
    ["CONSUL_HTTP_TOKEN", "hunter2\n", "SecretID"],
    ["CONSUL_NAMESPACE", "default", "Enterprise"],
    ["CONSUL_PARTITION", "default", "Enterprise"],
    ["CONSUL_DATACENTER", "dc 1", "letters, digits"],
  ])("refuses %s=%j and says what to write", (variable, value, hint) => {
    let error: unknown;
    try {
      consulSettingsFrom({ [variable]: value });
    } catch (thrown) {
      error = thrown;
    }
    expect(error).toBeInstanceOf(ConsulSettingsError);
    expect((error as ConsulSettingsError).message).toContain(hint);
    // Of a pair, the half that is missing is the one to set.
    const missing: Record<string, string> = { CONSUL_CLIENT_CERT: "CONSUL_CLIENT_KEY", CONSUL_CLIENT_KEY: "CONSUL_CLIENT_CERT" };
    expect((error as ConsulSettingsError).variable).toBe(missing[variable] ?? variable);
    expect((error as ConsulSettingsError).message).not.toContain("hunter2");
  });
});

describe("TokenSource", () => {
  it("reads the file again after a refusal, though its size and time stamp are the same", async () => {
    const folder = mkdtempSync(join(tmpdir(), "ibrl-token-"));
    const file = join(folder, "token");
    try {
      writeFileSync(file, "token-a");
      const { atime, mtime } = statSync(file);
      utimesSync(file, atime, mtime);
      const source = new TokenSource(null, file);
      expect(await source.current()).toBe("token-a");
      expect(await source.changedSince("token-a")).toBe(false);
      writeFileSync(file, "token-b");
      utimesSync(file, atime, mtime);
      expect(await source.current()).toBe("token-a");
      expect(await source.changedSince("token-a")).toBe(true);
      expect(await source.current()).toBe("token-b");
    } finally {
      rmSync(folder, { recursive: true });
    }
  });
});
