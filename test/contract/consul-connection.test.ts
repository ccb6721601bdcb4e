/** Every way to reach an agent: unix socket, TLS with client certificates and another server name. */
import { copyFile, mkdir } from "node:fs/promises";
import { join } from "node:path";
import { type OneAgent, START_WITHIN_MS, startOneAgent } from "./one-agent.js";

describe("connecting to a real agent", () => {
  let one: OneAgent;
  let https: string;
  const file = (name: string) => join(one.folder, name);

  beforeAll(async () => {
    one = await startOneAgent(async ({ folder, httpsPort, consul }) => {
      await consul("tls", "ca", "create");
      await consul("tls", "cert", "create", "-server", "-dc", "dc1");
      await consul("tls", "cert", "create", "-client");
      return {
        ports: { https: httpsPort },
        addresses: { http: `127.0.0.1 unix://${join(folder, "http.sock")}` },
        tls: {
          defaults: {
            ca_file: join(folder, "consul-agent-ca.pem"),
            cert_file: join(folder, "dc1-server-consul-0.pem"),
            key_file: join(folder, "dc1-server-consul-0-key.pem"),
          },
          https: { verify_incoming: true },
          // The plain listener stays, for the unix socket and for asking whether the agent is ready.
          internal_rpc: { verify_incoming: false },
        },
      };
    });
    https = `https://127.0.0.1:${one.httpsPort}`;
  }, START_WITHIN_MS);
  afterAll(() => one?.stop(), 60_000);

  const clientCertificate = () => ({
    CONSUL_CLIENT_CERT: file("dc1-client-consul-0.pem"),
    CONSUL_CLIENT_KEY: file("dc1-client-consul-0-key.pem"),
  });
  const authority = () => ({ CONSUL_CACERT: file("consul-agent-ca.pem") });

  it("reaches it over a unix socket", async () => {
    const api = one.connect({ CONSUL_HTTP_ADDR: `unix://${file("http.sock")}` });
    await expect(api.self()).resolves.toMatchObject({ nodeName: "contract-1" });
    expect(await api.kvPut("over/unix", "socket")).toBe(true);
  });

  it("names the socket that is not there", async () => {
    const api = one.connect({ CONSUL_HTTP_ADDR: "unix:///nowhere/consul.sock" });
    await expect(api.self()).rejects.toMatchObject({ code: "unreachable", message: expect.stringContaining("unix:///nowhere/consul.sock") });
  });

  it("reaches it over TLS with its CA and a client certificate", async () => {
    const api = one.connect({ CONSUL_HTTP_ADDR: https, ...authority(), ...clientCertificate() });
    await expect(api.self()).resolves.toMatchObject({ nodeName: "contract-1" });
  });

  it("turns an address without a scheme to TLS with CONSUL_HTTP_SSL", async () => {
    const api = one.connect({ CONSUL_HTTP_ADDR: `127.0.0.1:${one.httpsPort}`, CONSUL_HTTP_SSL: "true", ...authority(), ...clientCertificate() });
    await expect(api.self()).resolves.toMatchObject({ nodeName: "contract-1" });
  });

  it("takes the CA from a folder", async () => {
    await mkdir(file("authorities/nested"), { recursive: true });
    await copyFile(file("consul-agent-ca.pem"), file("authorities/nested/ca.pem"));
    const api = one.connect({ CONSUL_HTTP_ADDR: https, CONSUL_CAPATH: file("authorities"), ...clientCertificate() });
    await expect(api.self()).resolves.toMatchObject({ nodeName: "contract-1" });
  });

  it.each([
    ["server.dc1.consul", "accepted"],
    ["server.dc1.consul:8501", "accepted"],
    ["127.0.0.1", "accepted"],
    ["server.dc2.consul", "refused"],
    ["127.0.0.2", "refused"],
  ])("checks the certificate for CONSUL_TLS_SERVER_NAME=%s: %s", async (name, verdict) => {
    const api = one.connect({ CONSUL_HTTP_ADDR: https, CONSUL_TLS_SERVER_NAME: name, ...authority(), ...clientCertificate() });
    if (verdict === "accepted") await expect(api.self()).resolves.toMatchObject({ nodeName: "contract-1" });
    else await expect(api.self()).rejects.toMatchObject({ code: "unreachable", message: expect.stringContaining("does not match certificate's altnames") });
  });

  it("refuses a server whose CA it does not know, unless CONSUL_HTTP_SSL_VERIFY=false", async () => {
    const unknown = one.connect({ CONSUL_HTTP_ADDR: https, ...clientCertificate() });
    await expect(unknown.self()).rejects.toMatchObject({ code: "unreachable", message: expect.stringMatching(/certificate/) });
    const unverified = one.connect({ CONSUL_HTTP_ADDR: https, CONSUL_HTTP_SSL_VERIFY: "false", ...clientCertificate() });
    await expect(unverified.self()).resolves.toMatchObject({ nodeName: "contract-1" });
  });

  it("reports being refused for want of a client certificate", async () => {
    const api = one.connect({ CONSUL_HTTP_ADDR: https, ...authority() });
    await expect(api.self()).rejects.toMatchObject({ code: "unreachable" });
  });

  it("says so when plain HTTP meets a TLS port, and TLS a plain one", async () => {
    await expect(one.connect({ CONSUL_HTTP_ADDR: `http://127.0.0.1:${one.httpsPort}` }).self()).rejects.toMatchObject({ name: "ConsulError" });
    await expect(one.connect({ CONSUL_HTTP_ADDR: `https://${one.agent.httpAddr}`, ...authority() }).self()).rejects.toMatchObject({ code: "unreachable" });
  });

  it("reads another datacenter only where it is asked to", async () => {
    const api = one.connect({ CONSUL_DATACENTER: "elsewhere" });
    await expect(api.nodes()).rejects.toMatchObject({ code: "server", message: expect.stringContaining("No path to datacenter") });
    await expect(api.nodes({ datacenter: "dc1" })).resolves.toMatchObject({ knownLeader: true });
    await expect(api.self()).resolves.toMatchObject({ datacenter: "dc1" });
  });

  it.each([
    ["CONSUL_CACERT", "nowhere.pem"],
    ["CONSUL_CAPATH", "nowhere"],
    ["CONSUL_CLIENT_CERT", "nowhere.pem"],
    ["CONSUL_CLIENT_KEY", "dc1-server-consul-0-key.pem"],
  ])("names %s where its file cannot be used", (variable, name) => {
    const env = { CONSUL_HTTP_ADDR: https, ...clientCertificate(), [variable]: file(name) };
    expect(() => one.connect(env)).toThrow(expect.objectContaining({ name: "ConsulSettingsError", variable }));
  });
});
