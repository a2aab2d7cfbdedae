/** The credential of requests: kept until the server refuses it, then asked for again. */
import { RomaError } from "./errors.ts";

/**
 * `ID.SECRET`, `ID:SECRET` or a grant; or a function that fetches one, called when there is none yet
 * and again when the server refuses the last one as expired.
 */
export type TokenSource = string | (() => string | Promise<string>);

export class Token {
  readonly #source: TokenSource | undefined;
  #current: Promise<string> | undefined;

  constructor(source: TokenSource | undefined) {
    this.#source = source;
  }

  /** The present one; `undefined` when there is none to send. Rejects with `token_failed`. */
  get(): Promise<string> | undefined {
    const source = this.#source;
    if (source === undefined) return undefined;
    if (typeof source === "string") return Promise.resolve(source.replace(":", "."));
    this.#current ??= this.#fetch(source);
    return this.#current;
  }

  /** Says that the server refused `used`; true when another can be had. */
  async refused(used: string | undefined): Promise<boolean> {
    if (typeof this.#source !== "function") return false;
    const asked = this.#current;
    const isOld = (await asked?.catch(() => used)) === used;
    // Of many requests that met the old one, the first lets go of it; by now another may have been asked for.
    if (isOld && this.#current === asked) this.#current = undefined;
    return true;
  }

  async #fetch(source: () => string | Promise<string>): Promise<string> {
    try {
      const token: unknown = await source();
      if (typeof token !== "string" || token === "") throw new TypeError("it gave no text");
      return token.replace(":", ".");
    } catch (cause) {
      this.#current = undefined;
      const reason = cause instanceof Error ? cause.message : String(cause);
      throw new RomaError("token_failed", `the function \`token\` failed: ${reason}`, {
        retryable: true,
        cause,
      });
    }
  }
}
