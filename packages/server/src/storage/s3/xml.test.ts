import { strict as assert } from "node:assert";
import { test } from "node:test";
import {
  parseErrorDocument,
  parseObjectPage,
  parsePartPage,
  parseUploadId,
  parseUploadPage,
  parseWriteResult,
} from "./wire.ts";
import { completeXml, parseXml } from "./xml.ts";

test("elements, attributes, comments, CDATA and character references are read", () => {
  const root = parseXml(
    `\ufeff<?xml version="1.0"?><!-- c --><s3:A xmlns:s3='x>y'><B/><C k="v">a&amp;&#x1F;&#65;<![CDATA[<&]]></C></s3:A>\n`,
  );
  assert.deepEqual(root, {
    name: "A",
    text: "",
    children: [
      { name: "B", text: "", children: [] },
      { name: "C", text: "a&\u001fA<&", children: [] },
    ],
  });
});

test("a DTD, unknown entities, depth, and what is not well-formed are refused", () => {
  const refused = [
    "",
    "no element",
    "<a>",
    "<a></b>",
    "</a>",
    "<a/><b/>",
    "<a b='</a>",
    "<!DOCTYPE a [<!ENTITY x 'y'>]><a>&x;</a>",
    "<a>&x;</a>",
    "<a>&#x110000;</a>",
    "<a>& </a>",
    "<a><!-- </a>",
    `${"<a>".repeat(20)}${"</a>".repeat(20)}`,
    `<a>${"<b/>".repeat(100_001)}</a>`,
  ];
  for (const text of refused) assert.throws(() => parseXml(text), SyntaxError, text.slice(0, 40));
});

test("the six shapes are read, and what is missing or no number is refused", () => {
  const page = parseObjectPage(
    `<ListBucketResult><EncodingType>url</EncodingType><IsTruncated>true</IsTruncated><NextContinuationToken>t</NextContinuationToken><Contents><Key>a+b%2Bc%2Fd</Key><LastModified>2026-01-02T03:04:05.000Z</LastModified><ETag>&quot;abc&quot;</ETag><Size>12</Size></Contents></ListBucketResult>`,
  );
  assert.deepEqual(page, {
    objects: [
      { key: "a b+c/d", length: 12, etag: "abc", modifiedAt: new Date("2026-01-02T03:04:05Z") },
    ],
    truncated: true,
    token: "t",
  });
  const plain = parseObjectPage(
    `<ListBucketResult><Contents><Key>a+b%2B</Key><LastModified>2026-01-02T03:04:05Z</LastModified><Size>0</Size></Contents></ListBucketResult>`,
  );
  assert.equal(plain.objects[0]?.key, "a+b%2B");
  assert.deepEqual(
    parsePartPage(
      `<ListPartsResult><IsTruncated>false</IsTruncated><Part><PartNumber>1</PartNumber><ETag>"e"</ETag><Size>5</Size></Part></ListPartsResult>`,
    ).parts,
    [{ partNumber: 1, length: 5, etag: "e" }],
  );
  assert.equal(
    parseUploadId(
      `<InitiateMultipartUploadResult><UploadId>u</UploadId></InitiateMultipartUploadResult>`,
    ),
    "u",
  );
  assert.deepEqual(
    parseUploadPage(
      `<ListMultipartUploadsResult><NextKeyMarker>k</NextKeyMarker><IsTruncated>true</IsTruncated><Upload><Key>k</Key><UploadId>u</UploadId><Initiated>2026-01-02T03:04:05Z</Initiated></Upload></ListMultipartUploadsResult>`,
    ),
    {
      uploads: [{ key: "k", uploadId: "u", createdAt: new Date("2026-01-02T03:04:05Z") }],
      truncated: true,
      keyMarker: "k",
      uploadIdMarker: undefined,
    },
  );
  assert.deepEqual(parseWriteResult(`<CopyObjectResult><ETag>"e"</ETag></CopyObjectResult>`), {
    etag: "e",
  });
  const empty = `<CompleteMultipartUploadResult><ETag>""</ETag></CompleteMultipartUploadResult>`;
  assert.deepEqual(parseWriteResult(empty), { etag: undefined });
  const failed = parseWriteResult("\n\n<Error><Code>InternalError</Code></Error>");
  assert.ok("error" in failed && failed.error.code === "InternalError");
  assert.equal(parseErrorDocument("<html>").code, undefined);
  assert.equal(parseErrorDocument("<Error><Code>").code, undefined);
  const broken = [
    () => parseObjectPage("<Error/>"),
    () =>
      parseObjectPage("<ListBucketResult><Contents><Size>1</Size></Contents></ListBucketResult>"),
    () =>
      parsePartPage("<ListPartsResult><Part><PartNumber>x</PartNumber></Part></ListPartsResult>"),
    () => parseUploadId("<InitiateMultipartUploadResult/>"),
    () => parseWriteResult("<html/>"),
  ];
  for (const parse of broken) assert.throws(parse, SyntaxError);
});

test("a completing list names each part with its ETag, escaped", () => {
  assert.equal(
    completeXml([{ partNumber: 1, etag: "a&b" }]),
    '<CompleteMultipartUpload xmlns="http://s3.amazonaws.com/doc/2006-03-01/"><Part><PartNumber>1</PartNumber><ETag>&quot;a&amp;b&quot;</ETag></Part></CompleteMultipartUpload>',
  );
});
