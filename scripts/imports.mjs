// Imports point one way (ARCHITECTURE.md): this fails on an arrow that is not in the table. Cycles are oxlint's.
import { readdirSync, readFileSync } from "node:fs";
import { dirname, join, relative, resolve } from "node:path";

const root = join(import.meta.dirname, "..");
/** Room → rooms that it may import, itself aside. The longest prefix of a file's path is its room. */
const ARROWS = {
  "src/proto": [],
  "src/beacon": ["src/proto"],
  "src/policy": ["src/beacon", "src/proto"],
  "src/sidecar": ["src/beacon", "src/policy"],
  "src/sidecar/state": ["src/beacon", "src/sidecar/probe"],
  "src/sidecar/consul": ["src/sidecar"],
  "src/sidecar/nomad": ["src/sidecar"],
  "src/sidecar/readings": ["src/sidecar", "src/beacon"],
  "src/sidecar/probe": ["src/sidecar", "src/beacon"],
  "src/sidecar/placement": ["src/sidecar", "src/beacon", "src/policy"],
  "src/sidecar/proofs": ["src/sidecar", "src/beacon"],
  "src/sidecar/traffic": ["src/sidecar", "src/beacon"],
  "src/sidecar/network": ["src/sidecar", "src/beacon", "src/policy"],
  "src/sidecar/api": ["src/sidecar", "src/sidecar/network", "src/beacon", "src/policy", "src/proto"],
  "src/acl": ["src/beacon"],
  "src/dev": [],
  "src/commands": ["src/beacon", "src/policy", "src/sidecar", "src/sidecar/api", "src/acl", "src/dev"],
};
/** Files that know more than their room: what composes the parts. */
const EXCEPTIONS = {
  "src/sidecar/main.ts": ["src/sidecar/placement", "src/sidecar/consul", "src/sidecar/nomad", "src/sidecar/readings", "src/sidecar/probe", "src/sidecar/api", "src/sidecar/state"],
  "src/sidecar/own-work-main.ts": ["src/sidecar/proofs", "src/sidecar/traffic", "src/sidecar/nomad", "src/sidecar/state"],
  "src/sidecar/network-main.ts": ["src/sidecar/network", "src/sidecar/consul", "src/sidecar/api", "src/sidecar/state"],
  "src/sidecar/publisher.ts": ["src/sidecar/state"],
  "src/sidecar/sealer.ts": ["src/sidecar/state"],
  "src/sidecar/key-rotator.ts": ["src/sidecar/state"],
  "src/commands/reading/trust-files.ts": ["src/sidecar/state"],
  "src/commands/probe.ts": ["src/sidecar/probe"],
  "src/commands/reading/state-folder.ts": ["src/sidecar/state"],
  "src/commands/reading/source.ts": ["src/sidecar/consul"],
  "src/commands/reading/instances.ts": ["src/sidecar/consul"],
};

const roomOf = (file) => Object.keys(ARROWS).filter((room) => file.startsWith(`${room}/`)).sort((a, b) => b.length - a.length)[0];
const wrong = [];
for (const name of readdirSync(join(root, "src"), { recursive: true })) {
  if (!/\.(ts|js)$/.test(name) || name.endsWith(".d.ts")) continue;
  const file = `src/${name}`;
  const text = readFileSync(join(root, file), "utf8");
  for (const [, specifier] of text.matchAll(/(?:from|import\()\s*"(\.[^"]+)"/g)) {
    const target = relative(root, resolve(root, dirname(file), specifier)).replace(/\.js$/, ".ts");
    const [from, to] = [roomOf(file), roomOf(target)];
    if (from === to || ARROWS[from]?.includes(to) || EXCEPTIONS[file]?.includes(to)) continue;
    wrong.push(`${file} imports ${target}: ${from || "no room"} may import ${ARROWS[from]?.join(", ") || "nothing"}`);
  }
}
for (const line of wrong) console.error(line);
process.exit(wrong.length === 0 ? 0 : 1);
