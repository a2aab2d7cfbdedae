/** A receiver of traces: OTLP over HTTP with protobuf, decoded by the field numbers of opentelemetry's trace.proto. */
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import type { TestContext } from "node:test";
import { gunzipSync } from "node:zlib";
import { cleanUp } from "../harness/cleanup.ts";

export interface ReceivedSpan {
  readonly traceId: string;
  readonly spanId: string;
  readonly parentId: string;
  readonly name: string;
  readonly attributes: Readonly<Record<string, unknown>>;
  /** Of the process that sent it. */
  readonly resource: Readonly<Record<string, unknown>>;
  readonly isError: boolean;
}

export interface OtlpReceiver {
  readonly url: string;
  readonly spans: ReceivedSpan[];
  readonly headers: Readonly<Record<string, unknown>>[];
  /** What requests are answered with from now on; `hang`: not at all. */
  answer: number | "hang";
}

export async function otlpReceiver(t: TestContext): Promise<OtlpReceiver> {
  const server = createServer(async (request, response) => {
    const chunks: Buffer[] = [];
    for await (const chunk of request) chunks.push(chunk);
    if (receiver.answer === "hang") return;
    const sent = Buffer.concat(chunks);
    const body = request.headers["content-encoding"] === "gzip" ? gunzipSync(sent) : sent;
    if (receiver.answer === 200) receiver.spans.push(...spansOf(body));
    receiver.headers.push(request.headers);
    response.writeHead(receiver.answer, { "content-type": "application/x-protobuf" }).end();
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  cleanUp(t, () => {
    server.closeAllConnections();
    server.close();
  });
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/v1/traces`;
  const receiver: OtlpReceiver = { url, spans: [], headers: [], answer: 200 };
  return receiver;
}

type Field = bigint | Buffer;

function spansOf(body: Buffer): ReceivedSpan[] {
  return all(body, 1).flatMap((resourceSpans) => {
    const resource = attributesOf(all(resourceSpans, 1)[0] ?? Buffer.alloc(0), 1);
    return all(resourceSpans, 2).flatMap((scopeSpans) =>
      all(scopeSpans, 2).map((span) => ({
        traceId: bytes(span, 1).toString("hex"),
        spanId: bytes(span, 2).toString("hex"),
        parentId: bytes(span, 4).toString("hex"),
        name: bytes(span, 5).toString(),
        attributes: attributesOf(span, 9),
        resource,
        isError: fields(bytes(span, 15)).some(([number, value]) => number === 3 && value === 2n),
      })),
    );
  });
}

function attributesOf(message: Buffer, number: number): Record<string, unknown> {
  return Object.fromEntries(
    all(message, number).map((pair) => [bytes(pair, 1).toString(), anyValue(bytes(pair, 2))]),
  );
}

function anyValue(message: Buffer): unknown {
  const [[number, value] = [0, 0n]] = fields(message);
  if (number === 1) return String(value);
  if (number === 2) return value === 1n;
  return number === 3 ? Number(value) : value;
}

function all(message: Buffer, wanted: number): Buffer[] {
  return fields(message).flatMap(([number, value]) =>
    number === wanted && Buffer.isBuffer(value) ? [value] : [],
  );
}

function bytes(message: Buffer, wanted: number): Buffer {
  return all(message, wanted)[0] ?? Buffer.alloc(0);
}

/** The wire format: varint, 64 bits, length and bytes, 32 bits. */
function fields(message: Buffer): (readonly [number: number, value: Field])[] {
  const found: (readonly [number, Field])[] = [];
  let at = 0;
  const varint = (): bigint => {
    let value = 0n;
    for (let shift = 0n; ; shift += 7n) {
      const byte = message[at++];
      if (byte === undefined) throw new Error("the message ends within a number");
      value |= BigInt(byte & 0x7f) << shift;
      if (byte < 0x80) return value;
    }
  };
  const take = (length: number): Buffer => {
    if (at + length > message.length) throw new Error("the message ends within a field");
    at += length;
    return message.subarray(at - length, at);
  };
  while (at < message.length) {
    const tag = Number(varint());
    const wire = tag & 7;
    if (wire === 0) found.push([tag >> 3, varint()]);
    else if (wire === 1) found.push([tag >> 3, take(8)]);
    else if (wire === 2) found.push([tag >> 3, take(Number(varint()))]);
    else if (wire === 5) found.push([tag >> 3, take(4)]);
    else throw new Error(`wire type ${wire}`);
  }
  return found;
}
