/**
 * What every line of a request carries, wherever in the server it is written: its request id, and the trace id
 * that its client sent. They follow the request through every call made for it.
 */
import { AsyncLocalStorage } from "node:async_hooks";

export interface RequestFields {
  readonly requestId: string;
  /** 32 hex digits. */
  readonly traceId?: string;
}

const requests = new AsyncLocalStorage<RequestFields>();
const none: Partial<RequestFields> = Object.freeze({});

/** Of the request for which the current code runs; empty outside of requests. A copy: pino writes into it. */
export function currentRequest(): Partial<RequestFields> {
  const fields = requests.getStore();
  return fields === undefined ? { ...none } : { ...fields };
}

/** Runs what belongs to a request. */
export function forRequest<T>(fields: RequestFields, run: () => T): T {
  return requests.run(fields, run);
}

const traceParent = /^([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-[0-9a-f]{2}(-.*)?$/;

/**
 * The trace id of a `traceparent` (W3C Trace Context §3.2); `undefined` for none, or one that is not valid and
 * is ignored as the specification says.
 */
export function traceIdOf(header: string | readonly string[] | undefined): string | undefined {
  if (typeof header !== "string" || header.length > 512) return undefined;
  const match = traceParent.exec(header);
  if (match === null) return undefined;
  const [, version, traceId = "", parentId = "", more] = match;
  if (version === "ff" || (version === "00" && more !== undefined)) return undefined;
  return /^0+$/.test(traceId) || /^0+$/.test(parentId) ? undefined : traceId;
}
