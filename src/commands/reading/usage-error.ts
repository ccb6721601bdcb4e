/** A command line that cannot be right: exit code 2. The message says what would be. */
import { Errors } from "@oclif/core";

export class UsageError extends Errors.CLIError {
  constructor(message: string) {
    super(message, { exit: 2 });
  }
}
