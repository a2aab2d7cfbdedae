import assert from "node:assert/strict";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type TestContext, test } from "node:test";
import type { FastifyRequest } from "fastify";
import type { Actor } from "../core/access.ts";
import { AccessKeys } from "../core/access-keys.ts";
import { isOperationalError } from "../core/errors.ts";
import { signGrant } from "../core/grants.ts";
import { systemClock } from "../core/ports/clock.ts";
import { silentLog } from "../core/ports/log.ts";
import { createSealer } from "../core/sealing.ts";
import { closeHttp, createHttp, httpConfig, renderProblem } from "../http/index.ts";
import { openSqliteStore } from "../metadata/index.ts";
import { type AuthenticateOptions, assertNoSignedBody, authenticate } from "./index.ts";

const key = { id: "ROOTKEY", secret: "correct-horse-battery" };

/** A protocol whose header `x-method` says what is asked for; it answers with the actor's kind. */
async function startGate(t: TestContext) {
  const opened = new AsyncDisposableStack();
  t.after(() => opened.disposeAsync());
  const folder = await mkdtemp(join(tmpdir(), "roma-gate-"));
  opened.defer(() => rm(folder, { recursive: true, force: true }));
  const path = join(folder, "roma.sqlite");
  const metadata = opened.use(await openSqliteStore({ path, log: silentLog }));
  const sealer = createSealer(Buffer.alloc(32, 7));
  const accessKeys = new AccessKeys({ metadata, sealer, clock: systemClock });
  await accessKeys.ensureRoot(key);
  const app = createHttp({
    log: silentLog,
    config: httpConfig.parse({}),
    renderError: (error, { id }) =>
      renderProblem(error, { status: 400, title: error.code, requestId: id }),
  });
  opened.defer(() => closeHttp(app, { drainMs: 0 }));
  const methodOf = ({ headers }: FastifyRequest): AuthenticateOptions => ({
    protocol: "test",
    ...(typeof headers["x-method"] === "string" ? { method: headers["x-method"] } : {}),
  });
  app.route({
    method: ["GET", "POST", "PATCH"],
    url: "/",
    handler: async (request) => {
      const { actor } = await authenticate(
        { accessKeys, clock: systemClock },
        request,
        methodOf(request),
      );
      return { actor: actor.kind } satisfies { readonly actor: Actor["kind"] };
    },
  });
  return async (method: "GET" | "POST", headers: Record<string, string>, query = "") => {
    const { body } = await app.inject({ method, url: `/${query}`, headers });
    return body;
  };
}

test("a grant's methods are judged by what the request asks for, not by its request line", async (t) => {
  const ask = await startGate(t);
  const grantFor = (methods: readonly string[]) =>
    signGrant(
      { bucket: "b", key: "k", actions: ["object:write"], methods },
      { keyId: key.id, secret: key.secret },
      new Date(Date.now() + 60_000),
    );
  const patch = grantFor(["PATCH"]);
  const cases: readonly (readonly ["GET" | "POST", string | undefined, string, RegExp])[] = [
    ["POST", "PATCH", patch, /"actor":"grant"/],
    ["POST", undefined, patch, /does not permit the method POST/],
    ["POST", "DELETE", patch, /does not permit the method DELETE/],
    ["POST", "PATCH", grantFor(["POST"]), /does not permit the method PATCH/],
    ["POST", "HEAD", grantFor(["GET"]), /"actor":"grant"/],
    ["POST", "POST", grantFor(["POST"]), /"actor":"grant"/],
  ];
  for (const [sent, asked, grant, answer] of cases) {
    const overridden: Record<string, string> = asked === undefined ? {} : { "x-method": asked };
    const bearer = await ask(sent, { ...overridden, authorization: `Bearer ${grant}` });
    assert.match(bearer, answer, `${sent} as ${asked}`);
    assert.match(await ask(sent, overridden, `?grant=${grant}`), answer, `${sent} as ${asked}`);
  }
});

test("the gate names nobody, keys and grants, and refuses what is wrong or double", async (t) => {
  const ask = await startGate(t);
  assert.match(await ask("GET", {}), /"actor":"anonymous"/);
  const basic = Buffer.from(`${key.id}:${key.secret}`).toString("base64");
  assert.match(await ask("GET", { authorization: `Basic ${basic}` }), /"actor":"key"/);
  assert.match(
    await ask("GET", { authorization: `Bearer ${key.id}.${key.secret}` }),
    /"actor":"key"/,
  );
  assert.match(await ask("GET", { authorization: "Bearer ROOTKEY.x" }), /"code":"unauthenticated"/);
  assert.match(await ask("GET", { authorization: "Digest x" }), /"code":"unauthenticated"/);
  assert.match(
    await ask("GET", { authorization: `Basic ${basic}` }, "?grant=x"),
    /two credentials/,
  );
});

test("a signed body is refused where what is asked for has none", () => {
  const caller = { actor: { kind: "anonymous" }, bodySha256: Buffer.alloc(32, 1) } as const;
  const mismatch = (error: unknown) => isOperationalError(error, "checksum_mismatch");
  for (const method of ["GET", "HEAD", "DELETE", "OPTIONS"]) {
    assert.throws(() => assertNoSignedBody(method, caller), mismatch, method);
  }
  assertNoSignedBody("PATCH", caller);
});
