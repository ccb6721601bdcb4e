/** Names and bits of capabilities: the table that old records depend on, and the way there and back. */
import fc from "fast-check";
import {
  CAPABILITY_NAME_RULE,
  canonicalCapabilities,
  fromBits,
  isCapabilityName,
  KNOWN_CAPABILITIES,
  toBits,
} from "../../src/beacon/capabilities.js";

const name = fc.oneof(fc.constantFrom(...KNOWN_CAPABILITIES), fc.stringMatching(CAPABILITY_NAME_RULE));

test("every known name keeps the bit that old records were written with", () => {
  const bits = Object.fromEntries(KNOWN_CAPABILITIES.map((known) => [known, toBits([known])]));
  const expected = { container: 0, vm: 1, docker: 2, podman: 3, exec: 4, raw_exec: 5, java: 6, qemu: 7, kvm: 8, wasm: 9, gpu: 10, placer: 11 };
  expect(bits).toEqual(Object.fromEntries(Object.entries(expected).map(([known, bit]) => [known, { bits: 2 ** bit, others: [] }])));
});

test("names without a bit travel as names, sorted, each once", () => {
  expect(toBits(["zfs", "vm", "arm64", "vm", "zfs"])).toEqual({ bits: 2, others: ["arm64", "zfs"] });
  expect(toBits([])).toEqual({ bits: 0, others: [] });
});

test("any names come back sorted and unique, in whatever order they went in", () => {
  fc.assert(
    fc.property(fc.array(name), fc.array(name), (a, b) => {
      const { bits, others } = toBits([...a, ...b]);
      expect(fromBits(bits, others)).toEqual(canonicalCapabilities([...b, ...a]));
      expect(toBits([...b, ...a])).toEqual({ bits, others });
      expect(bits).toBeLessThanOrEqual(0xffff_ffff);
      expect(bits).toBeGreaterThanOrEqual(0);
    }),
  );
});

test("any 32 bits are read: bits that a newer release knows are left out, and the others are exact", () => {
  fc.assert(
    fc.property(fc.integer({ min: 0, max: 0xffff_ffff }), (bits) => {
      const names = fromBits(bits);
      expect(toBits(names).bits).toBe((bits & ((1 << KNOWN_CAPABILITIES.length) - 1)) >>> 0);
    }),
  );
});

test.each(["", "-x", ".x", "Docker", "a b", "a/b", "ä", "a\n", "a".repeat(33)])("%j is no name", (bad) => {
  expect(isCapabilityName(bad)).toBe(false);
  expect(() => toBits(["vm", bad])).toThrow(RangeError);
});

test.each(["a", "0", "raw_exec", "containerd-driver", "x.y-z_1", "a".repeat(32)])("%j is a name", (good) => {
  expect(isCapabilityName(good)).toBe(true);
});
