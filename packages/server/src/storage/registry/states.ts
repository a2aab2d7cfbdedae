// The states of a storage, and what each allows: tables, so that no other file asks for a state by name.
//
//   active --drain--> draining --> read-only --retire--> retired
//      ^_________________'____________'                     (final)
//
// A retired storage holds nothing; its record stays, so that its id is not given to another one.

import { OperationalError } from "../../core/errors.ts";
import type { StorageState } from "../../core/ports/metadata-store.ts";
import type { StorageUse } from "../../core/ports/storages.ts";

const uses: Readonly<Record<StorageState, readonly StorageUse[]>> = {
  active: ["create", "continue", "read", "delete"],
  draining: ["continue", "read", "delete"],
  "read-only": ["read", "delete"],
  retired: [],
};

const next: Readonly<Record<StorageState, readonly StorageState[]>> = {
  active: ["draining", "read-only"],
  draining: ["active", "read-only", "retired"],
  "read-only": ["active", "draining", "retired"],
  retired: [],
};

export function allows(state: StorageState, use: StorageUse): boolean {
  return uses[state].includes(use);
}

/** `precondition_failed` if the state cannot follow. The same state again is nothing to do. */
export function assertFollows(id: string, from: StorageState, to: StorageState): void {
  if (from === to || next[from].includes(to)) return;
  const hint = from === "active" && to === "retired" ? ": drain it first" : "";
  throw new OperationalError(
    "precondition_failed",
    `the storage ${id} is ${from} and cannot become ${to}${hint}`,
    { context: { storageId: id, state: from } },
  );
}
