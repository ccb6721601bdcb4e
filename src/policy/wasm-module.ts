/**
 * Whether a WebAssembly module may run as a policy, read from its bytes before anything of it is compiled. A worker's
 * resourceLimits do not bound WebAssembly memory, so the module itself must: a memory, and each table, needs a maximum
 * under the cap. Binary format: WebAssembly Core 2.0, section 5. What the exports are is checked once it is compiled
 * (wasm-worker.ts). docs/policy-wasm.md is the page for authors.
 */

/** `ibrl`: no imports, our ABI. `opa`: what `opa build -t wasm` makes; the host gives the memory. */
export type WasmProfile = "ibrl" | "opa";

export interface WasmLimits {
  moduleBytes: number;
  memoryPages: number;
  tableElements: number;
}

/** 16 MiB hold a batch of 50,000 candidates with its verdicts; 4 MiB hold what `opa build` emits, which carries OPA's own evaluator. */
export const WASM_LIMITS: WasmLimits = { moduleBytes: 4 * 1024 * 1024, memoryPages: 256, tableElements: 65_536 };

/** What `opa build` needs of its host, and nothing else (Open Policy Agent, "WebAssembly", ABI 1.x). */
export const OPA_IMPORTS = ["memory", "opa_abort", "opa_println", "opa_builtin0", "opa_builtin1", "opa_builtin2", "opa_builtin3", "opa_builtin4"];

export type ModuleVerdict = { ok: true; profile: WasmProfile } | { ok: false; detail: string };

interface Limits {
  minimum: number;
  maximum?: number;
}

interface Declared {
  imports: { module: string; name: string }[];
  memories: Limits[];
  tables: Limits[];
}

/** Never throws: bytes that cannot be read are a reason. */
export function inspectModule(bytes: Uint8Array, limits: WasmLimits = WASM_LIMITS): ModuleVerdict {
  if (bytes.length > limits.moduleBytes) return refused(`is ${String(bytes.length)} bytes; at most ${String(limits.moduleBytes)}`);
  let declared: Declared;
  try {
    declared = readSections(new Reader(bytes));
  } catch (error) {
    return refused(error instanceof MalformedModule ? error.message : `cannot be read: ${String(error)}`);
  }
  const { imports, memories, tables } = declared;
  const isOpa = imports.length > 0 && imports.every(({ module, name }) => module === "env" && OPA_IMPORTS.includes(name));
  if (imports.length > 0 && !isOpa) {
    const named = imports.map(({ module, name }) => `${module}.${name}`).join(", ");
    return refused(`imports ${named}; a policy imports nothing (AssemblyScript: --use abort=), but for what opa build needs`);
  }
  for (const { maximum } of tables) {
    if (maximum === undefined) return refused("has a table without a maximum");
    if (maximum > limits.tableElements) return refused(`has a table of up to ${String(maximum)} elements; at most ${String(limits.tableElements)}`);
  }
  if (isOpa) return memories.length === 0 ? { ok: true, profile: "opa" } : refused("has a memory of its own beside the imported one");
  const [memory] = memories;
  if (memory === undefined || memories.length > 1) return refused(`has ${String(memories.length)} memories; exactly one is needed`);
  if (memory.maximum === undefined) {
    return refused("has a memory without a maximum (AssemblyScript: --maximumMemory 64; lld: --max-memory=4194304)");
  }
  if (memory.maximum > limits.memoryPages) {
    return refused(`has a memory of up to ${String(memory.maximum)} pages of 64 KiB; at most ${String(limits.memoryPages)}`);
  }
  return { ok: true, profile: "ibrl" };
}

function refused(detail: string): ModuleVerdict {
  return { ok: false, detail: `the module ${detail}` };
}

class MalformedModule extends Error {
  override readonly name = "MalformedModule";
}

const SECTION = { import: 2, table: 4, memory: 5 } as const;
const EXTERNAL = { function: 0, table: 1, memory: 2, global: 3 } as const;

function readSections(reader: Reader): Declared {
  if (reader.text(4, "latin1") !== "\0asm" || reader.u32le() !== 1) throw new MalformedModule("is no WebAssembly of version 1");
  const declared: Declared = { imports: [], memories: [], tables: [] };
  while (!reader.atEnd) {
    const id = reader.byte();
    const section = reader.part(reader.u32());
    if (id === SECTION.import) {
      for (let left = section.u32(); left > 0; left--) readImport(section, declared);
    } else if (id === SECTION.table) {
      for (let left = section.u32(); left > 0; left--) declared.tables.push(readTable(section));
    } else if (id === SECTION.memory) {
      for (let left = section.u32(); left > 0; left--) declared.memories.push(readLimits(section));
    }
  }
  return declared;
}

function readImport(section: Reader, declared: Declared): void {
  declared.imports.push({ module: section.text(section.u32()), name: section.text(section.u32()) });
  const kind = section.byte();
  if (kind === EXTERNAL.function) section.u32();
  else if (kind === EXTERNAL.table) declared.tables.push(readTable(section));
  else if (kind === EXTERNAL.memory) readLimits(section); // the host makes it, with the host's maximum
  else if (kind === EXTERNAL.global) section.part(2);
  else throw new MalformedModule(`imports something of kind ${String(kind)}`);
}

function readTable(section: Reader): Limits {
  const type = section.byte();
  if (type !== 0x70 && type !== 0x6f) throw new MalformedModule("has a table of a kind that policies do not need");
  return readLimits(section);
}

/** Flags: 0 no maximum, 1 a maximum. Shared and 64-bit memories (2 and up) are refused. */
function readLimits(section: Reader): Limits {
  const flags = section.byte();
  if (flags > 1) throw new MalformedModule("has a shared or 64-bit memory");
  const minimum = section.u32();
  return flags === 1 ? { minimum, maximum: section.u32() } : { minimum };
}

class Reader {
  #at = 0;

  constructor(private readonly bytes: Uint8Array) {}

  get atEnd(): boolean {
    return this.#at >= this.bytes.length;
  }

  byte(): number {
    const value = this.bytes[this.#at];
    if (value === undefined) throw new MalformedModule("ends within a section");
    this.#at += 1;
    return value;
  }

  /** LEB128, as the binary format writes every count and size. */
  u32(): number {
    let value = 0;
    for (let shift = 0; shift < 35; shift += 7) {
      const byte = this.byte();
      value += (byte & 0x7f) * 2 ** shift;
      if (byte < 0x80) {
        if (value > 0xffff_ffff) break;
        return value;
      }
    }
    throw new MalformedModule("has a number of more than 32 bits");
  }

  u32le(): number {
    return this.byte() + this.byte() * 0x100 + this.byte() * 0x1_0000 + this.byte() * 0x100_0000;
  }

  part(length: number): Reader {
    if (this.#at + length > this.bytes.length) throw new MalformedModule("ends within a section");
    const part = new Reader(this.bytes.subarray(this.#at, this.#at + length));
    this.#at += length;
    return part;
  }

  text(length: number, encoding: "utf8" | "latin1" = "utf8"): string {
    return Buffer.from(this.part(length).bytes).toString(encoding);
  }
}
