import fc from "fast-check";
import { printable, printableLines, safeJson } from "../../src/commands/views/printable.js";

const UNSAFE = /[\p{Cc}\p{Cf}\p{Cs}\p{Zl}\p{Zp}]/u;
const anything = fc.string({ unit: "binary" });

test("nothing that steers a terminal is left", () => {
  fc.assert(
    fc.property(anything, (text) => {
      expect(printable(text)).not.toMatch(UNSAFE);
      expect(printableLines(text).replaceAll("\n", "")).not.toMatch(UNSAFE);
    }),
  );
});

test("what is harmless stays as it is", () => {
  fc.assert(fc.property(anything, (text) => UNSAFE.test(text) || printable(text) === text));
  expect(printable("node-1 集群 ё é")).toBe("node-1 集群 ё é");
});

test("JSON keeps its value and loses every raw control character", () => {
  fc.assert(
    fc.property(fc.jsonValue({ stringUnit: "binary" }), fc.constantFrom(undefined, 2), (value, indent) => {
      const text = safeJson(value, indent);
      expect(text.replaceAll("\n", "")).not.toMatch(UNSAFE);
      expect(JSON.parse(text)).toEqual(JSON.parse(JSON.stringify(value)));
    }),
  );
});
