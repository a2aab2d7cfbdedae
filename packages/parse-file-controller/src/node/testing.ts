/** A server that does to requests what a test says, and as much of Parse's SDK as the controller uses. */
import { once } from "node:events";
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import type { TestContext } from "node:test";
import type { ParseSdk } from "../sdk.ts";

export type Handler = (request: IncomingMessage, response: ServerResponse) => unknown;

export class ParseError extends Error {
  readonly code: number;

  constructor(code: number, message: string) {
    super(message);
    this.code = code;
  }
}

/** The SDK as `Parse.initialize` leaves it, with `serverURL` at the server. */
export async function startServer(
  t: TestContext,
  handler: Handler,
): Promise<{ readonly url: string; readonly parse: ParseSdk }> {
  const server = createServer((request, response) => {
    Promise.resolve(handler(request, response)).catch((error: unknown) => {
      response.destroy();
      if (!request.destroyed) throw error;
    });
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  t.after(() => {
    server.closeAllConnections();
    server.close();
  });
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  const settings: Record<string, unknown> = {
    ...{ SERVER_URL: `${url}/parse/`, APPLICATION_ID: "shop", JAVASCRIPT_KEY: "js" },
    ...{ MASTER_KEY: "master", USE_MASTER_KEY: false },
  };
  const parse: ParseSdk = {
    CoreManager: {
      get: (name) => settings[name],
      setFileController() {},
      getUserController: () => ({
        currentUserAsync: async () => ({ getSessionToken: () => "r:session" }),
      }),
    },
    Error: ParseError,
    File: class {},
  };
  return { url, parse };
}

export async function readBody(request: IncomingMessage): Promise<Buffer> {
  const chunks: Buffer[] = [];
  for await (const chunk of request) chunks.push(chunk);
  return Buffer.concat(chunks);
}

export function answerSaved(response: ServerResponse): void {
  response.writeHead(201, { "content-type": "application/json" });
  response.end(JSON.stringify({ name: "stored", url: "http://files.example.com/stored" }));
}
