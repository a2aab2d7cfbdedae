// What clients do depends on the status alone: each code by each method.

import assert from "node:assert/strict";
import { test } from "node:test";
import { errorCodes } from "@roma/contract";
import type { FastifyPluginAsync } from "fastify";
import { OperationalError } from "../../core/errors.ts";
import { silentLog } from "../../core/ports/log.ts";
import { closeHttp, createHttp, errorHandler, httpConfig } from "../../http/index.ts";
import { errorTable, locationDecorator, renderTusError } from "./errors.ts";

const passing = [
  ...["locked", "request_timeout", "rate_limited", "overloaded", "unavailable"],
  "incomplete_body",
];

test("no condition that passes has a status that makes a client give up", async (t) => {
  const app = createHttp({
    log: silentLog,
    config: httpConfig.parse({}),
    renderError: renderTusError,
  });
  t.after(() => closeHttp(app, { drainMs: 0 }));
  const routes: FastifyPluginAsync = async (inner) => {
    inner.decorateRequest(locationDecorator);
    inner.setErrorHandler(errorHandler(renderTusError));
    for (const code of errorCodes) {
      inner.route({
        method: ["HEAD", "PATCH", "POST"],
        url: `/${code}`,
        handler: () => {
          throw new OperationalError(code, "what happened", { context: { offset: 7, size: 9 } });
        },
      });
    }
  };
  await app.register(routes);
  for (const code of errorCodes) {
    const { status } = errorTable[code];
    const patched = await app.inject({ method: "PATCH", url: `/${code}` });
    assert.equal(patched.statusCode, status, code);
    assert.equal(patched.headers["tus-resumable"], "1.0.0", code);
    assert.ok(![408, 425, 429].includes(status), code);
    assert.equal(status === 412, code === "precondition_failed", code);
    assert.equal(status === 409, code === "offset_mismatch", code);
    assert.equal(patched.headers["upload-offset"], status === 409 ? "7" : undefined, code);
    if (passing.includes(code)) {
      assert.ok([423, 503].includes(status), code);
      assert.ok(Number(patched.headers["retry-after"]) > 0, code);
    }
    const head = await app.inject({ method: "HEAD", url: `/${code}` });
    assert.equal(head.statusCode, status >= 500 ? 423 : status, code);
    assert.equal(head.headers["retry-after"] !== undefined, head.statusCode === 423, code);
    assert.equal(head.body, "");
    const overridden = await app.inject({
      method: "POST",
      url: `/${code}`,
      headers: { "x-http-method-override": "HEAD" },
    });
    assert.equal(overridden.statusCode, head.statusCode, code);
  }
});
