/** What the workers of a test and their parent say to each other, beside what a supervisor and its workers do. */
import type { FromWorker, ToWorker } from "../../packages/server/src/supervisor/messages.ts";

export type ToParent =
  | Exclude<FromWorker, { readonly kind: "ready" }>
  | { readonly kind: "ready"; readonly url: string }
  | { readonly kind: "refused"; readonly code: string; readonly message: string };

export type ToChild = ToWorker;
