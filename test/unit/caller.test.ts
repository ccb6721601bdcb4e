/** Who may ask for changes; what of it reaches a log; and how the token of the state folder is kept. */
import { mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { pino } from "pino";
import { type Credentials } from "../../src/sidecar/api/caller.js";
import { identitiesOf } from "../../src/sidecar/api/certificate-identity.js";
import { createNomadTokenCheck } from "../../src/sidecar/nomad/token-check.js";
import { nomadSettingsFrom } from "../../src/sidecar/nomad/settings.js";
import { API_TOKEN_FILE, loadOrCreateApiToken } from "../../src/sidecar/state/api-token.js";
import { API_TOKEN, BEARER, NOMAD_ACCESSOR, NOMAD_TOKEN, someGuard } from "../harness/some-guard.js";
import { MisbehavingServer } from "./misbehaving-server.js";

const shown = (more: Partial<Credentials> = {}): Credentials => ({ identities: [], ...more });
const authorization = BEARER.Authorization;

describe("a caller is known by", () => {
  test.each<[string, Partial<Credentials>, object]>([
    ["the bearer token", { authorization }, { by: "bearer", name: "bearer" }],
    ["the bearer token, in any case of the scheme", { authorization: `bearer  ${API_TOKEN}` }, { by: "bearer", name: "bearer" }],
    ["the bearer token, its Nomad token kept", { authorization, nomadToken: "t" }, { by: "bearer", name: "bearer", nomadToken: "t" }],
    ["a Nomad token", { nomadToken: NOMAD_TOKEN }, { by: "nomad", name: NOMAD_ACCESSOR, nomadToken: NOMAD_TOKEN }],
    ["a certificate", { identities: ["spiffe://a/b", "a.example"] }, { by: "certificate", name: "spiffe://a/b" }],
    ["a certificate, its Nomad token kept unasked", { identities: ["a"], nomadToken: "t" }, { by: "certificate", name: "a", nomadToken: "t" }],
  ])("%s", async (_, credentials, caller) => {
    expect(await someGuard().admit(shown(credentials))).toEqual(caller);
  });
});

describe("a caller is refused with", () => {
  test.each<[string, Partial<Credentials>, string, RegExp]>([
    ["nothing", {}, "unauthenticated", /api\.token.*X-Nomad-Token.*certificate/],
    ["an empty Nomad token", { nomadToken: "" }, "unauthenticated", /who calls/],
    ["a token that Nomad does not know", { nomadToken: "8176afd3-772d-0b71-8f85-7fa5d903e9d4" }, "unauthenticated", /Nomad does not know/],
    ["a wrong bearer, although a certificate would do", { authorization: "Bearer 0", identities: ["a"] }, "unauthenticated", /not this sidecar's/],
    ["an empty bearer", { authorization: "Bearer " }, "unauthenticated", /not this sidecar's/],
    ["another scheme", { authorization: `Basic ${API_TOKEN}` }, "unauthenticated", /not this sidecar's/],
    ["the token and more", { authorization: `${authorization} x` }, "unauthenticated", /not this sidecar's/],
  ])("%s", async (_, credentials, code, message) => {
    await expect(someGuard().admit(shown(credentials))).rejects.toMatchObject({ name: "CallerError", code, message: expect.stringMatching(message) as string });
  });

  test("a certificate that is not on the list; on it, any of its names will do", async () => {
    const guard = someGuard({ allowed: ["ops.example"] });
    await expect(guard.admit(shown({ identities: ["web.example"] }))).rejects.toMatchObject({ code: "denied", message: expect.stringContaining("web.example") as string });
    expect(await guard.admit(shown({ identities: ["spiffe://x", "ops.example"] }))).toEqual({ by: "certificate", name: "ops.example" });
    // The list is of certificates: another proof still counts.
    expect(await guard.admit(shown({ identities: ["web.example"], nomadToken: NOMAD_TOKEN }))).toMatchObject({ by: "nomad" });
  });

  test("a Nomad that has no ACLs, or cannot be asked: a token proves nothing then", async () => {
    await expect(someGuard({ nomadToken: async () => ({ known: false, reason: "no-acl" }) }).admit(shown({ nomadToken: NOMAD_TOKEN }))).rejects.toMatchObject({ code: "unauthenticated", message: expect.stringContaining("no ACLs") as string });
    await expect(someGuard({ nomadToken: async () => Promise.reject(new Error("no connection")) }).admit(shown({ nomadToken: NOMAD_TOKEN }))).rejects.toMatchObject({ code: "unavailable" });
  });

  test("nothing of what was shown in the log or the message", async () => {
    const lines: string[] = [];
    const guard = someGuard({ logger: pino({ level: "debug" }, { write: (line: string) => void lines.push(line) }) });
    const secrets = ["5ecre7-bearer", "8176afd3-772d-0b71-8f85-7fa5d903e9d4"];
    const refused: string[] = [];
    for (const wrong of [{ authorization: `Bearer ${secrets[0] ?? ""}` }, { nomadToken: secrets[1] }]) {
      await guard.admit(shown(wrong)).catch((error: unknown) => refused.push(String(error)));
    }
    expect(refused).toHaveLength(2);
    await guard.admit(shown({ nomadToken: NOMAD_TOKEN }));
    await guard.admit(shown({ authorization }));
    expect(lines).toHaveLength(4);
    for (const secret of [...secrets, NOMAD_TOKEN, API_TOKEN]) expect([...lines, ...refused].join("\n")).not.toContain(secret);
    expect(lines.join("\n")).toContain(NOMAD_ACCESSOR);
  });
});

describe("the names of a certificate", () => {
  const names = (subjectaltname: string | undefined, CN?: string) => identitiesOf({ subject: { CN } as never, ...(subjectaltname === undefined ? {} : { subjectaltname }) } as never);

  test("URIs first, then DNS names; the common name only without them; addresses are no names", () => {
    expect(names("DNS:a.example, IP Address:10.0.0.1, URI:spiffe://t/ns/default/dc/dc1/svc/web", "cn")).toEqual(["spiffe://t/ns/default/dc/dc1/svc/web", "a.example"]);
    expect(names(undefined, "cn")).toEqual(["cn"]);
    expect(names("IP Address:10.0.0.1", "cn")).toEqual(["cn"]);
    expect(names(undefined)).toEqual([]);
  });

  test("one name that looks like two is none (CVE-2021-44532)", () => {
    expect(names('DNS:"a.example, URI:spiffe://t/ns/default/dc/dc1/svc/ops, DNS:b.example"')).toEqual([]);
    expect(names('DNS:web.example, DNS:"x\\", URI:spiffe://t/ops, DNS:\\"y"')).toEqual(["web.example"]);
    expect(names('DNS:"unended, URI:spiffe://t/ops')).toEqual([]);
  });
});

describe("Nomad is asked about a token", () => {
  const server = new MisbehavingServer();
  const self = (accessor: string, secret: string) => JSON.stringify({ AccessorID: accessor, SecretID: secret });
  beforeAll(() => server.start());
  afterAll(() => server.stop());

  async function verdict(status: number, body: string, token = NOMAD_TOKEN): Promise<unknown> {
    server.behave = (_request, response) => response.writeHead(status).end(body);
    server.requests = [];
    const check = await createNomadTokenCheck(nomadSettingsFrom({ NOMAD_ADDR: `http://127.0.0.1:${String(server.port)}`, NOMAD_TOKEN: "the-sidecars-own" }));
    return check(token).catch((error: unknown) => error);
  }

  // Statuses and bodies as Nomad 1.10.5 gave them to curl.
  test.each<[string, number, string, object]>([
    ["known", 200, self(NOMAD_ACCESSOR, NOMAD_TOKEN), { known: true, accessor: NOMAD_ACCESSOR }],
    ["without ACLs, which answers 200 to any text", 200, self("acls-disabled", ""), { known: false, reason: "no-acl" }],
    ["older, without ACLs", 400, "ACL support disabled", { known: false, reason: "no-acl" }],
    ["the anonymous one", 200, self("anonymous", ""), { known: false, reason: "refused" }],
    ["an answer about another token", 200, self(NOMAD_ACCESSOR, NOMAD_ACCESSOR), { known: false, reason: "refused" }],
    ["unknown", 403, "Permission denied", { known: false, reason: "refused" }],
    ["unknown, before 1.10.1", 404, "ACL token not found", { known: false, reason: "refused" }],
    ["no leader", 500, "No cluster leader", { name: "NomadError", code: "server" }],
    ["a web page", 200, "<html>", { name: "NomadError", code: "protocol" }],
    ["null", 200, "null", { name: "NomadError", code: "protocol" }],
  ])("%s", async (_, status, body, expected) => {
    expect(await verdict(status, body)).toMatchObject(expected);
    expect(server.requests).toMatchObject([{ url: "/v1/acl/token/self", headers: { "x-nomad-token": NOMAD_TOKEN } }]);
  });

  test.each(["", "anonymous", "a\r\nX-Other: 1", "x".repeat(10_000)])("%j is not even sent", async (token) => {
    expect(await verdict(200, self(NOMAD_ACCESSOR, token), token)).toEqual({ known: false, reason: "refused" });
    expect(server.requests).toEqual([]);
  });
});

describe("the token of the state folder", () => {
  let folder: string;
  beforeEach(() => (folder = mkdtempSync(join(tmpdir(), "ibrl-token-"))));
  afterEach(() => rmSync(folder, { recursive: true }));

  test("is made once, 0600, and kept", () => {
    const token = loadOrCreateApiToken(folder);
    const path = join(folder, API_TOKEN_FILE);
    expect(token).toMatch(/^[0-9a-f]{64}$/);
    expect(readFileSync(path, "utf8")).toBe(`${token}\n`);
    expect(statSync(path).mode & 0o777).toBe(0o600);
    expect(loadOrCreateApiToken(folder)).toBe(token);
    rmSync(path);
    expect(loadOrCreateApiToken(folder)).not.toBe(token);
  });

  test.each(["", "short\n", `${API_TOKEN} ${API_TOKEN}`])("that is %j is refused, and left as it was", (content) => {
    const path = join(folder, API_TOKEN_FILE);
    writeFileSync(path, content, { mode: 0o600 });
    expect(() => loadOrCreateApiToken(folder)).toThrow(expect.objectContaining({ name: "StateError", code: "content", path }));
    expect(readFileSync(path, "utf8")).toBe(content);
  });

  test("that others can read is refused", () => {
    writeFileSync(join(folder, API_TOKEN_FILE), API_TOKEN, { mode: 0o644 });
    expect(() => loadOrCreateApiToken(folder)).toThrow(expect.objectContaining({ name: "StateError", code: "mode" }));
  });
});
