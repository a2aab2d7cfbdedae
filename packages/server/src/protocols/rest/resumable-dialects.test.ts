/** The exchanges of each dialect, as a table, over raw sockets. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { type Fields, type Heard, pathOf, startResumable } from "./resumable-testing.ts";

interface Row {
  readonly version: number;
  /** `more`: does more follow? */
  readonly completeness: (more: boolean) => Fields;
  readonly appendType: string;
  readonly appendStatus: number;
  /** Which upload's address stands on the answer to a creation that was complete. */
  readonly location: "upload" | "object";
  readonly limit: RegExp | undefined;
  readonly headRefuses: readonly string[];
}

const complete = (more: boolean): Fields => ({ "upload-complete": more ? "?0" : "?1" });
const partial = "application/partial-upload";
const both = ["Upload-Offset", "Upload-Complete"];

const rows: readonly Row[] = [
  {
    version: 3,
    completeness: (more) => ({ "upload-incomplete": more ? "?1" : "?0" }),
    appendType: "image/jpeg",
    appendStatus: 201,
    location: "upload",
    limit: undefined,
    headRefuses: ["Upload-Offset", "Upload-Incomplete"],
  },
  ...[4, 5].map((version) => ({
    version,
    completeness: complete,
    appendType: "image/jpeg",
    appendStatus: 201,
    location: "upload" as const,
    limit: undefined,
    headRefuses: both,
  })),
  {
    version: 6,
    completeness: complete,
    appendType: partial,
    appendStatus: 201,
    location: "upload",
    limit: /^max-size=5497558138880, expires=86(?:400|3\d\d), max-age=86(?:400|3\d\d)$/,
    headRefuses: [...both, "Upload-Length"],
  },
  ...[7, 8].map((version) => ({
    version,
    completeness: complete,
    appendType: partial,
    appendStatus: 204,
    location: "object" as const,
    limit: /^max-size=5497558138880, max-age=86(?:400|3\d\d)$/,
    headRefuses: [],
  })),
];

function assertFields(answer: Heard, status: number, fields: Fields): void {
  assert.equal(answer.status, status, answer.body);
  for (const [name, value] of Object.entries(fields))
    assert.equal(answer.fields[name], value, name);
}

function assertLimit({ fields }: Pick<Heard, "fields">, { limit }: Row): void {
  if (limit === undefined) assert.equal(fields["upload-limit"], undefined);
  else assert.match(fields["upload-limit"] ?? "", limit);
}

for (const row of rows) {
  const { version, completeness } = row;
  const spoken = { "Upload-Draft-Interop-Version": String(version) };
  const type = { "Content-Type": row.appendType };

  test(`interop ${version}: all in one; the 104 comes first and names the upload`, async (t) => {
    const { say, call } = await startResumable(t);
    const fields = { ...spoken, ...completeness(false), "Content-Type": "text/plain" };
    const answer = await say("PUT", "/v1/objects/b/k", fields, "hello");
    assertFields(answer, 201, { ...completeness(false), "upload-offset": "5" });
    assert.equal(answer.informed.length, 1);
    const [informed = ""] = answer.informed;
    const found =
      /^HTTP\/1\.1 104 [^\r\n]+\r\nupload-draft-interop-version: (\d)\r\nlocation: http:\/\/files\.example(\/v1\/uploads\/[0-9a-f]{32})\r\n(?:upload-limit: ([^\r\n]+)\r\n)?\r\n$/.exec(
        informed,
      );
    assert.ok(found !== null, informed);
    assert.equal(found[1], String(version));
    assertLimit({ fields: found[3] === undefined ? {} : { "upload-limit": found[3] } }, row);
    const location = row.location === "upload" ? found[2] : "/v1/objects/b/k";
    assert.equal(pathOf(answer), location);
    assert.equal(answer.json.key, "k");
    assert.equal(answer.fields.etag, answer.json.etag);
    assert.equal((await call("GET", "/v1/objects/b/k")).text, "hello");
    // The address goes on answering: the client may have lost the answer.
    assertFields(await say("HEAD", found[2] ?? "", spoken), 204, {
      ...completeness(false),
      "upload-offset": "5",
      "upload-length": "5",
    });
  });

  test(`interop ${version}: an empty creation, the offset, appends, and the last answer`, async (t) => {
    const { say, call } = await startResumable(t);
    const made = await say("PUT", "/v1/objects/b/k", {
      ...spoken,
      ...completeness(true),
      "Content-Type": "text/plain",
      "Roma-Meta-Author": "J%C3%B6rg",
    });
    assertFields(made, 201, { ...completeness(true), "upload-offset": "0", "content-length": "0" });
    assert.equal(made.body, "");
    assert.deepEqual(made.informed, []);
    assertLimit(made, row);
    const path = pathOf(made);
    const at = { "upload-offset": "0", "cache-control": "no-store", ...completeness(true) };
    assertFields(await say("HEAD", path, spoken), 204, at);

    const first = { ...spoken, ...type, ...completeness(true), "Upload-Offset": "0" };
    const appended = await say("PATCH", path, first, "hello ");
    assertFields(appended, row.appendStatus, { ...completeness(true), "upload-offset": "6" });
    assert.equal(appended.fields.location, undefined);
    assert.equal(appended.body, "");
    assertLimit(appended, row);

    const wrong = await say("PATCH", path, { ...first, "Upload-Offset": "3" }, "x");
    assertFields(wrong, 409, { ...completeness(true), "upload-offset": "6" });
    assert.equal(wrong.fields["content-type"], "application/problem+json");
    assert.equal(
      wrong.json.type,
      "https://iana.org/assignments/http-problem-types#mismatching-upload-offset",
    );
    assert.equal(wrong.json["expected-offset"], 6);
    assert.equal(wrong.json["provided-offset"], 3);

    const last = { ...spoken, ...type, ...completeness(false), "Upload-Offset": "6" };
    const whole = await say("PATCH", path, last, "world");
    assertFields(whole, 201, { ...completeness(false), "upload-offset": "11" });
    assert.equal(whole.fields.location, "/v1/objects/b/k");
    assert.equal(whole.json.size, 11);
    assert.equal(whole.json.contentType, "text/plain");
    assert.deepEqual(whole.json.metadata, { author: "Jörg" });
    assert.equal((await call("GET", "/v1/objects/b/k")).text, "hello world");

    // Lost, it is asked for again.
    const again = await say("PATCH", path, { ...last, "Upload-Offset": "11" }, "");
    assertFields(again, 201, { ...completeness(false), "upload-offset": "11" });
    assert.deepEqual(again.json, whole.json);
    const more = await say("PATCH", path, { ...last, "Upload-Offset": "11" }, "!");
    assertFields(more, 400, completeness(false));
    assert.equal(
      more.json.type,
      "https://iana.org/assignments/http-problem-types#completed-upload",
    );
    const stale = await say("PATCH", path, last, "world");
    assertFields(stale, 409, { "upload-offset": "11" });
  });

  test(`interop ${version}: content with the creation, and no data with the last append`, async (t) => {
    const { say, call } = await startResumable(t);
    const begun = { ...spoken, ...completeness(true), "Content-Type": "text/plain" };
    const made = await say("POST", "/v1/objects/b?key=posted", begun, "hello");
    assertFields(made, 201, { ...completeness(true), "upload-offset": "5" });
    assert.equal(made.informed.length, 1);
    assert.ok(made.informed[0]?.includes(`\r\nlocation: ${made.fields.location}\r\n`));
    const last = { ...spoken, ...type, ...completeness(false), "Upload-Offset": "5" };
    const whole = await say("PATCH", pathOf(made), last, "");
    assertFields(whole, 201, { ...completeness(false), "upload-offset": "5" });
    assert.equal((await call("GET", "/v1/objects/b/posted")).text, "hello");
  });

  test(`interop ${version}: cancelling, and what HEAD and DELETE must not have`, async (t) => {
    const { say } = await startResumable(t);
    const made = await say("PUT", "/v1/objects/b/k", { ...spoken, ...completeness(true) }, "x");
    const path = pathOf(made);
    for (const name of row.headRefuses) {
      const value = name === "Upload-Offset" || name === "Upload-Length" ? "1" : "?1";
      assert.equal((await say("HEAD", path, { ...spoken, [name]: value })).status, 400, name);
    }
    for (const [name, value] of Object.entries(completeness(true))) {
      const status = version < 7 ? 400 : 204;
      assert.equal((await say("DELETE", path, { ...spoken, [name]: value })).status, status, name);
    }
    if (version < 7) assert.equal((await say("DELETE", path, spoken)).status, 204);
    for (const method of ["HEAD", "DELETE"]) {
      assert.equal((await say(method, path, spoken)).status, 404);
    }
    const append = { ...spoken, ...type, ...completeness(true), "Upload-Offset": "1" };
    assert.equal((await say("PATCH", path, append, "x")).json.code, "upload_not_found");
  });

  test(`interop ${version}: the type of an append`, async (t) => {
    const { say } = await startResumable(t);
    const made = await say("PUT", "/v1/objects/b/k", { ...spoken, ...completeness(true) });
    const other = { "Content-Type": "text/plain" };
    const append = { ...spoken, ...other, ...completeness(true), "Upload-Offset": "0" };
    const answer = await say("PATCH", pathOf(made), append, "x");
    const expected = row.appendType === partial ? [415, "0"] : [row.appendStatus, "1"];
    assert.deepEqual([answer.status, answer.fields["upload-offset"]], expected);
  });
}
