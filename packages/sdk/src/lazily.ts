/** Modules of the SDK that are fetched when they are first needed. */
import { RomaError } from "./errors.ts";

/** Rejects with `connection_failed` when it cannot be had; the next call tries again. */
export function lazily<T>(load: () => Promise<T>): () => Promise<T> {
  return () =>
    load().catch((cause: unknown) => {
      const message = "a module of the SDK could not be loaded";
      throw new RomaError("connection_failed", message, { retryable: true, cause });
    });
}
