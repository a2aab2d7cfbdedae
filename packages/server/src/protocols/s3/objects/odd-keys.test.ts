/**
 * Keys as nobody would choose them, over every way by which a key reaches the server: the path under each
 * signature, a form's field, the source of a copy, a list in a document. One key is one object in all of them.
 */
import assert from "node:assert/strict";
import { createHash, createHmac } from "node:crypto";
import { type TestContext, test } from "node:test";
import { key as rootKey, send, startS3 } from "../testing.ts";
import { presigned, presignedV2 } from "../testing-signature.ts";

const odd = [
  ...[
    "/",
    "//",
    "///a",
    "/a",
    "a/",
    "a//b",
    " ",
    " a ",
    "a b",
    "a+b",
    "a%b",
    "%",
    "a%2Fb",
    "a%252Fb",
  ],
  ...[
    "a?b",
    "?",
    "a&b=c;d",
    "&",
    "=",
    ";",
    "#",
    "a\\b",
    "*'()!~",
    "a:b@c,d$e",
    '<"&amp;">',
    "..a",
    "a..",
  ],
  ...["\u0001", "\t", "\n", "a\r\nb", "\u007f", "a\u0085b", "\u2028", "\ufeffa", "\ufffd"],
  ...["ü", "u\u0308", "😀", "\u{10ffff}/𠮷", "x".repeat(1024), "é".repeat(512), "😀".repeat(256)],
];

/** No key of Roma's, and what of its rule the refusal says. */
const refused: readonly (readonly [key: string, code: string, rule: RegExp])[] = [
  ["x".repeat(1025), "KeyTooLongError", /1025 bytes.*1024/],
  [`a${"😀".repeat(256)}`, "KeyTooLongError", /1025 bytes.*1024/],
  [".", "InvalidArgument", /segment &quot;\.&quot;/],
  ["..", "InvalidArgument", /segment &quot;\.\.&quot;/],
  ["../a", "InvalidArgument", /segment &quot;\.\.&quot;/],
  ["a/./b", "InvalidArgument", /segment &quot;\.&quot;/],
  ["a/../b", "InvalidArgument", /segment &quot;\.\.&quot;/],
  ["a\0b", "InvalidArgument", /NUL/],
];

const pathOf = (key: string): string => key.split("/").map(encodeURIComponent).join("/");
const xmlOf = (text: string): string =>
  [...text].map((char) => `&#x${char.codePointAt(0)?.toString(16)};`).join("");
const md5 = (text: string): string => createHash("md5").update(text).digest("hex");

async function startWays(t: TestContext) {
  const s3 = await startS3(t);
  const { host, hostname, port } = new URL(s3.url);
  const ask = (method: string, target: string, body: Buffer | string = "", headers = {}) =>
    send({ hostname, port, method, path: target }, { host, ...headers }, body);
  const v4 = (method: string, key: string, body = "") => {
    const target = `/s3/demo/${pathOf(key)}`;
    return ask(method, presigned({ method, target, headers: { host } }, rootKey), body);
  };
  const v2 = (method: string, key: string, body = "") => {
    const resource = `/demo/${pathOf(key)}`;
    const expires = Math.floor(Date.now() / 1000) + 60;
    const unsigned = { method, resource, target: `/s3${resource}` };
    return ask(method, presignedV2(unsigned, rootKey, expires), body);
  };
  const header = (method: string, key: string, body = "") =>
    s3.call(method, `/s3/demo/${pathOf(key)}`, { body });
  // Byte by byte, since the forms of browsers change the ends of lines in their fields.
  const form = (key: string, body: string) => {
    const conditions = [{ bucket: "demo" }, { key }];
    const expiration = new Date(Date.now() + 60_000).toISOString();
    const policy = Buffer.from(JSON.stringify({ expiration, conditions })).toString("base64");
    const signature = createHmac("sha1", rootKey.secret).update(policy).digest("base64");
    const fields = { key, AWSAccessKeyId: rootKey.keyId, policy, signature };
    const parts = Object.entries(fields).map(
      ([name, value]) =>
        `--edge\r\ncontent-disposition: form-data; name="${name}"\r\n\r\n${value}\r\n`,
    );
    const file = `--edge\r\ncontent-disposition: form-data; name="file"; filename="f"\r\n\r\n${body}`;
    const headers = { "content-type": "multipart/form-data; boundary=edge" };
    return ask("POST", "/s3/demo", `${parts.join("")}${file}\r\n--edge--\r\n`, headers);
  };
  const copy = (source: string, target: string) => {
    const headers = { "x-amz-copy-source": `demo/${pathOf(source)}` };
    return s3.call("PUT", target, { headers });
  };
  const remove = (keys: readonly string[]) => {
    const objects = keys.map((key) => `<Object><Key>${xmlOf(key)}</Key></Object>`);
    const body = `<Delete>${objects.join("")}</Delete>`;
    const headers = { "content-md5": createHash("md5").update(body).digest("base64") };
    return s3.call("POST", "/s3/demo?delete", { headers, body });
  };
  const begin = async (): Promise<string> => {
    const { text } = await s3.call("POST", "/s3/demo/copied?uploads");
    return `/s3/demo/copied?uploadId=${/<UploadId>([^<]+)/.exec(text)?.[1]}`;
  };
  const count = async (): Promise<number> =>
    (await s3.call("GET", "/s3/demo?list-type=2")).text.split("<Key>").length - 1;
  return { header, v4, v2, form, copy, remove, begin, count, call: s3.call };
}

test("an odd key is one object over every way that leads to it, and no other's", async (t) => {
  const ways = await startWays(t);
  const { header, v4, v2, form, copy } = ways;
  for (const key of odd) assert.equal((await header("PUT", key, `header ${key}`)).status, 200, key);
  assert.equal(await ways.count(), odd.length);
  const upload = await ways.begin();
  for (const [index, key] of odd.entries()) {
    const named = JSON.stringify(key.slice(0, 30));
    assert.equal((await v4("GET", key)).text, `header ${key}`, named);
    assert.equal((await v4("PUT", key, `v4 ${key}`)).status, 200, named);
    assert.equal((await v2("GET", key)).text, `v4 ${key}`, named);
    assert.equal((await v2("PUT", key, `v2 ${key}`)).status, 200, named);
    assert.equal((await header("GET", key)).text, `v2 ${key}`, named);
    const posted = await form(key, `form ${key}`);
    assert.equal(posted.status, 204, `${named} ${posted.text}`);
    assert.equal((await header("GET", key)).text, `form ${key}`, named);
    assert.equal((await copy(key, "/s3/demo/copy")).status, 200, named);
    assert.equal((await header("GET", "copy")).text, `form ${key}`, named);
    const part = await copy(key, `${upload}&partNumber=${index + 1}`);
    assert.match(part.text, new RegExp(md5(`form ${key}`)), named);
  }
  await header("DELETE", "copy");
  assert.equal(await ways.count(), odd.length);
  const removed = await ways.remove(odd);
  assert.equal(removed.text.split("<Deleted>").length - 1, odd.length, removed.text);
  assert.equal(await ways.count(), 0);
});

test("what is no key is refused over every way, with the rule that it breaks", async (t) => {
  const ways = await startWays(t);
  const { header, v4, v2, form, copy } = ways;
  await header("PUT", "source", "source");
  const upload = await ways.begin();
  for (const [key, code, rule] of refused) {
    const answers = [
      ["header", await header("PUT", key, "x")],
      ["header, reading", await header("GET", key)],
      ["version 4", await v4("PUT", key, "x")],
      ["version 2", await v2("PUT", key, "x")],
      ["form", await form(key, "x")],
      ["copy to it", await copy("source", `/s3/demo/${pathOf(key)}`)],
      ["copy of it", await copy(key, "/s3/demo/copied")],
      ["part of it", await copy(key, `${upload}&partNumber=1`)],
      ["upload of it", await ways.call("POST", `/s3/demo/${pathOf(key)}?uploads`)],
    ] as const;
    for (const [way, answer] of answers) {
      const named = `${way} ${JSON.stringify(key.slice(0, 30))}`;
      assert.deepEqual([answer.status, answer.code], [400, code], `${named} ${answer.text}`);
      assert.match(answer.text, rule, named);
    }
    if (key.includes("\0")) {
      assert.equal((await ways.remove([key])).code, "MalformedXML");
      continue;
    }
    const { status, text } = await ways.remove([key]);
    assert.equal(status, 200);
    assert.match(text, new RegExp(`<Code>${code}</Code>`), key.slice(0, 30));
    assert.match(text, rule);
  }
  assert.equal(await ways.count(), 1);
  assert.equal((await header("GET", "source")).text, "source");
});
