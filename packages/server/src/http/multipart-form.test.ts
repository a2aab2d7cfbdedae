import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { describe, test } from "node:test";
import { isOperationalError } from "../core/errors.ts";
import { formBoundary, readForm } from "./multipart-form.ts";

const boundary = "----roma7MA4YWxk";

interface Seen {
  readonly name: string;
  readonly fileName: string | undefined;
  readonly contentType: string | undefined;
  readonly bytes: Buffer;
}

async function* inChunks(bytes: Buffer, size: number): AsyncGenerator<Uint8Array> {
  for (let at = 0; at < bytes.length; at += size) yield bytes.subarray(at, at + size);
}

async function read(bytes: Buffer | string, size = 64 * 1024): Promise<readonly Seen[]> {
  const seen: Seen[] = [];
  for await (const part of readForm(inChunks(Buffer.from(bytes), size), boundary)) {
    const chunks: Uint8Array[] = [];
    for await (const chunk of part.body) chunks.push(Buffer.from(chunk));
    const { name, fileName, contentType } = part;
    seen.push({ name, fileName, contentType, bytes: Buffer.concat(chunks) });
  }
  return seen;
}

function part(disposition: string, body: Buffer | string = "x"): Buffer {
  const head = `--${boundary}\r\nContent-Disposition: ${disposition}\r\n\r\n`;
  return Buffer.concat([Buffer.from(head), Buffer.from(body), Buffer.from("\r\n")]);
}

const end = Buffer.from(`--${boundary}--\r\n`);

test("a form is the same whatever the chunks it comes in, look-alikes of the boundary included", async () => {
  const nasty = Buffer.concat([
    Buffer.from(`\r\n--${boundary.slice(0, -1)}\r\r\n\r\n-\r\n--`),
    randomBytes(500),
    Buffer.from(`\r\n--${boundary.slice(0, 5)}\r`),
  ]);
  const form = Buffer.concat([
    part('form-data; name="a"', "first"),
    part('form-data; name="f"; filename="n.bin"', nasty),
    part('form-data; name="g"; filename="empty"', ""),
    end,
  ]);
  for (const size of [1, 2, 3, 7, 19, 64, 1000]) {
    const [field, file, empty] = await read(form, size);
    assert.equal(field?.bytes.toString(), "first", `chunks of ${size}`);
    assert.equal(field?.fileName, undefined);
    assert.ok(file?.bytes.equals(nasty), `chunks of ${size}`);
    assert.equal(empty?.bytes.length, 0);
  }
});

test("what FormData sends is read back, odd names included", async () => {
  const names = [
    "plain.txt",
    'quo"te.txt',
    "line\r\nbreak.txt",
    "semi;colon.txt",
    "émoji😀.png",
    "‮gnp.exe",
    "x".repeat(5000),
  ];
  const form = new FormData();
  for (const name of names) form.append("file", new File([name], name, { type: "text/plain" }));
  const response = new Response(form);
  const given = /boundary=(.*)$/.exec(response.headers.get("content-type") ?? "")?.[1] ?? "";
  const seen: (string | undefined)[] = [];
  const bytes = Buffer.from(await response.arrayBuffer());
  for await (const { fileName, body } of readForm(inChunks(bytes, 100), given)) {
    seen.push(fileName);
    for await (const _chunk of body);
  }
  assert.deepEqual(seen, names);
});

describe("file names in each way of writing", () => {
  const table: readonly (readonly [string, string])[] = [
    ['form-data; name="f"; filename="a.txt"', "a.txt"],
    ["form-data; name=f; filename=a.txt", "a.txt"],
    ['FORM-DATA ;NAME="f";FileName="a.txt"', "a.txt"],
    ['form-data; name="f"; filename="a\\"b.txt"', 'a"b.txt'],
    ['form-data; name="f"; filename="C:\\dir\\a.txt"', "C:\\dir\\a.txt"],
    ['form-data; name="f"; filename="100%25.txt"', "100%25.txt"],
    ['form-data; name="f"; filename="x"; filename*=UTF-8\'\'%e2%82%ac.txt', "€.txt"],
    ['form-data; name="f"; filename=""', ""],
  ];
  for (const [disposition, expected] of table) {
    test(disposition, async () => {
      const [file] = await read(Buffer.concat([part(disposition), end]));
      assert.equal(file?.fileName, expected);
    });
  }
});

describe("a form that is not well formed is refused, never read in part", () => {
  const good = part('form-data; name="f"; filename="a"');
  const table: Readonly<Record<string, readonly [Buffer | string, string]>> = {
    "nothing at all": ["", "incomplete_body"],
    "no boundary": ["hello, this is no form", "incomplete_body"],
    "no end": [good, "incomplete_body"],
    "cut within a file": [good.subarray(0, good.length - 3), "incomplete_body"],
    "cut within the last boundary": [
      Buffer.concat([good, end.subarray(0, boundary.length)]),
      "incomplete_body",
    ],
    "cut within headers": [good.subarray(0, 40), "incomplete_body"],
    "no name": [Buffer.concat([part('form-data; filename="a"'), end]), "invalid_request"],
    "no disposition": [`--${boundary}\r\n\r\nx\r\n--${boundary}--`, "invalid_request"],
    "an attachment": [Buffer.concat([part('attachment; name="f"'), end]), "invalid_request"],
    "a bare line feed in a name": [
      Buffer.concat([part('form-data; name="f"; filename="a\nb"'), end]),
      "invalid_request",
    ],
    "an open quote": [Buffer.concat([part('form-data; name="f'), end]), "invalid_request"],
    "two names": [Buffer.concat([part('form-data; name="f"; name="g"'), end]), "invalid_request"],
    "a name that is not UTF-8": [
      Buffer.concat([Buffer.from(part('form-data; name="é"').toString(), "latin1"), end]),
      "invalid_request",
    ],
    "headers without end": [`--${boundary}\r\nX: ${"x".repeat(70_000)}`, "too_large"],
    "text after a boundary": [`--${boundary}zz\r\n\r\n`, "invalid_request"],
    "base64 as transfer encoding": [
      `--${boundary}\r\nContent-Disposition: form-data; name="f"\r\nContent-Transfer-Encoding: base64\r\n\r\neA==\r\n--${boundary}--`,
      "unsupported",
    ],
    "a preamble without end": ["x".repeat(70_000), "invalid_request"],
  };
  for (const [name, [bytes, code]] of Object.entries(table)) {
    test(`${name}: ${code}`, async () => {
      for (const size of [5, 64 * 1024]) {
        await assert.rejects(
          read(bytes, size),
          (error) => isOperationalError(error) && error.code === code,
        );
      }
    });
  }
});

test("a preamble, an epilogue and padding after a boundary mean nothing", async () => {
  const padded = part('form-data; name="f"').toString().replace("\r\n", " \t\r\n");
  const [field] = await read(`preamble\r\n${padded}--${boundary}--\r\nepilogue`, 3);
  assert.equal(field?.bytes.toString(), "x");
});

test("a part that nobody read is skipped", async () => {
  const form = Buffer.concat([
    part('form-data; name="a"', randomBytes(3000)),
    part('form-data; name="b"'),
    end,
  ]);
  const names: string[] = [];
  for await (const { name } of readForm(inChunks(form, 100), boundary)) names.push(name);
  assert.deepEqual(names, ["a", "b"]);
});

test("no chunk of a body is pulled before it is asked for", async () => {
  let pulled = 0;
  async function* endless(): AsyncGenerator<Uint8Array> {
    yield part('form-data; name="f"; filename="big"', "").subarray(0, -2);
    for (;;) {
      pulled++;
      yield Buffer.alloc(1000, "x");
    }
  }
  for await (const { body } of readForm(endless(), boundary)) {
    let seen = 0;
    for await (const _chunk of body) {
      seen++;
      assert.ok(pulled <= seen, `${pulled} pulled for ${seen}`);
      if (seen === 50) break;
    }
    break;
  }
  assert.ok(pulled <= 51);
});

test("boundaries that cannot be are refused", () => {
  const refused = (error: unknown) => isOperationalError(error, "invalid_request");
  assert.equal(formBoundary("multipart/form-data", { boundary: "a b" }), "a b");
  for (const boundary of ["", "x".repeat(71), "a\tb", "ends "]) {
    assert.throws(() => formBoundary("multipart/form-data", { boundary }), refused);
  }
  assert.throws(() => formBoundary("multipart/form-data", {}), refused);
  assert.throws(() => formBoundary("text/plain", { boundary: "x" }), refused);
});
