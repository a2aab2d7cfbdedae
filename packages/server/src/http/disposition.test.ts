import assert from "node:assert/strict";
import { IncomingMessage, ServerResponse } from "node:http";
import { Socket } from "node:net";
import { test } from "node:test";
import { parse } from "content-disposition";
import { contentDisposition, safeFilename } from "./disposition.ts";

const hostile = [
  "report.pdf",
  'say "hi".txt',
  "a;b;c.txt",
  "line\r\nSet-Cookie: a=b.txt",
  "nul\0byte.txt",
  "emoji 😀👩‍👩‍👧.png",
  "\u202egnp.exe",
  "Ümläut é.txt",
  "文件 名.txt",
  "100%41.txt",
  "back\\slash.txt",
  "../../etc/passwd",
  "lone \ud800 surrogate",
  "x".repeat(5000),
  `${"文".repeat(5000)}.tar.gz`,
  "😀".repeat(5000),
  "",
  "..",
  "\u2028",
];

test("whatever the name, the header is short, ASCII, and one line that Node accepts", () => {
  for (const name of hostile) {
    for (const type of ["attachment", "inline"] as const) {
      const header = contentDisposition(type, name);
      assert.match(header, /^[\x20-\x7e]+$/, JSON.stringify(name.slice(0, 40)));
      assert.ok(header.length < 1500, `${header.length}`);
      assert.ok(header.startsWith(type));
      new ServerResponse(new IncomingMessage(new Socket())).setHeader(
        "content-disposition",
        header,
      );
      // Read back by a parser, it is the safe name and nothing else.
      const parsed = parse(header);
      assert.equal(parsed.parameters.filename, safeFilename(name));
      const names = Object.keys(parsed.parameters);
      assert.ok(
        names.every((each) => each === "filename" || each === "filename*"),
        names.join(),
      );
    }
  }
});

test("names keep what matters and lose what harms", () => {
  assert.equal(safeFilename("../../etc/passwd"), "passwd");
  assert.equal(safeFilename("C:\\temp\\a.txt"), "a.txt");
  assert.equal(safeFilename("\u202egnp.exe"), "gnp.exe");
  assert.equal(safeFilename("a\r\nb"), "ab");
  assert.equal(safeFilename(".."), "download");
  assert.equal(safeFilename(""), "download");
  const long = safeFilename(`${"文".repeat(5000)}.png`);
  assert.ok(long.endsWith(".png") && Buffer.byteLength(long) <= 255);
  assert.equal(contentDisposition("inline", undefined), "inline");
});
