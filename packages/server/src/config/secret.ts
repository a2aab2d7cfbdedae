/** A value that never prints itself: every way of turning it into text gives `[redacted]`. */
import { inspect } from "node:util";

const redacted = "[redacted]";

/** Holds a secret string. Only `reveal()` gives it out. */
export class Secret {
  readonly #value: string;

  constructor(value: string) {
    this.#value = value;
  }

  /** The secret itself. Never log, throw or store what this returns. */
  reveal(): string {
    return this.#value;
  }

  toString(): string {
    return redacted;
  }

  toJSON(): string {
    return redacted;
  }

  [inspect.custom](): string {
    return redacted;
  }

  get [Symbol.toStringTag](): string {
    return "Secret";
  }
}
