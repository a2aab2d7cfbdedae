/** Uploads in JSON, cut at every byte; what decodes them must not care how they came. */
import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { test } from "node:test";
import { isOperationalError } from "../../core/errors.ts";
import { depthMax, JsonUploadReader, restBytesMax } from "./json-reader.ts";

interface Read {
  readonly bytes: Buffer;
  readonly fields: ReadonlyMap<string, unknown>;
}

function read(chunks: readonly Uint8Array[]): Read {
  const reader = new JsonUploadReader();
  const parts = chunks.map((chunk) => {
    // Of its own: the reader writes into it.
    const own = Uint8Array.from(chunk);
    return own.subarray(0, reader.push(own));
  });
  return { bytes: Buffer.concat(parts), fields: reader.end() };
}

/** Cut once at every place, and into single bytes. */
function* cuts(text: string): Iterable<readonly Uint8Array[]> {
  const whole = Buffer.from(text);
  yield [whole];
  yield [...whole].map((byte) => Uint8Array.of(byte));
  for (let at = 1; at < whole.length; at++) yield [whole.subarray(0, at), whole.subarray(at)];
}

function codeOf(error: unknown): unknown {
  if (!isOperationalError(error)) throw error;
  return error.context.parseCode ?? error.code;
}

const good: readonly (readonly [what: string, text: string, bytes: string, members: object])[] = [
  [
    "as SDKs send it",
    '{"base64":"aGVsbG8=","_ApplicationId":"app"}',
    "hello",
    { _ApplicationId: "app" },
  ],
  ["without padding", '{"base64":"aGVsbG8","a":1}', "hello", { a: 1 }],
  ["with two marks of padding", '{"base64":"YWFhYQ==","a":1}', "aaaa", { a: 1 }],
  ["nothing", '{"base64":"","a":1}', "", { a: 1 }],
  ["the URL alphabet", '{"base64":"--__"}', "\xfb\xef\xff", {}],
  ["the other one", '{"base64":"++//"}', "\xfb\xef\xff", {}],
  ["as PHP writes slashes", '{"base64":"++\\/\\/"}', "\xfb\xef\xff", {}],
  ["escaped digits", '{"base64":"\\u0061GVs\\u0062G8\\u003d"}', "hello", {}],
  ["lines, escaped", '{"base64":"aGVs\\r\\nbG8=\\r\\n","a":1}', "hello", { a: 1 }],
  ["lines, raw", '{"base64":"aGVs\r\n bG8=\n"}', "hello", {}],
  ["space within padding", '{"base64":"YWFhYQ= ="}', "aaaa", {}],
  [
    "the file last",
    '{"_ApplicationId":"app","base64":"aGVsbG8="}',
    "hello",
    { _ApplicationId: "app" },
  ],
  [
    "white space",
    ' \r\n\t{ "a" : 1 , "base64" : "aGVsbG8=" , "b" : [ ] } \n',
    "hello",
    { a: 1, b: [] },
  ],
  ["an escaped name", '{"b\\u0061se64":"aGVsbG8="}', "hello", {}],
  [
    "base64 deeper down",
    '{"x":{"base64":"zzz"},"base64":"aGVsbG8="}',
    "hello",
    { x: { base64: "zzz" } },
  ],
  [
    "base64 in a list",
    '{"x":["base64","zzz"],"y":"base64"}',
    "",
    { x: ["base64", "zzz"], y: "base64" },
  ],
  ["base64 that is no text", '{"base64":null,"a":1}', "", { base64: null, a: 1 }],
  [
    "base64 that is an object",
    '{"base64":{"base64":"aGVsbG8="}}',
    "",
    { base64: { base64: "aGVsbG8=" } },
  ],
  ["texts that look like JSON", '{"a":"\\"}{\\\\","base64":"aGVsbG8="}', "hello", { a: '"}{\\' }],
  ["other scripts", '{"a":"文é😀","base64":"aGVsbG8="}', "hello", { a: "文é😀" }],
  [
    "nouns",
    '{"__proto__":{"x":1},"constructor":2,"base64":"aGVsbG8="}',
    "hello",
    { constructor: 2 },
  ],
];

for (const [what, text, bytes, members] of good) {
  test(`${what}: the same bytes wherever it is cut`, () => {
    for (const chunks of cuts(text)) {
      const found = read(chunks);
      assert.deepEqual(found.bytes, Buffer.from(bytes, "latin1"));
      for (const [name, value] of Object.entries(members)) {
        assert.deepEqual(found.fields.get(name), value);
      }
    }
  });
}

const bad: readonly (readonly [what: string, text: string, code: number | string])[] = [
  ["a foreign character", '{"base64":"aGVs*G8="}', 130],
  ["a byte above ASCII", '{"base64":"aGVsé"}', 130],
  ["an escaped foreign character", '{"base64":"aGVs\\u00e9"}', 130],
  ["an escape of no digit", '{"base64":"aGVs\\\\"}', 130],
  ["an escaped quote", '{"base64":"aGVs\\""}', 130],
  ["an unknown escape", '{"base64":"aGVs\\x41"}', 130],
  ["half an escape", '{"base64":"aGVs\\u00g1"}', 130],
  ["a data URI", '{"base64":"data:text/plain;base64,aGVsbG8="}', 130],
  ["digits after padding", '{"base64":"YWFhYQ==YWFh"}', 130],
  ["padding in the middle", '{"base64":"YW=hYQ=="}', 130],
  ["too much padding", '{"base64":"aGVsbG8=="}', 130],
  ["padding of nothing", '{"base64":"="}', 130],
  ["padding after a whole", '{"base64":"YWFh="}', 130],
  ["one digit too many", '{"base64":"YWFhY"}', 130],
  ["one digit, padded", '{"base64":"Y==="}', 130],
  ["two files", '{"base64":"aGVsbG8=","base64":"aGVsbG8="}', 107],
  ["two files, one escaped", '{"base64":"aGVsbG8=","bas\\u00656\\u0034":"aGVsbG8="}', 107],
  ["two applications", '{"_ApplicationId":"a","_ApplicationId":"b"}', 107],
  ["an end in the file", '{"base64":"aGVsbG8=', 107],
  ["an end in an escape", '{"base64":"aGVs\\u00', 107],
  ["an end after the file", '{"base64":"aGVsbG8="', 107],
  ["an end in a name", '{"base', 107],
  ["an end in the credentials", '{"base64":"aGVsbG8=","_MasterKey":"sec', 107],
  ["something behind it", '{"base64":"aGVsbG8="} x', 107],
  ["two objects", '{"base64":"aGVsbG8="}{"a":1}', 107],
  ["no colon", '{"base64" "aGVsbG8="}', 107],
  ["two commas", '{"base64":"aGVsbG8=",,"a":1}', 107],
  ["the wrong bracket", '{"base64":"aGVsbG8="]', 107],
  ["a raw line end in a text", '{"base64":"aGVsbG8=","a":"b\nc"}', 107],
  ["a name of no text", "{1:2}", 107],
  ["nothing at all", "", "unauthenticated"],
  ["white space", "  \n", "unauthenticated"],
  ["bytes", "\x89PNG\r\n", "unauthenticated"],
  ["a list", '["base64"]', "unauthenticated"],
  ["a text", '"base64"', "unauthenticated"],
];

for (const [what, text, code] of bad) {
  test(`${what}: refused wherever it is cut`, () => {
    for (const chunks of cuts(text)) {
      assert.throws(
        () => read(chunks),
        (error) => codeOf(error) === code,
        `${chunks.length} chunks`,
      );
    }
  });
}

test("bytes that are no UTF-8 are refused", () => {
  const text = Buffer.concat([Buffer.from('{"a":"'), Buffer.of(0xff), Buffer.from('"}')]);
  assert.throws(
    () => read([text]),
    (error) => codeOf(error) === 107,
  );
});

test("deep, wide and long JSON is refused before it is kept", () => {
  const deep = `{"a":${"[".repeat(depthMax)}`;
  const key = `{"${"k".repeat(restBytesMax)}":1}`;
  const wide = `{${Array.from({ length: 20_000 }, (_, index) => `"${index}":1`).join(",")}}`;
  const value = `{"base64":"aGVsbG8=","_MasterKey":"${"x".repeat(restBytesMax)}"}`;
  for (const text of [deep, key, wide, value]) {
    assert.throws(
      () => read([Buffer.from(text)]),
      (error) => codeOf(error) === 107,
    );
  }
  const fits = `{"a":${"[".repeat(depthMax - 1)}${"]".repeat(depthMax - 1)},"base64":"aGVsbG8="}`;
  assert.equal(read([Buffer.from(fits)]).bytes.toString(), "hello");
});

test("random files in random chunks come out as they went in", () => {
  for (let round = 0; round < 200; round++) {
    const bytes = randomBytes(Math.floor(Math.random() * 3000));
    let base64 = bytes.toString(round % 2 === 0 ? "base64" : "base64url");
    if (round % 5 === 0) base64 = base64.replace(/.{76}/g, "$&\\r\\n");
    if (round % 3 === 0) base64 = base64.replaceAll("/", "\\/");
    const whole = Buffer.from(`{"base64":"${base64}","_ApplicationId":"app"}`);
    const chunks: Buffer[] = [];
    for (let at = 0; at < whole.length; ) {
      const length = 1 + Math.floor(Math.random() * 200);
      chunks.push(whole.subarray(at, at + length));
      at += length;
    }
    const found = read(chunks);
    assert.deepEqual(found.bytes, bytes);
    assert.equal(found.fields.get("_ApplicationId"), "app");
  }
});
