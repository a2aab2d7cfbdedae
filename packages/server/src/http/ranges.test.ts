import assert from "node:assert/strict";
import { test } from "node:test";
import { contentRange, multipartRanges, parseRange, type RangeResult } from "./ranges.ts";

const show = (result: RangeResult): string =>
  result.kind === "ranges"
    ? result.ranges.map(({ firstByte, lastByte }) => `${firstByte}-${lastByte}`).join(" ")
    : result.kind;

test("Range is read as RFC 9110 §14 says", () => {
  const table: readonly (readonly [string | undefined, number, string])[] = [
    [undefined, 1000, "whole"],
    ["bytes=0-0", 1000, "0-0"],
    ["bytes=0-", 1000, "0-999"],
    ["bytes=500-", 1000, "500-999"],
    ["bytes=-1", 1000, "999-999"],
    ["bytes=-2000", 1000, "0-999"],
    ["bytes=0-99999", 1000, "0-999"],
    ["BYTES=1-2", 1000, "1-2"],
    ["bytes= 1-2 , 500-501", 1000, "1-2 500-501"],
    ["bytes=,1-2,,", 1000, "1-2"],
    // Apart: the order asked for. Overlapping or near: joined.
    ["bytes=900-909,0-9", 1000, "900-909 0-9"],
    ["bytes=0-99,50-149", 1000, "0-149"],
    ["bytes=0-0,2-2,4-4", 1000, "0-4"],
    [`bytes=${"0-,".repeat(60)}0-`, 1000, "0-999"],
    // Satisfiable pieces are sent, others left out.
    ["bytes=0-9,5000-", 1000, "0-9"],
    ["bytes=1000-", 1000, "unsatisfiable"],
    ["bytes=-0", 1000, "unsatisfiable"],
    ["bytes=0-0", 0, "unsatisfiable"],
    ["bytes=-5", 0, "unsatisfiable"],
    ["bytes=99999999999999999999-", 1000, "unsatisfiable"],
    // Ignored.
    ["lines=0-1", 1000, "whole"],
    ["bytes=", 1000, "whole"],
    ["bytes=-", 1000, "whole"],
    ["bytes=5-1", 1000, "whole"],
    ["bytes=a-b", 1000, "whole"],
    ["bytes=1-2-3", 1000, "whole"],
    ["bytes=+1-2", 1000, "whole"],
    ["bytes=0x1-2", 1000, "whole"],
    ["bytes 1-2", 1000, "whole"],
    [`bytes=${"1".repeat(1_000_000)}-`, 1000, "whole"],
    [`bytes=${"0-0,".repeat(100)}0-0`, 1000, "whole"],
    [`bytes=${",".repeat(100_000)}0-0`, 1000, "whole"],
  ];
  for (const [header, size, expected] of table) {
    assert.equal(show(parseRange(header, size)), expected, String(header).slice(0, 60));
  }
});

test("no header makes us send more than the whole", () => {
  const specs = Array.from({ length: 60 }, (_, index) => `${index}-`).join();
  const result = parseRange(`bytes=${specs}`, 1_000_000);
  assert.equal(show(result), "0-999999");
});

test("a multipart body is as long as it says and can be cut at its boundary", () => {
  const size = 1000;
  const data = Buffer.alloc(size, "x");
  const ranges = [
    { firstByte: 0, lastByte: 9 },
    { firstByte: 500, lastByte: 999 },
  ];
  const multipart = multipartRanges(ranges, { size, contentType: "text/plain" });
  const body = Buffer.concat([
    ...multipart.parts.flatMap<Uint8Array>(({ head, range }) => [
      head,
      data.subarray(range.firstByte, range.lastByte + 1),
    ]),
    multipart.tail,
  ]);
  assert.equal(body.length, multipart.length);
  const boundary = /boundary=([0-9a-f]+)$/.exec(multipart.contentType)?.[1] ?? "none";
  const parts = body.toString("latin1").split(`--${boundary}`);
  assert.equal(parts.length, 4);
  assert.match(
    parts[1] ?? "",
    /^\r\nContent-Type: text\/plain\r\nContent-Range: bytes 0-9\/1000\r\n\r\nx{10}\r\n$/,
  );
  assert.match(parts[2] ?? "", /bytes 500-999\/1000\r\n\r\nx{500}\r\n$/);
  assert.equal(parts[3], "--\r\n");
  assert.equal(contentRange({ firstByte: 1, lastByte: 2 }, 3), "bytes 1-2/3");
});
