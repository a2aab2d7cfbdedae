import assert from "node:assert/strict";
import { type TestContext, test } from "node:test";
import { OperationalError } from "../core/errors.ts";
import { allowCors } from "./cors.ts";
import { startServer } from "./testing.ts";

async function corsServer(t: TestContext, origins: readonly string[]) {
  const { port } = await startServer(t, (app) => {
    allowCors(app, {
      origins,
      methods: ["GET", "PUT"],
      requestHeaders: ["authorization"],
      exposedHeaders: ["etag"],
      maxAgeSeconds: 600,
    });
    app.get("/", async () => "fine");
    app.get("/refused", async () => {
      throw new OperationalError("access_denied", "no");
    });
  });
  return async (path: string, headers: Record<string, string>, method = "GET") => {
    const response = await fetch(`http://127.0.0.1:${port}${path}`, { headers, method });
    await response.text();
    return response;
  };
}

test("a named origin may read answers and refusals; others get no header", async (t) => {
  const ask = await corsServer(t, ["https://app.example"]);
  for (const path of ["/", "/refused"]) {
    const named = await ask(path, { origin: "https://app.example" });
    assert.equal(named.headers.get("access-control-allow-origin"), "https://app.example");
    assert.equal(named.headers.get("access-control-expose-headers"), "etag");
    assert.equal(named.headers.get("vary"), "Origin");
    assert.equal(named.headers.get("access-control-allow-credentials"), null);
  }
  for (const origin of ["https://app.example.evil", "null", "https://app.example:8443"]) {
    const other = await ask("/", { origin });
    assert.equal(other.headers.get("access-control-allow-origin"), null, origin);
    assert.equal(other.headers.get("vary"), "Origin");
  }
});

test("a preflight is answered without a route", async (t) => {
  const ask = await corsServer(t, ["https://app.example"]);
  const headers = { origin: "https://app.example", "access-control-request-method": "PUT" };
  const answer = await ask("/anything", headers, "OPTIONS");
  assert.equal(answer.status, 204);
  assert.equal(answer.headers.get("access-control-allow-methods"), "GET, PUT");
  assert.equal(answer.headers.get("access-control-max-age"), "600");
});

test("without origins there is no CORS", async (t) => {
  const ask = await corsServer(t, []);
  const answer = await ask("/", { origin: "https://app.example" });
  assert.equal(answer.headers.get("access-control-allow-origin"), null);
  assert.equal(answer.headers.get("vary"), null);
});
