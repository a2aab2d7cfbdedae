import assert from "node:assert/strict";
import { test } from "node:test";
import { typeDetector } from "./detect.ts";

const png = Buffer.concat([
  Buffer.from("89504e470d0a1a0a0000000d49484452", "hex"),
  Buffer.alloc(32),
]);
const zip = Buffer.concat([Buffer.from("504b0304140000000000", "hex"), Buffer.alloc(64)]);
const html = Buffer.from("\n <!DOCTYPE HTML><title>x</title>");
const svg = Buffer.from('<?xml version="1.0"?>\n<svg xmlns="http://www.w3.org/2000/svg"/>');
const docx = "application/vnd.openxmlformats-officedocument.wordprocessingml.document";

const cases: readonly [what: string, bytes: Buffer, declared: string | undefined, type: string][] =
  [
    ["a PNG without a declaration", png, undefined, "image/png"],
    ["a PNG declared as JPEG", png, "image/jpeg", "image/png"],
    ["a PNG declared as text", png, "text/plain", "image/png"],
    ["HTML declared as PNG", html, "image/png", "text/html"],
    [
      "HTML declared with parameters",
      html,
      "text/html; charset=gb18030",
      "text/html; charset=gb18030",
    ],
    ["HTML declared as plain text", html, "text/plain", "text/plain"],
    ["HTML without a declaration", html, undefined, "text/html"],
    ["SVG declared as PNG", svg, "image/png", "image/svg+xml"],
    ["SVG without a declaration", svg, undefined, "image/svg+xml"],
    ["a zip declared as docx", zip, docx, docx],
    ["a zip declared as PDF", zip, "application/pdf", "application/zip"],
    ["text declared as PDF", Buffer.from("hello"), "application/pdf", "application/octet-stream"],
    ["text declared as CSV", Buffer.from("a,b\n1,2\n"), "text/csv", "text/csv"],
    ["text without a declaration", Buffer.from("héllo\n"), undefined, "text/plain; charset=utf-8"],
    [
      "binary without a declaration",
      Buffer.from([0, 1, 2, 255]),
      undefined,
      "application/octet-stream",
    ],
    [
      "bytes of a type of one's own",
      Buffer.from([0, 1, 2]),
      "application/x-acme",
      "application/x-acme",
    ],
    ["nothing", Buffer.alloc(0), "image/png", "image/png"],
    ["nothing, undeclared", Buffer.alloc(0), undefined, "application/octet-stream"],
    [
      "a text cut inside a character by the look ahead",
      Buffer.from(`${"a".repeat(4099)}é`).subarray(0, 4100),
      undefined,
      "text/plain; charset=utf-8",
    ],
    [
      "a short text that ends inside a character",
      Buffer.from("aé").subarray(0, 2),
      undefined,
      "application/octet-stream",
    ],
  ];

for (const [what, bytes, declared, type] of cases) {
  test(`${what} is ${type}`, async () => {
    assert.equal(await typeDetector.detect(bytes, declared), type);
  });
}
