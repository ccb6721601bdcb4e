/** Where to probe, and with which key: what is taken, and what is refused. */
import { chmodSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { readKeyFile } from "../../src/sidecar/probe/key-file.js";
import { parseProbeAddress, ProbeAddressError, resolveProbeAddress } from "../../src/sidecar/probe/probe-address.js";

test.each<[string, string, number]>([
  ["reflector.example", "reflector.example", 8862],
  ["reflector.example:862", "reflector.example", 862],
  ["192.0.2.9", "192.0.2.9", 8862],
  ["192.0.2.9:65535", "192.0.2.9", 65_535],
  ["::1", "::1", 8862],
  ["[::1]", "::1", 8862],
  ["[2001:db8::1]:862", "2001:db8::1", 862],
  ["fe80::1%eth0", "fe80::1%eth0", 8862],
  ["[fe80::1%eth0]:862", "fe80::1%eth0", 862],
])("%s", (text, host, port) => {
  expect(parseProbeAddress(text, 8862)).toEqual({ host, port });
});

test.each(["", ":862", "host:", "host:0", "host:65536", "host:8e2", "host:862:1", "[192.0.2.9]:862", "[name]:1", "[::1", "a b", "http://x", "host/x"])("%j is refused", (text) => {
  expect(parseProbeAddress(text, 8862)).toBeUndefined();
});

test("numeric addresses are taken as they are, and refused in the other family", async () => {
  expect(await resolveProbeAddress("192.0.2.9")).toBe("192.0.2.9");
  expect(await resolveProbeAddress("::1", 6)).toBe("::1");
  await expect(resolveProbeAddress("192.0.2.9", 6)).rejects.toMatchObject({ code: "wrong-family", message: "192.0.2.9 is an IPv4 address" });
  await expect(resolveProbeAddress("::1", 4)).rejects.toBeInstanceOf(ProbeAddressError);
});

test("names are resolved, in the family that was asked for", async () => {
  expect(await resolveProbeAddress("localhost", 4)).toBe("127.0.0.1");
});

describe("the key file", () => {
  const folder = mkdtempSync(join(tmpdir(), "key-"));
  afterAll(() => rmSync(folder, { recursive: true }));
  const keyOf = (content: string | Buffer, mode = 0o600) => {
    const path = join(folder, "key");
    writeFileSync(path, content);
    chmodSync(path, mode);
    const { key, exposed } = readKeyFile(path);
    return { key: Buffer.from(key).toString("hex"), exposed };
  };

  test.each<[string | Buffer, string]>([
    ["secret", "736563726574"],
    ["secret\n", "736563726574"],
    ["secret\r\n", "736563726574"],
    ["secret\n\n", "7365637265740a"],
    ["hex:00fF\n", "00ff"],
    [Buffer.from([0, 10, 255]), "000aff"],
  ])("%j", (content, key) => {
    expect(keyOf(content)).toEqual({ key, exposed: false });
  });

  test.each(["", "\n", "hex:", "hex:0", "hex:xy", "x".repeat(1_025), "y".repeat(100_000)])("%j is refused", (content) => {
    expect(() => keyOf(content)).toThrow(RangeError);
  });

  test("a key that others can read is told", () => {
    expect(keyOf("secret", 0o640).exposed).toBe(process.platform !== "win32");
  });
});
