/**
 * Alerts as a POST of JSON. The receiver says 2xx, or gets it again. Redirects are not followed. The address is the
 * operator's own choice, so it is not judged.
 */
import { Agent, request } from "undici";
import { type AlertMessage, RefusedError, type Sender } from "./channel.ts";

const answerBytesMax = 64 * 1024;

export function webhook(url: string): Sender {
  const dispatcher = new Agent({ connections: 1, pipelining: 1, keepAliveTimeout: 1_000 });
  return {
    channel: "webhook",
    send: async (message, signal) => {
      const { statusCode, body } = await request(url, {
        method: "POST",
        headers: { "content-type": "application/json", "user-agent": "roma" },
        body: JSON.stringify(payloadOf(message)),
        dispatcher,
        signal,
      });
      await body.dump({ limit: answerBytesMax, signal });
      if (statusCode < 200 || statusCode > 299) {
        throw new RefusedError(`the receiver answered ${statusCode}`);
      }
    },
    [Symbol.asyncDispose]: async () => await dispatcher.destroy(),
  };
}

/** What is posted; `docs/operations.md` has it. */
export function payloadOf({ status, alert, server, environment, id }: AlertMessage) {
  const { name, severity, summary, labels, fields, message, since } = alert;
  const sentAt = new Date().toISOString();
  const text = `[${status}] ${name}: ${message}`;
  return {
    version: 1,
    id,
    status,
    name,
    severity,
    summary,
    message,
    text,
    labels,
    fields,
    since,
    sentAt,
    server,
    environment,
  };
}
