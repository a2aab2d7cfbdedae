/**
 * Interim answers (RFC 9110 §15.2). One goes out only where it cannot be taken for something else:
 * never to HTTP/1.0, never once the final answer has begun, and a 104 only where the operator says
 * that everything on the way passes it on.
 */
import type { FastifyReply } from "fastify";
import { requestScope } from "./deadline.ts";

const namePattern = /^[!#$%&'*+\-.^_`|~0-9A-Za-z]+$/;
const valuePattern = /^[\t\x20-\x7e]*$/;

/**
 * Sends 104 (Upload Resumption Supported) of draft-ietf-httpbis-resumable-upload. False when nothing
 * was sent: without `http.uploadResumptionSupported`, to HTTP/1.0, after the final answer began, and
 * to a client that has left. Throws a `TypeError`, and sends nothing, for a name or value that no
 * header may have.
 */
export function sendInformation(
  reply: FastifyReply,
  status: 104,
  headers: Readonly<Record<string, string>>,
): boolean {
  for (const [name, value] of Object.entries(headers)) {
    if (!namePattern.test(name) || !valuePattern.test(value)) {
      throw new TypeError(`header ${JSON.stringify(name)} of an interim answer is malformed`);
    }
  }
  const { raw, request } = reply;
  const { signal, runtime } = requestScope(request);
  if (!runtime.config.uploadResumptionSupported) return false;
  if (request.raw.httpVersion === "1.0" || raw.headersSent || reply.sent) return false;
  if (signal.aborted || raw.destroyed || !request.raw.socket.writable) return false;
  raw.writeInformation(status, headers);
  return true;
}
