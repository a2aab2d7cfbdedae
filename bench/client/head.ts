// What stands before a request's body?

import type { Target } from "./tasks.ts";

/** `more`: header lines with CRLF. */
export function head(method: string, path: string, target: Target, more = ""): string {
  return `${method} ${path} HTTP/1.1\r\nHost: ${target.host}:${target.port}\r\n${target.headers}${more}\r\n`;
}

export function lengthLine(bytes: number): string {
  return `Content-Type: application/octet-stream\r\nContent-Length: ${bytes}\r\n`;
}
