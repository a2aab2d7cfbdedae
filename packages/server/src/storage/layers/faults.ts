// Failures for tests, at chosen calls and the same for the same seed: a storage that refuses, hangs,
// dawdles, flips a byte, cuts a body short, or does the work and loses the answer.

import type { ErrorCode } from "../../core/errors.ts";
import { OperationalError } from "../../core/errors.ts";
import type { Body, ObjectBody, StorageLayer } from "../../core/ports/storage-driver.ts";
import { forward } from "./forward.ts";
import { layeredBody } from "./layered-body.ts";

export type FaultyOperation = "put" | "get" | "head" | "list" | "delete" | "probe";

export type Fault =
  | { readonly kind: "fail"; readonly code: ErrorCode }
  /** The work is done, and the answer is this error. */
  | { readonly kind: "loseAnswer" }
  /** The call never answers, whatever its signal says. */
  | { readonly kind: "hang" }
  | { readonly kind: "delay"; readonly ms: number }
  /** One bit of the body, written or read, is another. */
  | { readonly kind: "flip"; readonly at: number }
  /** The body ends here without an error. */
  | { readonly kind: "cut"; readonly at: number }
  /** The body hangs here. */
  | { readonly kind: "stall"; readonly at: number };

export interface FaultRule {
  readonly operation: FaultyOperation;
  /** Counted from 1 for each operation; without it every call, if the chance allows. */
  readonly nth?: number;
  /** From 0 to 1, drawn from the seed. */
  readonly chance?: number;
  readonly fault: Fault;
}

export interface FaultOptions {
  readonly seed?: number;
  readonly rules: readonly FaultRule[];
}

/** The layer, right around the driver. The first rule that fits a call decides. */
export const faults =
  ({ seed = 1, rules }: FaultOptions): StorageLayer =>
  (inner) => {
    const random = seeded(seed);
    const counts = new Map<FaultyOperation, number>();
    const next = (operation: FaultyOperation): Fault | undefined => {
      const number = (counts.get(operation) ?? 0) + 1;
      counts.set(operation, number);
      return rules.find((rule) => {
        if (rule.operation !== operation) return false;
        if (rule.nth !== undefined && rule.nth !== number) return false;
        return rule.chance === undefined || random() < rule.chance;
      })?.fault;
    };
    const call = <T>(operation: FaultyOperation, run: (fault?: Fault) => Promise<T>): Promise<T> =>
      around(next(operation), run);
    return forward(inner, {
      put: (key, body, options) =>
        call("put", (fault) => inner.put(key, faultyBody(body, fault), options)),
      get: (key, options) =>
        call("get", async (fault) => {
          const { head, body } = await inner.get(key, options);
          return { head, body: faultyObjectBody(body, fault) };
        }),
      head: (key, options) => call("head", () => inner.head(key, options)),
      delete: (key, options) => call("delete", () => inner.delete(key, options)),
      probe: (options) => call("probe", () => inner.probe(options)),
      async *list(prefix, options) {
        await call("list", async () => undefined);
        yield* inner.list(prefix, options);
      },
    });
  };

async function around<T>(fault: Fault | undefined, run: (fault?: Fault) => Promise<T>): Promise<T> {
  if (fault?.kind === "fail") throw new OperationalError(fault.code, "a fault was asked for");
  if (fault?.kind === "hang") return await new Promise<T>(() => undefined);
  if (fault?.kind === "delay") await new Promise((resolve) => setTimeout(resolve, fault.ms));
  const result = await run(fault);
  if (fault?.kind !== "loseAnswer") return result;
  throw new OperationalError("unavailable", "the answer was lost");
}

function faultyObjectBody(body: ObjectBody, fault: Fault | undefined): ObjectBody {
  return layeredBody(body, faultyBody(body, fault)[Symbol.asyncIterator]());
}

async function* faultyBody(body: Body, fault: Fault | undefined): AsyncGenerator<Uint8Array> {
  let position = 0;
  for await (const chunk of body) {
    const at = fault !== undefined && "at" in fault ? fault.at - position : -1;
    position += chunk.length;
    if (fault === undefined || at < 0 || at >= chunk.length) {
      yield chunk;
      continue;
    }
    if (fault.kind === "flip") {
      const flipped = Uint8Array.from(chunk);
      flipped[at] = (flipped[at] ?? 0) ^ 1;
      yield flipped;
      continue;
    }
    if (at > 0) yield chunk.subarray(0, at);
    if (fault.kind === "stall") await new Promise(() => undefined);
    return;
  }
}

/** mulberry32: small, and the same everywhere. */
function seeded(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let value = Math.imul(state ^ (state >>> 15), state | 1);
    value ^= value + Math.imul(value ^ (value >>> 7), value | 61);
    return ((value ^ (value >>> 14)) >>> 0) / 4_294_967_296;
  };
}
