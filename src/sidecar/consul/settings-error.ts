/** A setting that cannot be used. The message names the variable and the right form, never a secret. */
export class ConsulSettingsError extends Error {
  override readonly name = "ConsulSettingsError";
  constructor(
    readonly variable: string,
    problem: string,
    options?: ErrorOptions,
  ) {
    super(`${variable}: ${problem}`, options);
  }
}
