/** Sizes, times and names as they are printed and read. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { contentTypeOf } from "./content-types.ts";
import { progressLine } from "./progress.ts";
import { formatBytes, formatSeconds, parseBytes, printable } from "./text.ts";
import { UsageError } from "./usage-error.ts";

test("sizes are printed with three digits and read with or without a unit", () => {
  const printed = [0, 999, 1024, 10_000, 1_048_576, 123_456_789, 5 * 2 ** 40].map(formatBytes);
  assert.deepEqual(printed, [
    "0 B",
    "999 B",
    "1.00 KiB",
    "9.77 KiB",
    "1.00 MiB",
    "118 MiB",
    "5.00 TiB",
  ]);
  assert.deepEqual(["20MiB", "1.5 kB", "7", "1 GiB"].map(parseBytes), [20971520, 1500, 7, 2 ** 30]);
  for (const text of ["", "x", "-1", "5 parsecs"])
    assert.throws(() => parseBytes(text), UsageError);
});

test("a name cannot move the cursor, fake a line or turn the text around", () => {
  assert.equal(printable("a\x1b[2Jb\nc\u202ed"), "a\\x1b[2Jb\\x0ac\\u{202e}d");
  assert.equal(printable("Grüße 文件 👨‍👩‍👧.txt"), "Grüße 文件 👨‍👩‍👧.txt");
});

test("the progress line has the share, rate, time left and count", () => {
  const MiB = 1024 * 1024;
  const state = { bytes: 6 * MiB, totalBytes: 10 * MiB, count: 1, totalCount: 3, rate: 2 * MiB };
  assert.equal(
    progressLine(state),
    "[############--------]  60 %  6.00 MiB of 10.0 MiB  2.00 MiB/s  0:02 left  1/3",
  );
  const unknown = { ...state, totalBytes: undefined, totalCount: 1 };
  assert.equal(progressLine(unknown), "6.00 MiB  2.00 MiB/s");
  assert.deepEqual([0, 59.6, 3661].map(formatSeconds), ["0:00", "1:00", "1:01:01"]);
});

test("a type is known by the extension of the first name that has one we know", () => {
  assert.equal(contentTypeOf("key", "/tmp/Photo.JPEG"), "image/jpeg");
  assert.equal(contentTypeOf("a.tar.gz"), "application/gzip");
  assert.equal(contentTypeOf("a.unknown", ".png/x", "constructor"), undefined);
});
