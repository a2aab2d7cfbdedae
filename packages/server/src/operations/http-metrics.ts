/**
 * Counts requests and bytes of a listener from outside: at the socket and at the answer, so that what the
 * router or Node itself refuses is counted as well. Labels are tables of a few words, never what a client chose.
 */
import type { IncomingMessage, Server, ServerResponse } from "node:http";
import type { Socket } from "node:net";
import type { Clock } from "../core/ports/clock.ts";
import type { Meter } from "../core/ports/meter.ts";
import type { MetricDefinitions } from "./metric-definition.ts";

export const httpMetrics: MetricDefinitions = {
  http_connections: {
    kind: "gauge",
    help: "Open connections of clients",
    labels: ["listener"],
    merge: "each",
  },
  http_connections_total: {
    kind: "counter",
    help: "Connections that clients opened",
    labels: ["listener"],
  },
  http_requests_running: {
    kind: "gauge",
    help: "Requests whose answer has not ended, by kind of route",
    labels: ["route"],
  },
  http_requests_total: {
    kind: "counter",
    help: "Requests by kind of route, method and class of the status; aborted: the connection ended before the answer did",
    labels: ["route", "method", "status"],
  },
  http_request_seconds: {
    kind: "histogram",
    help: "Time of requests, from their headers to the end of the answer, transfers included",
    labels: ["route", "method"],
  },
  http_first_byte_seconds: {
    kind: "histogram",
    help: "Time from a request's headers to those of its answer",
    labels: ["route", "method"],
  },
  http_received_bytes_total: {
    kind: "counter",
    help: "Bytes from clients, headers included",
    labels: ["listener"],
  },
  http_sent_bytes_total: {
    kind: "counter",
    help: "Bytes to clients, headers included",
    labels: ["listener"],
  },
};

const methods: ReadonlySet<string> = new Set([
  "GET",
  "HEAD",
  "PUT",
  "POST",
  "PATCH",
  "DELETE",
  "OPTIONS",
]);

/** By the first segments of the path; the first that matches. */
const routes: readonly (readonly [prefix: string, route: string])[] = [
  ["/v1/objects", "objects"],
  ["/v1/uploads", "uploads"],
  ["/v1", "administration"],
  ["/tus", "tus"],
  ["/s3", "s3"],
  ["/parse", "parse"],
  ["/companion", "companion"],
  ["/console", "console"],
];

/** What `http_requests_total` and its kin call the target of a request. */
export function routeOf(target: string): string {
  const path = target.split("?", 1)[0] ?? "";
  const isUnder = ([prefix]: readonly [string, string]): boolean =>
    path === prefix || path.startsWith(`${prefix}/`);
  return routes.find(isUnder)?.[1] ?? "other";
}

export function methodOf(method: string | undefined): string {
  return method !== undefined && methods.has(method) ? method : "other";
}

export interface HttpMeterOptions {
  readonly meter: Meter;
  readonly clock: Clock;
  /** `main`, or `s3`, whose root is the S3 interface. */
  readonly listener: "main" | "s3";
}

/** Counts what `server` does from now on. What it answers brings the bytes of open connections up to date. */
export function meterHttp(server: Server, options: HttpMeterOptions): () => void {
  const { meter, clock, listener } = options;
  const sockets = new Map<Socket, { read: number; written: number }>();
  const countBytes = (socket: Socket, counted: { read: number; written: number }): void => {
    // A socket that is gone says undefined.
    const read = socket.bytesRead ?? counted.read;
    const written = socket.bytesWritten ?? counted.written;
    meter.count("http_received_bytes_total", read - counted.read, { listener });
    meter.count("http_sent_bytes_total", written - counted.written, { listener });
    counted.read = read;
    counted.written = written;
  };
  server.on("connection", (socket: Socket) => {
    const counted = { read: 0, written: 0 };
    sockets.set(socket, counted);
    meter.count("http_connections_total", 1, { listener });
    meter.gauge("http_connections", 1, { listener });
    socket.once("close", () => {
      countBytes(socket, counted);
      sockets.delete(socket);
      meter.gauge("http_connections", -1, { listener });
    });
  });
  const onRequest = (request: IncomingMessage, response: ServerResponse): void => {
    const route = listener === "s3" ? "s3" : routeOf(request.url ?? "");
    const method = methodOf(request.method);
    const started = clock.monotonicMs();
    meter.gauge("http_requests_running", 1, { route });
    const seconds = (): number => (clock.monotonicMs() - started) / 1000;
    const writeHead: (...given: never[]) => ServerResponse = response.writeHead;
    // Whoever writes an answer, by whatever call, its headers pass here.
    response.writeHead = (...given: never[]) => {
      meter.observe("http_first_byte_seconds", seconds(), { route, method });
      response.writeHead = writeHead;
      return writeHead.apply(response, given);
    };
    response.once("close", () => {
      const ended = response.writableFinished;
      const status = ended ? `${Math.trunc(response.statusCode / 100)}xx` : "aborted";
      meter.gauge("http_requests_running", -1, { route });
      meter.count("http_requests_total", 1, { route, method, status });
      meter.observe("http_request_seconds", seconds(), { route, method });
    });
  };
  for (const event of ["request", "checkContinue", "checkExpectation"]) {
    server.prependListener(event, onRequest);
  }
  return () => {
    for (const [socket, counted] of sockets) countBytes(socket, counted);
  };
}
