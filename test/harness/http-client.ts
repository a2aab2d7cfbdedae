/**
 * A small HTTP client over `node:http` that hides nothing: an answer that was cut off is an error,
 * and what was sent of a body is the caller's to decide.
 */
import {
  type Agent,
  type ClientRequest,
  request as httpRequest,
  type IncomingMessage,
} from "node:http";
import { connect, type Socket } from "node:net";
import { rootKey } from "./server-process.ts";

export interface Answer {
  readonly status: number;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: Buffer;
}

export interface RequestOptions {
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: string | Uint8Array;
  readonly agent?: Agent;
  /** Left out: the root key. */
  readonly authorization?: string | null;
}

export const basicAuthorization = `Basic ${Buffer.from(rootKey).toString("base64")}`;

/** Where an object of the bucket `demo` is. */
export function objectPath(key: string): string {
  return `/v1/objects/demo/${key.split("/").map(encodeURIComponent).join("/")}`;
}

/** Rejects when the connection breaks or the answer does not come whole. */
export async function send(
  server: { readonly url: string },
  method: string,
  path: string,
  options: RequestOptions = {},
): Promise<Answer> {
  const { body } = options;
  const length = body === undefined ? 0 : Buffer.byteLength(body);
  const given = options.headers ?? {};
  const chunked = Object.keys(given).some((name) => name.toLowerCase() === "transfer-encoding");
  const headers =
    body === undefined || chunked ? given : { "content-length": `${length}`, ...given };
  const sent = begin(server, method, path, { ...options, headers });
  sent.request.end(body);
  return await sent.answer;
}

/** A request whose body is the caller's to write. */
export function begin(
  server: { readonly url: string },
  method: string,
  path: string,
  options: Omit<RequestOptions, "body"> = {},
): { readonly request: ClientRequest; readonly answer: Promise<Answer> } {
  const { headers = {}, agent = false, authorization = basicAuthorization } = options;
  const request = httpRequest(`${server.url}${path}`, {
    method,
    agent,
    headers: authorization === null ? headers : { authorization, ...headers },
  });
  const answer = new Promise<Answer>((resolve, reject) => {
    request.on("error", reject);
    request.on("response", (response) => receive(response).then(resolve, reject));
  });
  return { request, answer };
}

async function receive(response: IncomingMessage): Promise<Answer> {
  const chunks: Buffer[] = [];
  for await (const chunk of response) chunks.push(chunk);
  if (!response.complete) throw new Error("the answer was cut off");
  const headers: Record<string, string> = {};
  for (const [name, value] of Object.entries(response.headers)) headers[name] = String(value);
  return { status: response.statusCode ?? 0, headers, body: Buffer.concat(chunks) };
}

export function put(
  server: { readonly url: string },
  key: string,
  body: string | Uint8Array,
  headers: Readonly<Record<string, string>> = {},
): Promise<Answer> {
  return send(server, "PUT", objectPath(key), { body, headers });
}

export function get(
  server: { readonly url: string },
  key: string,
  headers: Readonly<Record<string, string>> = {},
): Promise<Answer> {
  return send(server, "GET", objectPath(key), { headers });
}

export function postJson(
  server: { readonly url: string },
  path: string,
  value: unknown,
): Promise<Answer> {
  const headers = { "content-type": "application/json" };
  return send(server, "POST", path, { body: JSON.stringify(value), headers });
}

/** The code of a problem document; undefined if it is none. */
export function problemCode(answer: Answer): string | undefined {
  try {
    const value: unknown = JSON.parse(answer.body.toString("utf8"));
    const code: unknown =
      typeof value === "object" && value !== null ? Reflect.get(value, "code") : undefined;
    return typeof code === "string" ? code : undefined;
  } catch {
    return undefined;
  }
}

/** Names and bytes of all objects of `demo` whose keys begin so. */
export async function readAll(
  server: { readonly url: string },
  prefix = "",
): Promise<Map<string, Buffer>> {
  const found = new Map<string, Buffer>();
  for (const key of await listKeys(server, prefix)) found.set(key, (await get(server, key)).body);
  return found;
}

/** One page: tests have few objects. */
export async function listKeys(server: { readonly url: string }, prefix = ""): Promise<string[]> {
  const query = new URLSearchParams({ prefix, limit: "1000" });
  const answer = await send(server, "GET", `/v1/objects/demo?${query}`);
  if (answer.status !== 200) throw new Error(`list answered ${answer.status}: ${answer.body}`);
  const page: unknown = JSON.parse(answer.body.toString("utf8"));
  const objects: unknown = Reflect.get(Object(page), "objects");
  if (!Array.isArray(objects)) throw new Error("the page has no objects");
  return objects.map((object: unknown) => String(Reflect.get(Object(object), "key")));
}

/** A form with fields, and then files in the fields `file`. */
export function formBody(
  files: readonly { readonly name: string; readonly bytes: Uint8Array }[],
  fields: Readonly<Record<string, string>> = {},
): {
  readonly headers: Readonly<Record<string, string>>;
  readonly body: Buffer;
} {
  const boundary = "----roma-test-form";
  const values = Object.entries(fields).map(([name, value]) =>
    Buffer.from(
      `--${boundary}\r\ncontent-disposition: form-data; name="${name}"\r\n\r\n${value}\r\n`,
    ),
  );
  const pieces = files.flatMap(({ name, bytes }) => [
    Buffer.from(
      `--${boundary}\r\ncontent-disposition: form-data; name="file"; filename="${name}"\r\n` +
        "content-type: application/octet-stream\r\n\r\n",
    ),
    bytes,
    Buffer.from("\r\n"),
  ]);
  const body = Buffer.concat([...values, ...pieces, Buffer.from(`--${boundary}--\r\n`)]);
  return { headers: { "content-type": `multipart/form-data; boundary=${boundary}` }, body };
}

/** A bare connection, for requests that no well-behaved client would send. */
export async function openSocket(server: { readonly url: string }): Promise<Socket> {
  const { hostname, port } = new URL(server.url);
  const socket = connect({ host: hostname, port: Number(port) });
  await new Promise<void>((resolve, reject) => {
    socket.once("connect", resolve).once("error", reject);
  });
  // From here on a reset is an ending like any other.
  socket.on("error", () => {});
  return socket;
}

/** The lines of a request's head, ending in an empty one. */
export function requestHead(
  method: string,
  path: string,
  headers: Readonly<Record<string, string>>,
): string {
  const lines = Object.entries({
    host: "roma.test",
    authorization: basicAuthorization,
    ...headers,
  });
  return [
    `${method} ${path} HTTP/1.1`,
    ...lines.map(([name, value]) => `${name}: ${value}`),
    "",
    "",
  ].join("\r\n");
}

/** All that comes until the connection ends, however it ends. */
export async function readToEnd(socket: Socket): Promise<Buffer> {
  const chunks: Buffer[] = [];
  socket.on("data", (chunk: Buffer) => chunks.push(chunk));
  if (!socket.destroyed) await new Promise((resolve) => socket.once("close", resolve));
  return Buffer.concat(chunks);
}
