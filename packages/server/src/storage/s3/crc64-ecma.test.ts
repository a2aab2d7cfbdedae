import { strict as assert } from "node:assert";
import { test } from "node:test";
import { bytesOf } from "../conformance/subject.ts";
import { Crc64Ecma, combineCrc64Ecma } from "./crc64-ecma.ts";

const crcOf = (bytes: Uint8Array): bigint => new Crc64Ecma().update(bytes).value;

test("the check value of CRC-64/XZ", () => {
  assert.equal(crcOf(Buffer.from("123456789")), 0x995dc9bbdf1939fan);
  assert.equal(crcOf(new Uint8Array()), 0n);
});

test("any split gives the same, in one run or combined", () => {
  const bytes = bytesOf(1_000);
  const whole = crcOf(bytes);
  for (let at = 0; at <= bytes.length; at += 37) {
    const [left, right] = [bytes.subarray(0, at), bytes.subarray(at)];
    assert.equal(new Crc64Ecma().update(left).update(right).value, whole);
    assert.equal(combineCrc64Ecma(crcOf(left), crcOf(right), right.length), whole);
  }
});
