/** Exchanges of resumable uploads over raw sockets, for the tests of this folder. */
import { connect, type Socket } from "node:net";
import type { TestContext } from "node:test";
import { basic, exchangeRaw, type RestServer, startRest } from "./testing.ts";

export type Fields = Readonly<Record<string, string>>;

export interface Heard {
  /** Heads of the 104s, byte by byte. */
  readonly informed: readonly string[];
  readonly status: number;
  readonly fields: Fields;
  readonly body: string;
  readonly json: Record<string, unknown>;
}

export interface ResumableServer extends RestServer {
  /** One request on a connection of its own, and all that comes back. */
  readonly say: (method: string, target: string, fields: Fields, body?: string) => Promise<Heard>;
  /** A request whose body is yet to come. */
  readonly begin: (method: string, target: string, fields: Fields) => Socket;
}

/** With 104s on, and the bucket `b`. */
export async function startResumable(
  t: TestContext,
  options: { readonly http?: object } = {},
): Promise<ResumableServer> {
  const http = { uploadResumptionSupported: true, ...options.http };
  const server = await startRest(t, { http });
  await server.call("PUT", "/v1/buckets/b");
  const head = (method: string, target: string, fields: Fields): string => {
    const all = { Host: "files.example", Connection: "close", Authorization: basic(server.key) };
    const lines = Object.entries({ ...all, ...fields }).map(([name, value]) => `${name}: ${value}`);
    return [`${method} ${target} HTTP/1.1`, ...lines, "", ""].join("\r\n");
  };
  return {
    ...server,
    say: async (method, target, fields, body) => {
      const length = body === undefined ? {} : { "Content-Length": String(body.length) };
      const framing = fields["Transfer-Encoding"] === undefined ? length : {};
      const request = head(method, target, { ...framing, ...fields }) + (body ?? "");
      return heard(await exchangeRaw(server.port, Buffer.from(request, "latin1")));
    },
    begin: (method, target, fields) => {
      const socket = connect({ port: server.port, host: "127.0.0.1" });
      t.after(() => socket.destroy());
      socket.on("error", () => undefined);
      socket.write(head(method, target, fields));
      return socket;
    },
  };
}

/** The path of an absolute `Location`. */
export function pathOf({ fields }: Heard): string {
  return (fields.location ?? "").replace(/^http:\/\/files\.example/, "");
}

/** Reads until what was read fits. */
export async function readUntil(socket: Socket, pattern: RegExp): Promise<string> {
  let text = "";
  for await (const chunk of socket.iterator({ destroyOnReturn: false })) {
    text += chunk.toString("latin1");
    if (pattern.test(text)) return text;
  }
  throw new Error(`the connection ended after ${JSON.stringify(text)}`);
}

/** Reads until a final answer has come whole, by its `Content-Length`. */
export async function readAnswer(socket: Socket): Promise<Heard> {
  const whole = /^(?:HTTP\/1\.1 1[\s\S]*?\r\n\r\n)*HTTP\/1\.1 [2-5][\s\S]*?\r\n\r\n/;
  let text = "";
  for await (const chunk of socket.iterator({ destroyOnReturn: false })) {
    text += chunk.toString("latin1");
    const head = whole.exec(text)?.[0];
    const length = Number(/\r\ncontent-length: (\d+)\r\n/i.exec(head ?? "")?.[1]);
    if (head !== undefined && text.length >= head.length + length) return heard(text);
  }
  throw new Error(`the connection ended after ${JSON.stringify(text)}`);
}

export function heard(text: string): Heard {
  const informed: string[] = [];
  let rest = text;
  while (rest.startsWith("HTTP/1.1 1")) {
    const end = rest.indexOf("\r\n\r\n") + 4;
    informed.push(rest.slice(0, end));
    rest = rest.slice(end);
  }
  const [head = "", ...bodies] = rest.split("\r\n\r\n");
  const body = Buffer.from(bodies.join("\r\n\r\n"), "latin1").toString();
  const [line = "", ...lines] = head.split("\r\n");
  const fields = lines.map((field) => {
    const at = field.indexOf(":");
    return [field.slice(0, at).toLowerCase(), field.slice(at + 1).trim()] as const;
  });
  return {
    informed,
    status: Number(line.split(" ")[1]),
    fields: Object.fromEntries(fields),
    body,
    json: body.startsWith("{") ? JSON.parse(body) : {},
  };
}
