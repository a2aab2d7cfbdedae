/** The streaming SHA-256 against Node's own. */
import assert from "node:assert/strict";
import { createHash, randomBytes } from "node:crypto";
import { test } from "node:test";
import { makeSha256, startSha256 } from "./sha256.ts";

test("every length from 0 to 260, cut anywhere, agrees with Node's", () => {
  const bytes = randomBytes(260);
  for (let length = 0; length <= bytes.length; length++) {
    const expected = createHash("sha256").update(bytes.subarray(0, length)).digest("hex");
    for (let cut = 0; cut <= length; cut += 13) {
      const sha = startSha256();
      sha.update(bytes.subarray(0, cut));
      sha.update(bytes.subarray(cut, length));
      assert.equal(sha.hex(), expected, `length ${length} cut at ${cut}`);
    }
  }
});

test("a long input in uneven chunks agrees with Node's", () => {
  const bytes = randomBytes(5_000_003);
  const sha = startSha256();
  for (let at = 0; at < bytes.length; at += 77_777) sha.update(bytes.subarray(at, at + 77_777));
  assert.equal(sha.hex(), createHash("sha256").update(bytes).digest("hex"));
});

test("its source works by itself, as a worker runs it", () => {
  const start: () => ReturnType<typeof startSha256> = new Function(`return (${makeSha256})()`)();
  const sha = start();
  sha.update(Buffer.from("abc"));
  assert.equal(sha.hex(), createHash("sha256").update("abc").digest("hex"));
});
