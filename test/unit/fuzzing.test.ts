/** The short form of bench/fuzz.ts: mutated records find no way through the decoders or `open()`, and leave nothing behind. */
import { fuzzDecoders, fuzzOpen } from "../harness/fuzzing.js";
import { heldBytes } from "../harness/heap.js";

test.each([
  ["decoders", fuzzDecoders, 20_000],
  ["open()", fuzzOpen, 2_000],
])("mutated inputs through %s: no throw that is not expected, nothing opens that was not sealed, no growth", (_, fuzz, count) => {
  fuzz(count / 10, 1); // compiled, caches filled
  const before = heldBytes();
  const { outcomes, findings } = fuzz(count, 2);
  expect(findings).toEqual([]);
  // The mutations reach past the first check, and are no noise that fails there.
  expect(Object.keys(outcomes).length).toBeGreaterThan(2);
  expect(heldBytes() - before).toBeLessThan(2_000_000);
});
