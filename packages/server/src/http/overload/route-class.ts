/** What is served first when not all can be: administration, then small requests, then large bodies. */
import type { IncomingMessage } from "node:http";

/** In order of priority. */
export const routeClasses = ["control", "small", "bulk"] as const;
export type RouteClass = (typeof routeClasses)[number];

/** A body up to this is small. */
const smallBytesMax = 1024 * 1024;

/** By what the head says; `isControl` knows the paths of administration. */
export function routeClassOf(
  { method, url = "", headers }: IncomingMessage,
  isControl: (path: string) => boolean,
): RouteClass {
  if (method === "OPTIONS" || method === "HEAD") return "control";
  const bytes = Number(headers["content-length"] ?? 0);
  const isLong = headers["transfer-encoding"] !== undefined || bytes > smallBytesMax;
  if (isLong) return "bulk";
  return isControl(url) ? "control" : "small";
}
