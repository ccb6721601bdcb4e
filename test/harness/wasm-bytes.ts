/** WebAssembly modules written byte by byte, so that tests have the ones that no compiler makes. Core 2.0, section 5. */

export interface ModuleParts {
  /** Page limits; null leaves the memory out. */
  memory?: { min: number; max?: number; flags?: number } | null;
  table?: { min: number; max?: number };
  imports?: { module: string; name: string; kind?: "function" | "memory" }[];
  /** Bodies without their end; `alloc` gives address 1024 unless told. */
  alloc?: number[] | null;
  evaluate?: number[] | null;
  start?: number[];
  exportMemory?: boolean;
  /** What lies in the memory from the start. */
  data?: { at: number; bytes: Uint8Array };
}

export const OP = { unreachable: 0x00, loop: 0x03, br: 0x0c, end: 0x0b, call: 0x10, drop: 0x1a, i32: 0x41, i64: 0x42, memoryGrow: 0x40 } as const;
const EMPTY = 0x40;
export const LOOP_FOREVER = [OP.loop, EMPTY, OP.br, 0, OP.end, OP.unreachable];

export function u32(value: number): number[] {
  const low = value & 0x7f;
  return value < 0x80 ? [low] : [low | 0x80, ...u32(Math.floor(value / 128))];
}
/** Signed LEB128, of any size. */
export function s64(value: bigint): number[] {
  const low = Number(value & 0x7fn);
  const rest = value >> 7n;
  return (rest === 0n && (low & 0x40) === 0) || (rest === -1n && (low & 0x40) !== 0) ? [low] : [low | 0x80, ...s64(rest)];
}
/** What `evaluate` returns: pointer in the upper half, length in the lower. */
export const packed = (pointer: number, length: number): number[] => [OP.i64, ...s64(BigInt.asIntN(64, (BigInt(pointer) << 32n) | BigInt(length)))];

/** `body` where the batch has more than one candidate; otherwise one that passes, with a score of 0.5 and this reason. */
export function onlyOne(body: number[], reason = Buffer.from("fine")): ModuleParts {
  const result = Buffer.alloc(32 + reason.length);
  [1, 1, 1, 32, reason.length, 0].forEach((value, i) => result.writeUInt32LE(value, 4 * i));
  result.writeBigInt64LE(500_000n, 24);
  reason.copy(result, 32);
  const countIsNotOne = [0x20, 0, 0x28, 2, 4, OP.i32, 1, 0x47]; // i32.load of the batch's u32 at 4
  return { evaluate: [...countIsNotOne, 0x04, EMPTY, ...body, OP.end, ...packed(8192, result.length)], data: { at: 8192, bytes: result } };
}

const vector = (items: number[][]): number[] => [...u32(items.length), ...items.flat()];
const section = (id: number, body: number[]): number[] => [id, ...u32(body.length), ...body];
const text = (value: string): number[] => vector([...Buffer.from(value)].map((byte) => [byte]));
const limits = ({ min, max, flags }: { min: number; max?: number; flags?: number }): number[] => [
  flags ?? (max === undefined ? 0 : 1), ...u32(min), ...(max === undefined ? [] : u32(max)),
];

export function wasmModule(parts: ModuleParts = {}): Uint8Array {
  const { memory = { min: 1, max: 16 }, table, imports = [], alloc = [OP.i32, ...s64(1024n)], evaluate = packed(0, 0), start, exportMemory = true, data } = parts;
  const [I32, I64, FUNC] = [0x7f, 0x7e, 0x60];
  const types = [[FUNC, 1, I32, 1, I32], [FUNC, 2, I32, I32, 1, I64], [FUNC, 0, 0]];
  const imported = imports.filter(({ kind = "function" }) => kind === "function").length;
  const functions = [alloc && { type: 0, name: "alloc", body: alloc }, evaluate && { type: 1, name: "evaluate", body: evaluate }, start && { type: 2, name: "", body: start }]
    .filter((f) => f !== null && f !== undefined);
  const exports = functions.flatMap(({ name }, index) => (name === "" ? [] : [[...text(name), 0, ...u32(imported + index)]]));
  if (memory !== null && exportMemory) exports.push([...text("memory"), 2, 0]);
  const body = ({ body: code }: { body: number[] }): number[] => [...u32(code.length + 2), 0, ...code, OP.end];
  return Uint8Array.from([
    ...Buffer.from("\0asm"), 1, 0, 0, 0,
    ...section(1, vector(types)),
    ...(imports.length === 0 ? [] : section(2, vector(imports.map(({ module, name, kind = "function" }) => [...text(module), ...text(name), ...(kind === "function" ? [0, 2] : [2, 0, 1])])))),
    ...section(3, vector(functions.map(({ type }) => [type]))),
    ...(table === undefined ? [] : section(4, vector([[0x70, ...limits(table)]]))),
    ...(memory === null ? [] : section(5, vector([limits(memory)]))),
    ...section(7, vector(exports)),
    ...(start === undefined ? [] : section(8, u32(imported + functions.length - 1))),
    ...section(10, vector(functions.map(body))),
    ...(data === undefined ? [] : section(11, vector([[0, OP.i32, ...s64(BigInt(data.at)), OP.end, ...vector([...data.bytes].map((byte) => [byte]))]]))),
  ]);
}
