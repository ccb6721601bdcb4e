/**
 * The file system that tasks of Nomad's exec driver see in the local cluster. Nomad copies its default, all of /usr and
 * /etc, for every task: gigabytes on a developer's machine. Here it is a few programs, the libraries that they are
 * linked with, and Python's own modules where there is a Python. For `client.chroot_env`.
 */
import { execFileSync } from "node:child_process";
import { existsSync, realpathSync } from "node:fs";

const PROGRAMS = ["/bin/sh", ...["env", "cat", "ls", "sleep", "python3"].map((name) => `/usr/bin/${name}`)];
const FILES = ["/etc/passwd", "/etc/group", "/etc/hosts"];

/** Path on the host to path in the task; empty where programs are not where Linux distributions have them. `more`: programs. */
export function execChroot(more: readonly string[] = []): Record<string, string> {
  const programs = [...PROGRAMS, ...more].filter((path) => existsSync(path));
  const python = programs.some((path) => path.endsWith("python3")) ? pythonModules() : [];
  const all = [...programs, ...programs.flatMap(librariesOf), ...python, ...FILES.filter((path) => existsSync(path))];
  // Nomad copies a link as a link, whose target would not be there.
  return Object.fromEntries(all.map((path) => [realpathSync(path), path]));
}

/** As the dynamic linker finds them: "libc.so.6 => /lib/…/libc.so.6 (0x…)" and "/lib64/ld-linux-x86-64.so.2 (0x…)". */
function librariesOf(program: string): string[] {
  return [...said("ldd", program).matchAll(/(\/\S+) \(0x/g)].map(([, path]) => path as string);
}

function pythonModules(): string[] {
  const folder = said("/usr/bin/python3", "-c", "import sysconfig; print(sysconfig.get_paths()['stdlib'])").trim();
  return folder.startsWith("/") && existsSync(folder) ? [folder] : [];
}

/** Empty where the program is missing or refuses. */
function said(program: string, ...args: string[]): string {
  try {
    return execFileSync(program, args, { encoding: "utf8", stdio: ["ignore", "pipe", "ignore"], timeout: 5_000 });
  } catch {
    return "";
  }
}
