/** Serves the pages of tests in browsers, from an origin that is not the tested server's. */
import assert from "node:assert/strict";
import { createServer, type RequestListener } from "node:http";
import type { TestContext } from "node:test";
import { cleanUp } from "./cleanup.ts";

/** On a free port; answers the origin. `localhost`, so that browsers take it for secure. Closed after the test. */
export async function servePages(t: TestContext, respond: RequestListener): Promise<string> {
  const server = createServer(respond);
  await new Promise<void>((listening) => server.listen(0, "127.0.0.1", listening));
  cleanUp(t, () => {
    server.closeAllConnections();
    server.close();
  });
  const address = server.address();
  assert(typeof address === "object" && address !== null);
  return `http://localhost:${address.port}`;
}
