/** A metadata store whose calls are steps of a trace. */
import type { MetadataStore } from "../../core/ports/metadata-store.ts";
import type { Tracer } from "../../core/ports/tracer.ts";

/** The same store; each call is a span `metadata NAME`, its waiting for a group and the commit included. */
export function tracedStore(store: MetadataStore, tracer: Tracer): MetadataStore {
  const traced = Object.entries(store).map(([name, call]: [string, unknown]) => {
    if (typeof call !== "function") return [name, call];
    const step = (...given: unknown[]): unknown =>
      tracer.span(`metadata ${name}`, {}, () => Reflect.apply(call, store, given));
    return [name, step];
  });
  return { ...store, ...Object.fromEntries(traced) };
}
