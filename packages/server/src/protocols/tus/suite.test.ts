// What the public conformance suite of tus (Hurl files) asks beyond the specification's text, and each
// of the requests that it makes of an extension: as one table of exchanges against one server.

import assert from "node:assert/strict";
import { test } from "node:test";
import { bytesType, type CallOptions, metadata, startTus, type TusServer } from "./testing.ts";

interface Exchange {
  readonly name: string;
  readonly method: string;
  /** Of a new upload with these fields, with what it was given; left out: the bucket. */
  readonly upload?: Readonly<Record<string, string>>;
  readonly uploaded?: string;
  readonly target?: string;
  readonly headers?: CallOptions["headers"];
  readonly body?: string;
  readonly status: number;
  /** `true`: there; `false`: not there; text or pattern: its value. */
  readonly answer?: Readonly<Record<string, string | RegExp | boolean>>;
}

const five = { "upload-length": "5" };
const partial = { ...five, "upload-concat": "partial" };
const bytes = { "content-type": bytesType };
const named = metadata({ is_confidential: "", filename: "world_domination_plan.pdf" });
const at = (offset: number) => ({ ...bytes, "upload-offset": String(offset) });
const date = /^\w{3}, \d{2} \w{3} \d{4} \d{2}:\d{2}:\d{2} GMT$/;

const exchanges: readonly Exchange[] = [
  {
    name: "OPTIONS is 200 with what is spoken",
    method: "OPTIONS",
    status: 200,
    answer: { "tus-version": /\b1\.0\.0\b/, "tus-resumable": "1.0.0", "tus-max-size": /^\d+$/ },
  },
  {
    name: "OPTIONS ignores Tus-Resumable",
    method: "OPTIONS",
    headers: { "tus-resumable": "0.0.1" },
    status: 200,
  },
  {
    name: "OPTIONS names sha1",
    method: "OPTIONS",
    status: 200,
    answer: { "tus-checksum-algorithm": /\bsha1\b/, "tus-extension": /creation.*checksum/ },
  },
  {
    name: "POST: Location is absolute",
    method: "POST",
    headers: five,
    status: 201,
    answer: { location: /^http:\/\//, "tus-resumable": "1.0.0", "upload-expires": date },
  },
  {
    name: "POST without a version",
    method: "POST",
    headers: { ...five, "tus-resumable": null },
    status: 412,
    answer: { "tus-version": "1.0.0" },
  },
  {
    name: "POST with metadata and an empty value",
    method: "POST",
    headers: { ...five, "upload-metadata": named },
    status: 201,
  },
  {
    name: "POST with a body of another type",
    method: "POST",
    headers: { ...five, "content-type": "application/json" },
    body: "{}",
    status: 415,
  },
  {
    name: "POST with bytes",
    method: "POST",
    headers: { ...five, ...bytes },
    body: "hello",
    status: 201,
    answer: { "upload-offset": "5" },
  },
  {
    name: "POST with the first bytes",
    method: "POST",
    headers: { "upload-length": "10", ...bytes },
    body: "hello",
    status: 201,
    answer: { "upload-offset": "5" },
  },
  {
    name: "POST with more bytes than the length",
    method: "POST",
    headers: { "upload-length": "3", ...bytes },
    body: "hello",
    status: 413,
  },
  { name: "POST deferred", method: "POST", headers: { "upload-defer-length": "1" }, status: 201 },
  {
    name: "POST deferred and with a length",
    method: "POST",
    headers: { ...five, "upload-defer-length": "1" },
    status: 400,
  },
  {
    name: "POST deferred by another value",
    method: "POST",
    headers: { "upload-defer-length": "2" },
    status: 400,
  },
  {
    name: "HEAD is 200, offset 0 too, never cached",
    method: "HEAD",
    upload: five,
    status: 200,
    answer: {
      "upload-offset": "0",
      "upload-length": "5",
      "cache-control": "no-store",
      "upload-expires": date,
    },
  },
  {
    name: "HEAD without a version",
    method: "HEAD",
    upload: five,
    headers: { "tus-resumable": null },
    status: 412,
    answer: { "tus-version": "1.0.0" },
  },
  {
    name: "HEAD with an unsupported version",
    method: "HEAD",
    upload: five,
    headers: { "tus-resumable": "0.9" },
    status: 412,
    answer: { "tus-version": "1.0.0" },
  },
  {
    name: "HEAD of nothing",
    method: "HEAD",
    target: "/tus/demo/nothing",
    status: 404,
    answer: { "upload-offset": false, "cache-control": "no-store" },
  },
  {
    name: "HEAD of a complete upload",
    method: "HEAD",
    upload: five,
    uploaded: "hello",
    status: 200,
    answer: { "upload-offset": "5", "upload-length": "5" },
  },
  {
    name: "HEAD returns metadata as sent",
    method: "HEAD",
    upload: { ...five, "upload-metadata": named },
    status: 200,
    answer: { "upload-metadata": named },
  },
  {
    name: "HEAD of a deferred length",
    method: "HEAD",
    upload: { "upload-defer-length": "1" },
    status: 200,
    answer: { "upload-defer-length": "1", "upload-length": false },
  },
  {
    name: "PATCH",
    method: "PATCH",
    upload: five,
    headers: at(0),
    body: "he",
    status: 204,
    answer: { "upload-offset": "2", "upload-expires": date },
  },
  {
    name: "PATCH without a version",
    method: "PATCH",
    upload: five,
    headers: { ...at(0), "tus-resumable": null },
    body: "he",
    status: 412,
    answer: { "tus-version": "1.0.0" },
  },
  {
    name: "PATCH without an offset",
    method: "PATCH",
    upload: five,
    headers: bytes,
    body: "he",
    status: 400,
  },
  {
    name: "PATCH with a negative offset",
    method: "PATCH",
    upload: five,
    headers: { ...bytes, "upload-offset": "-1" },
    body: "he",
    status: 400,
  },
  {
    name: "PATCH at another offset tells the right one",
    method: "PATCH",
    upload: five,
    headers: at(3),
    body: "he",
    status: 409,
    answer: { "upload-offset": "0" },
  },
  {
    name: "PATCH of another type",
    method: "PATCH",
    upload: five,
    headers: { ...at(0), "content-type": "text/plain" },
    body: "he",
    status: 415,
  },
  {
    name: "PATCH past the length",
    method: "PATCH",
    upload: five,
    headers: at(0),
    body: "hello!",
    status: 413,
  },
  {
    name: "PATCH of nothing",
    method: "PATCH",
    target: "/tus/demo/nothing",
    headers: at(0),
    body: "he",
    status: 404,
  },
  {
    name: "PATCH tells the deferred length",
    method: "PATCH",
    upload: { "upload-defer-length": "1" },
    headers: { ...at(0), ...five },
    body: "he",
    status: 204,
    answer: { "upload-offset": "2" },
  },
  {
    name: "PATCH with a wrong checksum",
    method: "PATCH",
    upload: five,
    headers: { ...at(0), "upload-checksum": `sha1 ${Buffer.alloc(21).toString("base64")}` },
    body: "hello",
    status: 460,
  },
  {
    name: "PATCH with an unknown algorithm",
    method: "PATCH",
    upload: five,
    headers: { ...at(0), "upload-checksum": "foo YQ==" },
    body: "hello",
    status: 400,
  },
  {
    name: "PATCH with its checksum",
    method: "PATCH",
    upload: five,
    headers: { ...at(0), "upload-checksum": "sha1 qvTGHdzF6KLavt4PO0gs2a6pQ00=" },
    body: "hello",
    status: 204,
    answer: { "upload-offset": "5" },
  },
  {
    name: "PATCH by POST",
    method: "POST",
    upload: five,
    headers: { ...at(0), "x-http-method-override": "PATCH" },
    body: "he",
    status: 204,
  },
  {
    name: "DELETE",
    method: "DELETE",
    upload: five,
    status: 204,
    answer: { "tus-resumable": "1.0.0" },
  },
  { name: "DELETE of nothing", method: "DELETE", target: "/tus/demo/nothing", status: 404 },
  {
    name: "DELETE without a version",
    method: "DELETE",
    upload: five,
    headers: { "tus-resumable": null },
    status: 412,
    answer: { "tus-version": "1.0.0" },
  },
  {
    name: "HEAD of a partial",
    method: "HEAD",
    upload: partial,
    status: 200,
    answer: { "upload-concat": "partial", "upload-offset": "0" },
  },
  {
    name: "a final of nothing",
    method: "POST",
    headers: { "upload-concat": "final;" },
    status: 400,
  },
  {
    name: "a final of what is not there",
    method: "POST",
    headers: { "upload-concat": "final;/tus/demo/nothing" },
    status: 404,
  },
];

test("the exchanges of the public suite", async (t) => {
  const tus = await startTus(t);
  for (const row of exchanges) await t.test(row.name, () => run(tus, row));
});

async function run(tus: TusServer, row: Exchange): Promise<void> {
  const target =
    row.upload === undefined
      ? (row.target ?? "/tus/demo")
      : await tus.create(row.upload, row.uploaded);
  const { headers, body } = row;
  const answered = await tus.call(row.method, target, {
    headers,
    ...(body === undefined ? {} : { body }),
  });
  assert.equal(answered.status, row.status, answered.text);
  for (const [name, wanted] of Object.entries(row.answer ?? {})) {
    const value = answered.headers[name];
    if (typeof wanted === "boolean") assert.equal(value !== undefined, wanted, name);
    else if (typeof wanted === "string") assert.equal(value, wanted, name);
    else assert.match(String(value), wanted, name);
  }
}

test("a final upload: its length and offset, its field as sent, and no bytes of its own", async (t) => {
  const tus = await startTus(t);
  const parts = [await tus.create(partial, "hello"), await tus.create(partial, "world")];
  const concat = `final;${parts.map((path) => `${tus.url}${path}`).join(" ")}`;
  const made = await tus.call("POST", "/tus/demo", { headers: { "upload-concat": concat } });
  assert.equal(made.status, 201);
  const path = String(made.headers.location);
  const head = await tus.call("HEAD", path);
  assert.equal(head.headers["upload-concat"], concat);
  assert.equal(head.headers["upload-length"], "10");
  assert.equal(head.headers["upload-offset"], "10");
  assert.equal((await tus.append(path, 10, "x")).status, 403);
  const long = { "upload-concat": concat, "upload-length": "10" };
  assert.equal((await tus.call("POST", "/tus/demo", { headers: long })).status, 400);
});
