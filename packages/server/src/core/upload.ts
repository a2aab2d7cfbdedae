/**
 * The upload state machine: pure, shared by every protocol.
 *
 *   receiving --received--> receiving      the offset only grows, never past the length
 *   receiving --finished--> completing     exactly `length` bytes are durable in the storage
 *   completing --committed--> complete     the object's row points at the blob
 *   receiving | completing --cancelled--> cancelled
 *
 * `complete` and `cancelled` are final. What is not drawn here cannot happen: it is a defect.
 */
import assert from "node:assert/strict";
import { OperationalError } from "./errors.ts";

export type CancelReason = "client" | "expired" | "policy" | "failed";

export type UploadState =
  | { readonly phase: "receiving"; readonly offset: number; readonly length: number | "unknown" }
  | { readonly phase: "completing"; readonly length: number }
  | { readonly phase: "complete"; readonly length: number; readonly version: string }
  | { readonly phase: "cancelled"; readonly offset: number; readonly reason: CancelReason };

export type UploadEvent =
  | { readonly event: "received"; readonly bytes: number }
  | { readonly event: "finished" }
  | { readonly event: "committed"; readonly version: string }
  | { readonly event: "cancelled"; readonly reason: CancelReason };

export function newUploadState(length: number | "unknown"): UploadState {
  return { phase: "receiving", offset: 0, length };
}

/** `incomplete_body` when the bytes do not add up to the length. */
export function nextUploadState(state: UploadState, event: UploadEvent): UploadState {
  switch (event.event) {
    case "received": {
      assert(state.phase === "receiving", `received bytes while ${state.phase}`);
      const offset = state.offset + event.bytes;
      if (state.length !== "unknown" && offset > state.length)
        throw wrongLength(offset, state.length);
      return { ...state, offset };
    }
    case "finished": {
      assert(state.phase === "receiving", `finished while ${state.phase}`);
      if (state.length !== "unknown" && state.offset !== state.length) {
        throw wrongLength(state.offset, state.length);
      }
      return { phase: "completing", length: state.offset };
    }
    case "committed": {
      assert(state.phase === "completing", `committed while ${state.phase}`);
      return { phase: "complete", length: state.length, version: event.version };
    }
    case "cancelled": {
      // A cancel that comes late, or twice, changes nothing: complete is never undone by it.
      if (state.phase === "complete" || state.phase === "cancelled") return state;
      return { phase: "cancelled", offset: offsetOf(state), reason: event.reason };
    }
  }
}

/** Bytes received so far. */
export function offsetOf(state: UploadState): number {
  return state.phase === "receiving" || state.phase === "cancelled" ? state.offset : state.length;
}

function wrongLength(offset: number, length: number): OperationalError {
  const difference = offset > length ? "more" : "fewer";
  return new OperationalError(
    "incomplete_body",
    `body has ${difference} bytes than the declared length ${length}`,
    { context: { offset, length } },
  );
}
