/**
 * Answers to what may take long: when it does, 200 and white space keep the connection alive, and the result
 * or the error follows in the body, as AWS does and clients of S3 expect.
 */
import { isOperationalError, OperationalError } from "../../../core/errors.ts";
import type { Log } from "../../../core/ports/log.ts";
import { requestScope } from "../../../http/deadline.ts";
import { noteRefusal } from "../../../http/problem.ts";
import { errorFields, standingHeaders } from "../errors.ts";
import type { Exchange } from "../services.ts";
import { renderXml, type XmlValue, xmlType } from "../xml.ts";

/** How long a client may wait for a first byte, and between two; half of what the gateway waits at most. */
const quietMsDefault = 5_000;
const declaration = '<?xml version="1.0" encoding="UTF-8"?>\n';

/** The document that `run` makes; what it throws early is answered like any other error. */
export async function sendXmlWhenDone(
  exchange: Pick<Exchange, "request" | "reply">,
  rootName: string,
  run: () => Promise<XmlValue>,
  { log, quietMs = quietMsDefault }: { readonly log: Log; readonly quietMs?: number },
): Promise<void> {
  const { request, reply } = exchange;
  const answer = new SlowAnswer(exchange);
  const { gatewayMsMax = Number.POSITIVE_INFINITY } = requestScope(request).runtime.config;
  const keepAlive = setInterval(() => answer.keepAlive(), Math.min(quietMs, gatewayMsMax / 2));
  try {
    const value = await run();
    if (answer.begun) answer.end(renderXml(rootName, value));
    else
      reply
        .code(200)
        .type(xmlType)
        .send(Buffer.from(renderXml(rootName, value)));
  } catch (error) {
    if (!answer.begun) throw error;
    log.warn({ requestId: request.id, err: error }, "a request failed after 200 was sent");
    const told = isOperationalError(error)
      ? error
      : new OperationalError("internal", "an internal error; the server's log has it");
    noteRefusal(told, request);
    answer.end(renderXml("Error", errorFields(told, request), { namespace: false }));
  } finally {
    clearInterval(keepAlive);
    answer.release();
  }
}

class SlowAnswer {
  readonly #exchange: Pick<Exchange, "request" | "reply">;
  begun = false;

  constructor(exchange: Pick<Exchange, "request" | "reply">) {
    this.#exchange = exchange;
  }

  keepAlive(): void {
    const { raw } = this.#exchange.reply;
    if (raw.destroyed) return;
    if (this.begun) raw.write(" ");
    else this.#begin();
  }

  end(document: string): void {
    this.#exchange.reply.raw.end(document.slice(declaration.length));
  }

  release(): void {
    if (this.begun) requestScope(this.#exchange.request).endTransfer();
  }

  /** The time for work stands still from here on, as for any body that flows. */
  #begin(): void {
    const { request, reply } = this.#exchange;
    this.begun = true;
    requestScope(request).beginTransfer();
    reply.headers({ ...standingHeaders(request), "content-type": xmlType });
    reply.header("cache-control", "no-store");
    reply.raw.writeHead(200, reply.getHeaders() as Record<string, string>);
    reply.hijack();
    reply.raw.write(declaration);
  }
}
