/** A spawn request from outside: each field's range, whatever carried it; and what makes two requests the same one. */
import fc from "fast-check";
import { cluster } from "../../src/proto/messages.js";
import { PlacementError } from "../../src/sidecar/placement-error.js";
import { orderHash, type RawSpawn, readSpawn } from "../../src/sidecar/spawn-order.js";

const GOOD: RawSpawn = { image_ref: "nginx", cores: 1, memory: 64 };
const read = (raw: RawSpawn) => readSpawn(raw, () => "made");

function problemOf(raw: RawSpawn): string {
  try {
    read(raw);
  } catch (error) {
    expect(error).toMatchObject({ name: "PlacementError", code: "invalid" });
    return (error as Error).message;
  }
  return "none";
}

test("a request is read whole, and its ID is made where it has none", () => {
  const raw = { ...GOOD, ports: { 8080: 80, 443: 3000 }, dynamic_ports: [90], env: ["A=b=c", "_1="], dry_run: true, policy: Buffer.from("{}"), allow_overlap: true };
  expect(read(raw)).toEqual({
    imageRef: "nginx", cores: 1, memoryMb: 64, ports: [{ host: 443, workload: 3000 }, { host: 8080, workload: 80 }], dynamicPorts: [90],
    env: ["A=b=c", "_1="], dryRun: true, policy: Buffer.from("{}"), requestId: "made", allowOverlap: true,
  });
  expect(read({ ...GOOD, request_id: "mine:1" }).requestId).toBe("mine:1");
});

test.each<[RawSpawn, RegExp]>([
  [{ image_ref: undefined }, /^image_ref is missing/],
  [{ image_ref: "" }, /^image_ref is missing/],
  [{ image_ref: "a b" }, /^image_ref .*1 to 1024/],
  [{ image_ref: `x${"y".repeat(1024)}` }, /^image_ref .*1 to 1024/],
  [{ cores: 0 }, /^cores 0 .*1 to 512/],
  [{ cores: -1 }, /^cores -1 .*1 to 512/],
  [{ cores: 1.5 }, /^cores 1\.5 /],
  [{ cores: "1" }, /^cores "1" /],
  [{ cores: 4_294_967_295 }, /^cores /],
  [{ memory: 0 }, /^memory 0 .*10 to 4194304 \(megabytes\)/],
  [{ memory: 2 ** 32 }, /^memory 4294967296 /],
  [{ memory: Number.NaN }, /^memory NaN /],
  [{ ports: { 0: 80 } }, /^ports: the host port 0 .*1 to 65535/],
  [{ ports: { "-1": 80 } }, /^ports: the host port -1 .*1 to 65535/],
  [{ ports: { 70_000: 80 } }, /^ports: the host port 70000 .*1 to 65535/],
  [{ ports: { 80: 0 } }, /^ports: the workload port 0 /],
  [{ ports: { 80: 70_000 } }, /^ports: the workload port 70000 /],
  [{ ports: JSON.parse('{"__proto__": 80}') as object }, /^ports: the host port "__proto__" /],
  [{ ports: { 80: 1, 81: 1 } }, /^ports give a workload port twice/],
  [{ ports: { 80: 1 }, dynamic_ports: [1] }, /^ports give a workload port twice/],
  [{ ports: [80] }, /^ports is an object/],
  [{ ports: Object.fromEntries(Array.from({ length: 65 }, (_, i) => [i + 1, i + 1])) }, /^ports has at most 64/],
  [{ env: ["A"] }, /^env "A": write NAME=value/],
  [{ env: ["=b"] }, /^env "": /],
  [{ env: ["1A=b"] }, /^env "1A": /],
  [{ env: ["__proto__=b"] }, /^env "__proto__": /],
  [{ env: ["A=\0"] }, /^env "A": /],
  [{ env: [7] }, /^env /],
  [{ env: [`A=${"x".repeat(32_768)}`] }, /^env has at most 32768 bytes/],
  [{ env: "A=b" }, /^env is a list/],
  [{ request_id: "a b" }, /^request_id must match/],
  [{ policy: 7 }, /^policy is the bytes/],
  [{ policy: new Uint8Array(65_537) }, /^policy has at most 65536 bytes/],
  [{ dry_run: "yes" }, /^dry_run is true or false/],
])("%j is refused by name and range", (wrong, problem) => {
  expect(problemOf({ ...GOOD, ...wrong })).toMatch(problem);
});

test("numbers that do not fit the wire arrive as others, and are out of range there too", () => {
  const { VmSpawnRequest } = cluster.services.api;
  // -1 and 2^32 as a client without checks encodes them: ten octets of varint, and 32 bits too many.
  const carried = (field: number, ...value: number[]) => problemOf(VmSpawnRequest.decode(Uint8Array.from([0x1a, 1, 0x78, ...(field === 8 ? [16, 64] : [8, 1]), field, ...value])));
  expect(carried(8, 255, 255, 255, 255, 255, 255, 255, 255, 255, 1)).toMatch(/^cores 4294967295 /);
  expect(carried(16, 128, 128, 128, 128, 16)).toMatch(/^memory 0 /);
});

test("whatever comes is read or refused by a field's name, and changes no prototype", () => {
  const anything = fc.anything({ withNullPrototype: true, withBigInt: true });
  const raw = fc.record({ image_ref: anything, cores: anything, memory: anything, ports: anything, dynamic_ports: anything, env: anything, dry_run: anything, policy: anything, request_id: anything, allow_overlap: anything }, { requiredKeys: [] });
  fc.assert(fc.property(raw, (value) => {
    try {
      read({ ...GOOD, ...value });
    } catch (error) {
      if (!(error instanceof PlacementError)) throw error;
      expect(error.message).toMatch(new RegExp(`^(${Object.keys(value).join("|")})\\b`));
    }
    expect(Object.keys(Object.prototype)).toEqual([]);
  }));
});

test("the same request has the same hash, whatever its ID; another one has another", () => {
  const hashes = ([{}, { request_id: "x" }, { dry_run: true }, { cores: 2 }, { env: ["A=b"] }, { ports: { 1: 1 } }, { dynamic_ports: [1] }, { policy: Buffer.from("{}") }, { allow_overlap: true }] satisfies RawSpawn[]).map((more) => orderHash(read({ ...GOOD, ...more })));
  expect(new Set(hashes.slice(0, 3)).size).toBe(1);
  expect(new Set(hashes).size).toBe(7);
});
