/** The XML reader and writer. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { isOperationalError } from "../../core/errors.ts";
import { childrenOf, childText, parseXml, renderXml } from "./xml.ts";

const limits = { bytesMax: 10_000 };
const parse = (text: string) => parseXml(Buffer.from(text), limits);

test("nested values are written with lists, attributes and without what is undefined", () => {
  const value = {
    Name: "a&b",
    Missing: undefined,
    Row: [{ N: 1 }, { N: 2, Flag: true }],
    Who: { "@kind": 'x"y', "#": "text" },
  };
  assert.equal(
    renderXml("Root", value, { namespace: false }),
    '<?xml version="1.0" encoding="UTF-8"?>\n<Root><Name>a&amp;b</Name><Row><N>1</N></Row>' +
      '<Row><N>2</N><Flag>true</Flag></Row><Who kind="x&quot;y">text</Who></Root>',
  );
  assert.match(
    renderXml("Root", {}),
    /<Root xmlns="http:\/\/s3\.amazonaws\.com\/doc\/2006-03-01\/">/,
  );
});

test("what is written is read back as it was, control characters too", () => {
  const texts = [
    "",
    "\r\n\t",
    "\u0001\u001f\u007f\u0085\u2028",
    "<>&\"'",
    "]]>",
    "ä\u{1f600}",
    " x ",
  ];
  for (const text of texts) {
    const written = renderXml("R", { T: text });
    const [, element = ""] = written.split("?>\n");
    assert.ok(
      [...element].every((char) => char >= " " && char !== "\u007f"),
      written,
    );
    const root = parse(written);
    assert.equal(childText(root, "T"), text);
  }
});

test("prefixes, declarations, comments, CDATA, empty elements and white space are understood", () => {
  const root = parse(
    '\ufeff<?xml version="1.0" encoding="utf-8"?>\n<!-- a --><s:Delete xmlns:s="http://x/" >' +
      "<s:Object><Key>a<![CDATA[<b>]]>c&#x41;&#66;</Key></s:Object>\n<Object/><Object />" +
      "</s:Delete>\n",
  );
  assert.equal(root.name, "Delete");
  assert.equal(childrenOf(root, "Object").length, 3);
  assert.equal(childText(childrenOf(root, "Object")[0] ?? root, "Key"), "a<b>cAB");
});

test("a DTD, foreign entities, broken nesting and excess are MalformedXML", () => {
  const deep = 40;
  const refused: readonly (string | Buffer)[] = [
    "",
    "text",
    "<a>",
    "<a></b>",
    "</a>",
    "<a></a><b></b>",
    "<a></a>text",
    "<a b=c></a>",
    "<a b='x' 'y'></a>",
    "<1/>",
    "< a></a>",
    '<!DOCTYPE a [<!ENTITY x "y">]><a>&x;</a>',
    '<!DOCTYPE a SYSTEM "file:///etc/passwd"><a/>',
    "<a>&x;</a>",
    "<a>&amp</a>",
    "<a>&#xd800;</a>",
    "<a>&#x110000;</a>",
    "<a>&#0;</a>",
    "<a>\0</a>",
    "<a><!-- </a>",
    '<?xml version="1.0" encoding="utf-16"?><a/>',
    Buffer.from([0x3c, 0x61, 0x3e, 0xff, 0x3c, 0x2f, 0x61, 0x3e]),
    "<a>".repeat(deep) + "</a>".repeat(deep),
    `<a>${" ".repeat(limits.bytesMax)}</a>`,
  ];
  for (const text of refused) {
    assert.throws(
      () => parseXml(Buffer.from(text), limits),
      (error) => isOperationalError(error) && error.context.s3Code === "MalformedXML",
      String(text).slice(0, 60),
    );
  }
  const many = "<b/>".repeat(11);
  assert.throws(() => parseXml(Buffer.from(`<a>${many}</a>`), { ...limits, elementsMax: 10 }));
});

test("a document of a megabyte that ends nowhere is refused in linear time", () => {
  const bytesMax = 4_000_000;
  const started = process.cpuUsage();
  for (const text of [
    "<a",
    "<a ".repeat(1),
    "<a>&".padEnd(1_000_000, "&"),
    `<a ${" x".repeat(500_000)}>`,
  ]) {
    assert.throws(() => parseXml(Buffer.from(text.padEnd(1_000_000, " ")), { bytesMax }));
  }
  // Work and not time: other tests run beside this one.
  assert.ok(process.cpuUsage(started).user < 2_000_000);
});
