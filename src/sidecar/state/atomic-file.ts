/**
 * Files that survive a power cut: what is at the path is the old content or the new, never a mix, and it is on the
 * disk when the call returns. The order is: write a temporary file beside it, fsync it, put it in place, fsync the
 * folder. The file system is injected so that a test can cut the power at each step.
 */
import { randomBytes } from "node:crypto";
import * as nodeFs from "node:fs";
import { dirname } from "node:path";
import { StateError } from "./state-error.js";

export type FileSystem = Pick<
  typeof nodeFs,
  "openSync" | "writeSync" | "fsyncSync" | "closeSync" | "renameSync" | "linkSync" | "unlinkSync" | "lstatSync" | "fstatSync" | "readFileSync" | "mkdirSync"
>;

const { O_RDONLY, O_NOFOLLOW, O_WRONLY, O_CREAT, O_EXCL } = nodeFs.constants;

/**
 * Writes with mode 0600. `exclusive` never replaces: false when the path exists already.
 * Throws StateError `unwritable` (read-only, full, or forbidden); then the old content still stands.
 */
export function writeAtomically(path: string, content: string, options: { exclusive?: boolean } = {}, fs: FileSystem = nodeFs): boolean {
  const temporary = `${path}.${randomBytes(6).toString("hex")}.tmp`;
  let placed = true;
  try {
    const fd = fs.openSync(temporary, O_WRONLY | O_CREAT | O_EXCL, 0o600);
    try {
      const bytes = Buffer.from(content);
      for (let at = 0; at < bytes.length; ) at += fs.writeSync(fd, bytes, at);
      fs.fsyncSync(fd);
    } finally {
      fs.closeSync(fd);
    }
    if (options.exclusive === true) placed = linkAsNew(temporary, path, fs);
    else fs.renameSync(temporary, path);
    syncFolder(dirname(path), fs);
    return placed;
  } catch (error) {
    throw unwritable(path, error);
  } finally {
    try {
      fs.unlinkSync(temporary);
    } catch {
      // renamed, or never made
    }
  }
}

/** Puts a file that is on the disk in the place of another: one or the other is at the path, also after a power cut. Throws StateError. */
export function replaceAtomically(from: string, path: string, fs: FileSystem = nodeFs): void {
  try {
    fs.renameSync(from, path);
    syncFolder(dirname(path), fs);
  } catch (error) {
    throw unwritable(path, error);
  }
}

/** link(2) refuses an existing name where rename(2) would replace it. */
function linkAsNew(from: string, to: string, fs: FileSystem): boolean {
  try {
    fs.linkSync(from, to);
    return true;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "EEXIST") return false;
    throw error;
  }
}

function syncFolder(folder: string, fs: FileSystem): void {
  const fd = fs.openSync(folder, O_RDONLY);
  try {
    fs.fsyncSync(fd);
  } finally {
    fs.closeSync(fd);
  }
}

/**
 * The content of a private file, or null where there is none. Throws StateError for a symlink, anything that is not
 * a regular file, a mode that lets others in, or another owner.
 */
export function readPrivate(path: string, fs: FileSystem = nodeFs): string | null {
  let fd: number;
  try {
    fd = fs.openSync(path, O_RDONLY | O_NOFOLLOW);
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException;
    if (code === "ENOENT") return null;
    if (code === "ELOOP") {
      throw new StateError("symlink", path, "is a symbolic link", "Put the file itself there: a link could be pointed elsewhere.");
    }
    throw new StateError("unreadable", path, message, "Give the sidecar's user read access.", { cause: error });
  }
  try {
    const stat = fs.fstatSync(fd);
    if (!stat.isFile()) throw new StateError("not-a-file", path, "is not a regular file", "Move it away.");
    if ((stat.mode & 0o077) !== 0) {
      throw new StateError("mode", path, `has mode 0${(stat.mode & 0o777).toString(8)}`, `Others may have read it; if you trust them: chmod 600 ${path}`);
    }
    const uid = process.geteuid?.();
    if (uid !== undefined && stat.uid !== uid) {
      throw new StateError("owner", path, `belongs to uid ${String(stat.uid)}`, `chown it to the sidecar's uid ${String(uid)}.`);
    }
    return fs.readFileSync(fd, "utf8");
  } finally {
    fs.closeSync(fd);
  }
}

/** Makes the state folder, 0700. Throws StateError. */
export function makeStateFolder(path: string, fs: FileSystem = nodeFs): void {
  try {
    fs.mkdirSync(path, { recursive: true, mode: 0o700 });
  } catch (error) {
    throw unwritable(path, error);
  }
}

function unwritable(path: string, error: unknown): StateError {
  const { code, message } = error as NodeJS.ErrnoException;
  const fix =
    code === "ENOSPC" || code === "EDQUOT"
      ? "Free space on that disk."
      : code === "EROFS"
        ? "The file system is read-only: mount it writable, or give another folder with --state-dir."
        : "Give the sidecar's user write access, or another folder with --state-dir.";
  return new StateError("unwritable", path, `cannot be written (${message})`, fix, { cause: error });
}
