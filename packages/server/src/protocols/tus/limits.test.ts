// Limits of buckets and clients as tus says them, and where an upload's address ends.

import assert from "node:assert/strict";
import { test } from "node:test";
import { bytesType, metadata, startTus, type TusServer } from "./testing.ts";

async function makeBucket(tus: TusServer, name: string, settings: object): Promise<void> {
  const made = await tus.call("PUT", `/v1/buckets/${name}`, {
    headers: { "content-type": "application/json" },
    body: JSON.stringify(settings),
  });
  assert.equal(made.status, 201, made.text);
}

test("a bucket's content types: the bytes decide, and the upload that cannot be is gone", async (t) => {
  const tus = await startTus(t);
  await makeBucket(tus, "images", { contentTypes: ["image/*"] });
  const made = await tus.call("POST", "/tus/images", {
    headers: { "upload-length": "5", "upload-metadata": metadata({ filetype: "image/png" }) },
  });
  const path = String(made.headers.location);
  assert.equal((await tus.append(path, 0, "%PDF-")).status, 415);
  assert.equal((await tus.call("HEAD", path)).status, 404);
});

test("a bucket's quota is 413, whole uploads before their first byte", async (t) => {
  const tus = await startTus(t);
  await makeBucket(tus, "few", { quotaBytes: 10 });
  const post = (length: number) =>
    tus.call("POST", "/tus/few", { headers: { "upload-length": String(length) } });
  assert.equal((await post(11)).status, 413);
  const made = await post(8);
  assert.equal(made.status, 201);
  assert.equal((await post(3)).status, 413);
  assert.equal((await tus.call("DELETE", String(made.headers.location))).status, 204);
  assert.equal((await post(3)).status, 201);
});

test("too many uploads begun, or open, are 503 with Retry-After", async (t) => {
  const tus = await startTus(t, { uploads: { openMax: 2 } });
  const headers = { "upload-length": "5" };
  assert.equal((await tus.call("POST", "/tus/demo", { headers })).status, 201);
  const second = await tus.call("POST", "/tus/demo", { headers });
  assert.equal(second.status, 201);
  const third = await tus.call("POST", "/tus/demo", { headers });
  assert.equal(third.status, 503, third.text);
  assert.ok(Number(third.headers["retry-after"]) > 0);
  assert.equal((await tus.append(String(second.headers.location), 0, "hello")).status, 204);
  assert.equal((await tus.call("POST", "/tus/demo", { headers })).status, 201);
});

test("an upload is under its own bucket's path, and of its own protocol, alone", async (t) => {
  const tus = await startTus(t);
  await makeBucket(tus, "other", {});
  const path = await tus.create({ "upload-length": "5" });
  const made = await tus.call("PUT", "/v1/objects/demo/ietf", {
    headers: { "upload-draft-interop-version": "8", "upload-complete": "?0" },
    body: "he",
  });
  assert.equal(made.status, 201, made.text);
  const ietf = String(made.headers.location).split("/").at(-1);
  for (const target of [path.replace("/demo/", "/other/"), `/tus/demo/${ietf}`]) {
    for (const method of ["HEAD", "PATCH", "GET", "DELETE"]) {
      const headers = { "upload-offset": "0", "content-type": bytesType };
      assert.equal(
        (await tus.call(method, target, { headers })).status,
        404,
        `${method} ${target}`,
      );
    }
  }
  assert.equal((await tus.call("HEAD", path)).headers["upload-offset"], "0");
});

test("/v1/uploads shows the uploads of tus, and cancels them", async (t) => {
  const tus = await startTus(t);
  const path = await tus.create({ "upload-length": "5" }, "he");
  const id = path.split("/").at(-1);
  const shown = await tus.call("GET", `/v1/uploads/${id}`);
  assert.equal(shown.status, 200, shown.text);
  const { offset, length } = JSON.parse(shown.text) as { offset: number; length: number };
  assert.deepEqual([offset, length], [2, 5]);
  assert.equal((await tus.call("DELETE", `/v1/uploads/${id}`)).status, 204);
  assert.equal((await tus.call("HEAD", path)).status, 404);
});
