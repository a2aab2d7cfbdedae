/** Traces, as core and the layers need them; `operations/tracing/` gives them to OpenTelemetry. */

/** Few, short, and without a secret: no key of an object, no address. */
export type SpanFields = Readonly<Record<string, string | number | boolean>>;

export interface Tracer {
  /**
   * Runs `work` as a step of the request that is being served; outside of one, or when its trace is not kept, just
   * runs it. The step ends when the promise settles. Whatever `work` answers or throws comes out as it is.
   */
  span<T>(name: string, fields: SpanFields, work: () => T): T;
  /** Of the request that is being served, for log lines. */
  current(): { readonly traceId: string; readonly spanId: string } | undefined;
  /** The header `traceparent` of W3C's trace context for requests that this step makes. */
  traceparent(): string | undefined;
}

export const silentTracer: Tracer = {
  span: (_name, _fields, work) => work(),
  current: () => undefined,
  traceparent: () => undefined,
};
