/** Retention and legal hold of objects: nobody deletes, moves or replaces what is held. */
import type { ObjectHoldJson, ObjectJson } from "@roma/contract";
import { objectPath } from "./address.ts";
import type { Caller } from "./caller.ts";
import { callJson } from "./calls.ts";
import { parseObject } from "./parse.ts";

export class Holds {
  readonly #caller: Caller;

  constructor(caller: Caller) {
    this.#caller = caller;
  }

  /**
   * Changes what is named, and leaves the rest. A retention is only ever moved later (`object_retained`); a
   * legal hold holds until it is set to `false`.
   */
  set(
    object: { readonly bucket: string; readonly key: string },
    hold: { readonly retainUntil?: Date; readonly legalHold?: boolean },
    { signal }: { readonly signal?: AbortSignal } = {},
  ): Promise<ObjectJson> {
    const { retainUntil, legalHold } = hold;
    const value: ObjectHoldJson = {
      ...(retainUntil === undefined ? {} : { retainUntil: retainUntil.toISOString() }),
      ...(legalHold === undefined ? {} : { legalHold }),
    };
    const path = objectPath(object.bucket, object.key);
    return callJson(this.#caller, { method: "PATCH", path, value, parse: parseObject, signal });
  }
}
