/**
 * The ACL token of the next call. A token file is looked at (one stat) before each call and read when
 * it changed, so that a rotated token is used without a restart; a refused call reads it once more,
 * since a file rewritten within its time stamp's grain looks unchanged.
 */
import { readFile, stat } from "node:fs/promises";
import { TOKEN_FORM } from "./settings.js";

export class TokenFileError extends Error {
  override readonly name = "TokenFileError";
}

export class TokenSource {
  #read: { mark: string; token: string | null } | null = null;

  constructor(
    private readonly fixed: string | null,
    private readonly file: string | null,
  ) {}

  /** Null: no token, which Consul calls the anonymous one. Throws TokenFileError only where no token was ever read. */
  async current(): Promise<string | null> {
    if (this.file === null) return this.fixed;
    try {
      const { ino, size, mtimeNs } = await stat(this.file, { bigint: true });
      const mark = `${ino}:${size}:${mtimeNs}`;
      if (this.#read?.mark !== mark) this.#read = { mark, token: await this.#load(this.file) };
    } catch (cause) {
      // While the file is being replaced the last token still is the best one.
      if (this.#read === null) throw asTokenFileError(this.file, cause);
    }
    return this.#read.token ?? this.fixed;
  }

  /** Reads the file whatever its time stamp: true when it holds another token than `used`. */
  async changedSince(used: string | null): Promise<boolean> {
    if (this.file === null) return false;
    this.#read = this.#read === null ? null : { ...this.#read, mark: "" };
    return (await this.current()) !== used;
  }

  /** Null for an empty file, where CONSUL_HTTP_TOKEN is used, as the CLI does. */
  async #load(file: string): Promise<string | null> {
    const token = (await readFile(file, "utf8")).trim();
    if (token !== "" && !TOKEN_FORM.test(token)) {
      throw new TokenFileError(`CONSUL_HTTP_TOKEN_FILE: ${file} holds something else than one token`);
    }
    return token === "" ? null : token;
  }
}

function asTokenFileError(file: string, cause: unknown): TokenFileError {
  if (cause instanceof TokenFileError) return cause;
  const code = (cause as NodeJS.ErrnoException).code ?? "unknown error";
  return new TokenFileError(`CONSUL_HTTP_TOKEN_FILE: cannot read ${file} (${code}): name a file that holds the token`);
}
