/** The error for a command line that is itself wrong. */

/** Nothing was asked of the server: what was typed cannot be meant. */
export class UsageError extends Error {
  constructor(message: string) {
    super(message);
    this.name = "UsageError";
  }
}
