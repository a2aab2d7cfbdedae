/**
 * Traces by OpenTelemetry, loaded only when there is somewhere to send them. Requests are the roots, or go on from
 * the client's `traceparent`; calls of storages and of the metadata store are their steps. Spans wait in a
 * queue that is bounded; what does not fit, or is not taken, is dropped and counted, and nobody waits for it.
 */
import { AsyncLocalStorage } from "node:async_hooks";
import type { Span } from "@opentelemetry/api";
import type { FastifyInstance } from "fastify";
import { isOperationalError } from "../../core/errors.ts";
import type { Meter } from "../../core/ports/meter.ts";
import type { SpanFields, Tracer } from "../../core/ports/tracer.ts";
import { requestScope } from "../../http/index.ts";
import { methodOf, routeOf } from "../http-metrics.ts";
import type { TracingConfig } from "./config.ts";
import { formatTraceparent, parseTraceparent } from "./traceparent.ts";

export { type TracingConfig, tracingConfig } from "./config.ts";
export { tracedStore } from "./traced-store.ts";

export interface Tracing extends AsyncDisposable {
  readonly tracer: Tracer;
  /** Traces the requests of a listener. Before its routes are registered. */
  attach(app: FastifyInstance): void;
}

export interface TracingOptions {
  readonly config: TracingConfig & { readonly endpoint: string };
  readonly meter: Meter;
  /** Of the server's data. */
  readonly environment: string | null;
  /** Names this process among its siblings. */
  readonly instance: string;
}

/** Spans that wait to be sent. */
const queueMax = 4_096;
const batchMax = 512;
const batchMs = 2_000;
const exportMsMax = 10_000;
const closeMsMax = 3_000;

export async function openTracing(options: TracingOptions): Promise<Tracing> {
  const { config, meter, environment, instance } = options;
  const [api, sdk, { resourceFromAttributes }, { OTLPTraceExporter }] = await Promise.all([
    import("@opentelemetry/api"),
    import("@opentelemetry/sdk-trace"),
    import("@opentelemetry/resources"),
    import("@opentelemetry/exporter-trace-otlp-proto"),
  ]);
  const exporter = new OTLPTraceExporter({
    url: config.endpoint,
    headers: headersOf(config.headers?.reveal()),
    timeoutMillis: exportMsMax,
    concurrencyLimit: 2,
  });
  let waiting = 0;
  const batches = new sdk.BatchSpanProcessor({
    exporter: {
      export: (spans, done) =>
        exporter.export(spans, (result) => {
          waiting -= spans.length;
          const outcome = result.code === 0 ? "exported" : "failed";
          meter.count("tracing_spans_total", spans.length, { outcome });
          // Its failure is counted; to say it again would only fill a log.
          done({ code: 0 });
        }),
      shutdown: () => exporter.shutdown(),
    },
    maxQueueSize: queueMax,
    maxExportBatchSize: batchMax,
    scheduledDelayMillis: batchMs,
    exportTimeoutMillis: exportMsMax + 1_000,
  });
  const bounded: InstanceType<typeof sdk.NoopSpanProcessor> = {
    onStart: () => {},
    onEnd: (span) => {
      if (waiting >= queueMax) return meter.count("tracing_spans_total", 1, { outcome: "dropped" });
      waiting += 1;
      batches.onEnd(span);
    },
    forceFlush: () => batches.forceFlush(),
    shutdown: () => batches.shutdown(),
  };
  const provider = new sdk.TracerProvider({
    sampler: new sdk.ParentBasedSampler({ root: new sdk.TraceIdRatioBasedSampler(config.ratio) }),
    spanLimits: { attributeValueLengthLimit: 256, attributeCountLimit: 32, eventCountLimit: 8 },
    spanProcessors: [bounded],
    resource: resourceFromAttributes({
      "service.name": config.service,
      "service.instance.id": instance,
      ...(environment === null ? {} : { "deployment.environment.name": environment }),
    }),
  });
  const spans = provider.getTracer("roma");
  const current = new AsyncLocalStorage<Span>();
  const { trace, ROOT_CONTEXT, SpanKind, SpanStatusCode } = api;

  const fail = (span: Span, error: unknown): void => {
    // A message may name what a client chose; a code does not.
    const code = isOperationalError(error) ? error.code : "internal";
    span.setAttribute("error.type", code).setStatus({ code: SpanStatusCode.ERROR });
  };
  const tracer: Tracer = {
    span: <T>(name: string, fields: SpanFields, work: () => T): T => {
      const parent = current.getStore();
      if (parent === undefined || !parent.isRecording()) return work();
      const span = spans.startSpan(
        name,
        { attributes: fields },
        trace.setSpan(ROOT_CONTEXT, parent),
      );
      try {
        const result = current.run(span, work);
        if (!(result instanceof Promise)) {
          span.end();
          return result;
        }
        result.then(
          () => span.end(),
          (error: unknown) => {
            fail(span, error);
            span.end();
          },
        );
        return result;
      } catch (error) {
        fail(span, error);
        span.end();
        throw error;
      }
    },
    current: () => {
      const { traceId, spanId } = current.getStore()?.spanContext() ?? {};
      return traceId === undefined || spanId === undefined ? undefined : { traceId, spanId };
    },
    traceparent: () => {
      const context = current.getStore()?.spanContext();
      return context === undefined ? undefined : formatTraceparent(context);
    },
  };
  const attach = (app: FastifyInstance): void => {
    app.addHook("onRequest", (request, reply, done) => {
      const header = request.headers.traceparent;
      const remote = parseTraceparent(typeof header === "string" ? header : undefined);
      const context =
        remote === undefined
          ? ROOT_CONTEXT
          : trace.setSpanContext(ROOT_CONTEXT, { ...remote, isRemote: true });
      const method = methodOf(request.raw.method);
      // The pattern, never the path: keys, grants and signatures are in paths.
      const route = request.routeOptions.url ?? routeOf(request.raw.url ?? "");
      const span = spans.startSpan(
        `${method} ${route}`,
        {
          kind: SpanKind.SERVER,
          attributes: {
            "http.request.method": method,
            "http.route": route,
            "roma.protocol": routeOf(request.raw.url ?? ""),
            "roma.request_id": request.id,
          },
        },
        context,
      );
      requestScope(request).atClose(() => {
        const { statusCode, writableFinished } = reply.raw;
        span.setAttribute("http.response.status_code", statusCode);
        if (!writableFinished) span.setAttribute("error.type", "aborted");
        if (statusCode >= 500) span.setStatus({ code: SpanStatusCode.ERROR });
        span.end();
      });
      current.run(span, done);
    });
  };
  return {
    tracer,
    attach,
    // What waits is sent if that does not take long.
    [Symbol.asyncDispose]: async () => {
      let timer: NodeJS.Timeout | undefined;
      const late = new Promise<void>((resolve) => {
        timer = setTimeout(resolve, closeMsMax);
      });
      await Promise.race([provider.shutdown().catch(() => {}), late]);
      clearTimeout(timer);
    },
  };
}

function headersOf(text: string | undefined): Record<string, string> {
  const pairs = text?.split(",") ?? [];
  return Object.fromEntries(
    pairs.map((pair) => {
      const at = pair.indexOf("=");
      return [pair.slice(0, at).trim(), pair.slice(at + 1).trim()];
    }),
  );
}
