/** The state folder cannot be used as it is. The sidecar does not start then: `fix` says what to do. */
export class StateError extends Error {
  override readonly name = "StateError";
  constructor(
    readonly code: "unwritable" | "unreadable" | "symlink" | "not-a-file" | "mode" | "owner" | "content",
    readonly path: string,
    found: string,
    readonly fix: string,
    options?: ErrorOptions,
  ) {
    super(`${path}: ${found}. ${fix}`, options);
  }
}
