/** What the workers of a test and their parent say to each other. */
import type { Json } from "../../packages/server/src/core/ports/siblings.ts";

export type ToParent =
  | { readonly kind: "hello"; readonly name: string }
  | { readonly kind: "ready"; readonly url: string }
  | { readonly kind: "refused"; readonly code: string; readonly message: string }
  | {
      readonly kind: "ask";
      readonly id: number;
      readonly topic: string;
      readonly question: Json;
      readonly of?: string | undefined;
    }
  | { readonly kind: "answer"; readonly id: number; readonly answer: Json }
  | { readonly kind: "failed"; readonly id: number }
  | { readonly kind: "tell"; readonly topic: string; readonly message: Json }
  | { readonly kind: "candidate" }
  | { readonly kind: "led" };

export type ToChild =
  | { readonly kind: "answers"; readonly id: number; readonly answers: readonly Answer[] }
  | { readonly kind: "unanswered"; readonly id: number }
  | {
      readonly kind: "question";
      readonly id: number;
      readonly topic: string;
      readonly question: Json;
      readonly from: string;
    }
  | { readonly kind: "told"; readonly topic: string; readonly message: Json; readonly from: string }
  | { readonly kind: "lead" }
  | { readonly kind: "stop" };

export interface Answer {
  readonly from: string;
  readonly answer: Json;
}
