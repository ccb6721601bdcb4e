/** Capabilities follow what was found; the host is tried with real sockets and files. */
import { execFileSync } from "node:child_process";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { createServer, type Server } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { capabilitiesOf, capabilityProblem } from "../../src/sidecar/readings/capabilities.js";
import { defaultHostPaths, type HostFindings, readHost } from "../../src/sidecar/readings/host.js";
import { measured, unmeasured } from "../../src/sidecar/readings/reading.js";

const BARE: HostFindings = { kvm: false, containerEngine: false };
const NO_NOMAD = unmeasured("nomad-unreachable");
const healthy = (...names: string[]) =>
  measured({ drivers: new Map(names.map((name) => [name, { detected: true, healthy: true }])) });

test.each<[string, Parameters<typeof capabilitiesOf>, string[]]>([
  ["nothing found, nothing claimed", [NO_NOMAD, BARE, []], []],
  ["drivers by their names", [healthy("raw_exec", "java", "exec"), BARE, []], ["exec", "java", "raw_exec"]],
  ["docker runs containers", [healthy("docker"), BARE, []], ["container", "docker"]],
  ["podman runs containers", [healthy("podman"), BARE, []], ["container", "podman"]],
  ["containerd runs containers", [healthy("containerd-driver"), BARE, []], ["container", "containerd-driver"]],
  ["qemu runs machines, with KVM or without", [healthy("qemu"), BARE, []], ["qemu", "vm"]],
  ["an engine without Nomad", [NO_NOMAD, { ...BARE, containerEngine: true }, []], ["container"]],
  ["KVM without Nomad", [NO_NOMAD, { ...BARE, kvm: true }, []], ["kvm", "vm"]],
  ["extras join, each name once", [healthy("exec"), { ...BARE, kvm: true }, ["gpu", "vm", "arm64"]], ["arm64", "exec", "gpu", "kvm", "vm"]],
])("%s", (_, input, names) => {
  expect(capabilitiesOf(...input)).toEqual({ names, unnameable: [] });
});

test.each([
  { detected: true, healthy: false },
  { detected: false, healthy: true },
  { detected: false, healthy: false },
])("a driver that is %j is not claimed, nor what it would bring", (driver) => {
  const node = measured({ drivers: new Map([["docker", driver], ["qemu", driver]]) });
  expect(capabilitiesOf(node, BARE, []).names).toEqual([]);
});

test("a driver whose name no beacon can carry is told apart, not carried", () => {
  const found = capabilitiesOf(healthy("My Driver", "exec", "__proto__"), BARE, []);
  expect(found).toEqual({ names: ["exec"], unnameable: ["My Driver", "__proto__"] });
});

test("an extra that is no name is refused with the rule", () => {
  expect(capabilityProblem("gpu")).toBeUndefined();
  expect(capabilityProblem("GPU 1")).toContain("must match");
});

describe("the host", () => {
  let folder: string;
  const servers: Server[] = [];

  beforeEach(async () => {
    folder = await mkdtemp(join(tmpdir(), "ibrl-host-"));
  });
  afterEach(async () => {
    await Promise.all(servers.splice(0).map((server) => new Promise((resolve) => server.close(resolve))));
    await rm(folder, { recursive: true });
  });

  async function listen(name: string): Promise<string> {
    const path = join(folder, name);
    const server = createServer((socket) => socket.on("error", () => {}).end());
    servers.push(server);
    await new Promise<void>((resolve) => server.listen(path, resolve));
    return path;
  }

  test("has an engine where one of the sockets accepts", async () => {
    const engineSockets = [join(folder, "absent"), await listen("podman.sock")];
    expect(await readHost({ kvm: join(folder, "kvm"), engineSockets })).toEqual({ kvm: false, containerEngine: true });
  });

  test("has none where the socket's file has outlived its engine, or is no socket", async () => {
    const plain = join(folder, "plain");
    await writeFile(plain, "");
    // A killed process leaves its socket's file behind.
    const stale = join(folder, "stale");
    const script = `require("net").createServer().listen(${JSON.stringify(stale)}, () => process.kill(process.pid, "SIGKILL"))`;
    expect(() => execFileSync(process.execPath, ["-e", script], { stdio: "ignore" })).toThrow();
    expect(await readHost({ kvm: plain, engineSockets: [stale, plain] })).toEqual({ kvm: true, containerEngine: false });
  });

  test("has no KVM where the device is absent or is a folder", async () => {
    expect((await readHost({ kvm: join(folder, "absent"), engineSockets: [] })).kvm).toBe(false);
    expect((await readHost({ kvm: folder, engineSockets: [] })).kvm).toBe(false);
  });

  test("looks for rootless engines only where there is a runtime folder", () => {
    expect(defaultHostPaths().engineSockets).not.toContainEqual(expect.stringContaining("undefined"));
    expect(defaultHostPaths("/run/user/7").engineSockets).toContain("/run/user/7/podman/podman.sock");
  });
});
