/**
 * What a setting is, where its value may come from, and the value as its kind has it: texts that cannot be right are errors that
 * name their source. Which settings there are is settings.ts.
 */

type Kind = "text" | "list" | "number" | "duration" | "boolean" | "choice";

export interface SettingSpec {
  /** Flag without dashes, and key of the config file. */
  name: string;
  env: string;
  kind: Kind;
  help: string;
  group: "Node" | "Trust" | "Serving" | "Measuring" | "Policy" | "Beacon" | "Consul" | "Nomad" | "Placement" | "Logging" | "Timing";
  default?: string;
  /** The values of a choice. */
  choices?: readonly string[];
  /** Inclusive bounds of a number, or of a duration in milliseconds. */
  min?: number;
  max?: number;
  /** Environment and file only. */
  secret?: true;
}

/** Setting name to text, or texts for a list; absent where nothing said it. */
export type RawSettings = Partial<Record<string, string | readonly string[] | boolean | number>>;

export class SettingsError extends Error {
  override readonly name = "SettingsError";
  constructor(
    /** Where the value came from, as a person would name it: `--beat`, `IBRL_BEAT`, `"beat" in FILE`. */
    readonly where: string,
    message: string,
  ) {
    super(`${where}: ${message}`);
  }
}

export interface HostPort {
  host: string;
  port: number;
}

export interface SettingSources {
  flags: RawSettings;
  env: Record<string, string | undefined>;
  file?: { path: string; content: RawSettings };
  hostname: string;
  isRoot: boolean;
}

export interface Found {
  spec: SettingSpec;
  where: string;
  value: string | readonly string[];
}

export function lookUp(spec: SettingSpec, { flags, env, file }: SettingSources): Found | undefined {
  const flag = flags[spec.name];
  if (flag !== undefined) return { spec, where: `--${spec.name}`, value: plain(flag) };
  const variable = env[spec.env];
  if (variable !== undefined && variable !== "") return { spec, where: spec.env, value: variable };
  const inFile = file?.content[spec.name];
  if (inFile !== undefined) return { spec, where: `"${spec.name}" in ${file?.path ?? ""}`, value: plain(inFile) };
  return spec.default === undefined ? undefined : { spec, where: `default of --${spec.name}`, value: spec.default };
}

function plain(value: string | readonly string[] | boolean | number): string | readonly string[] {
  return typeof value === "boolean" || typeof value === "number" ? String(value) : value;
}

export function textOf(found: Found | undefined): string | undefined {
  if (found === undefined) return undefined;
  const { spec, where, value } = found;
  if (typeof value !== "string") throw new SettingsError(where, "takes one value, not a list");
  if (spec.kind === "choice" && !(spec.choices ?? []).includes(value)) {
    throw new SettingsError(where, `${JSON.stringify(value)} is not one of ${(spec.choices ?? []).join(", ")}`);
  }
  if (spec.kind === "boolean" && value !== "true" && value !== "false") {
    throw new SettingsError(where, `${JSON.stringify(value)} is neither true nor false`);
  }
  return value;
}

export function numberOf(found: Found | undefined): number {
  const value = textOf(found);
  if (found === undefined || value === undefined) throw new Error("a number setting without a default");
  const { spec, where } = found;
  const parsed = spec.kind === "duration" ? parseDuration(value) : /^\d+(\.\d+)?$/.test(value) ? Number(value) : Number.NaN;
  const { min = 0, max = Number.MAX_SAFE_INTEGER } = spec;
  if (!(parsed >= min && parsed <= max)) {
    const unit = spec.kind === "duration" ? " (a duration: 500ms, 5s, 2m, 1h)" : "";
    const range = spec.kind === "duration" ? `${String(min)}ms to ${String(max)}ms` : `${String(min)} to ${String(max)}`;
    throw new SettingsError(where, `${JSON.stringify(value)} is not within ${range}${unit}`);
  }
  return parsed;
}

/** Milliseconds, or NaN. */
export function parseDuration(text: string): number {
  const match = /^(\d+(?:\.\d+)?)(ms|s|m|h)$/.exec(text);
  if (match === null) return Number.NaN;
  const unitMs = { ms: 1, s: 1_000, m: 60_000, h: 3_600_000 }[match[2] as "ms" | "s" | "m" | "h"];
  return Number(match[1]) * unitMs;
}

export function listOf(found: Found | undefined): string[] {
  if (found === undefined) return [];
  const items = typeof found.value === "string" ? found.value.split(",") : [...found.value];
  return items.map((item) => item.trim()).filter((item) => item !== "");
}

export function hexKeyOf(found: Found | undefined, key: string): string {
  if (!/^[0-9a-fA-F]{64}$/.test(key)) throw new SettingsError(found?.where ?? "", `${JSON.stringify(key)} is not 64 hex digits`);
  return key.toLowerCase();
}

export function hostPortOf(found: Found | undefined): HostPort {
  const value = textOf(found) ?? "";
  const match = /^(?:\[([0-9a-fA-F:.]+)\]|([^:\s]+)):(\d{1,5})$/.exec(value);
  const port = Number(match?.[3]);
  if (match === null || port > 65_535) {
    throw new SettingsError(found?.where ?? "", `${JSON.stringify(value)} is not HOST:PORT (an IPv6 host in brackets, port 0 to 65535)`);
  }
  return { host: match[1] ?? match[2] ?? "", port };
}
