/** Errors of the local cluster. Matched by `code`; `message` is the whole sentence that a user reads. */

export type DevErrorCode =
  /** CONSUL_BIN or NOMAD_BIN names a file that is not there or does not run. */
  | "binary-unusable"
  /** Nowhere to be found, and no Go to build it with. */
  | "binary-missing"
  | "build-failed"
  | "process-exited"
  | "not-ready"
  | "no-free-ports"
  | "bad-option"
  | "command-failed";

export class DevError extends Error {
  constructor(
    readonly code: DevErrorCode,
    message: string,
    readonly fields: Readonly<Record<string, unknown>> = {},
  ) {
    super(message);
    this.name = "DevError";
  }
}
