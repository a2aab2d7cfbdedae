/** Answers as XML documents. */
import type { FastifyReply } from "fastify";
import type { Exchange } from "./services.ts";
import { renderXml, type XmlValue, xmlType } from "./xml.ts";

/** 200 with the document, in the namespace of S3. */
export function sendXml(
  { reply }: Pick<Exchange, "reply">,
  rootName: string,
  value: XmlValue,
): FastifyReply {
  // As bytes: to a text Fastify would add a charset.
  return reply
    .code(200)
    .type(xmlType)
    .send(Buffer.from(renderXml(rootName, value)));
}
