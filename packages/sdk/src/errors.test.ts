import assert from "node:assert/strict";
import { test } from "node:test";
import { refusalError } from "./errors.ts";

const asked = { method: "DELETE", path: "/v1/objects/b/k", headers: {} };

test("a code that only a newer server knows keeps what it says for people, and whether to try again", () => {
  const problem = {
    type: "urn:roma:error:of_tomorrow",
    title: "Of tomorrow",
    status: 403,
    detail: "not before tomorrow",
    code: "of_tomorrow",
    requestId: "r-1",
    retryable: true,
    until: "2030-01-01",
  };
  const error = refusalError({ ...asked, status: 403, text: JSON.stringify(problem) });
  assert.equal(error.code, "access_denied");
  assert.equal(error.message, "not before tomorrow");
  assert.equal(error.requestId, "r-1");
  assert.equal(error.retryable, true);
  assert.equal(error.problem?.type, problem.type);
  assert.equal(error.problem?.until, "2030-01-01");
});

test("a body that is no problem document is not taken for one", () => {
  for (const text of ["", "<html>", "null", "[]", '{"code":403}', '{"error":"no"}']) {
    const error = refusalError({ ...asked, status: 418, text });
    assert.equal(error.code, "bad_answer", text);
    assert.equal(error.problem, null, text);
  }
});
