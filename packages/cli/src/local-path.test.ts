/** Where a downloaded key ends up. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { localPath } from "./local-path.ts";
import { UsageError } from "./usage-error.ts";

test("keys that would leave the folder, or have no place in it, are refused", () => {
  assert.equal(localPath("/base", "a/ü b/c"), "/base/a/ü b/c");
  for (const key of ["../x", "a/../../x", "/etc/passwd", "a//b", "a/./b", "a/", "", "a\0b"]) {
    assert.throws(() => localPath("/base", key), UsageError, key);
  }
});
