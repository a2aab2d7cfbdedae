// What stands before a request's body?

import { signedLines } from "./signed-lines.ts";
import type { Target } from "./tasks.ts";

/** `more`: header lines with CRLF. */
export function head(method: string, path: string, target: Target, more = ""): string {
  const { host, port, headers } = target;
  const signed = signedLines(method, path, target);
  return `${method} ${path} HTTP/1.1\r\nHost: ${host}:${port}\r\n${headers}${signed}${more}\r\n`;
}

export function lengthLine(bytes: number): string {
  return `Content-Type: application/octet-stream\r\nContent-Length: ${bytes}\r\n`;
}
