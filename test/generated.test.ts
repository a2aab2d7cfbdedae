/** Files that a script generates are those of their sources. */
import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { test } from "node:test";
import { crc64NvmeWasmFile, generateCrc64NvmeWasm } from "../scripts/build-crc64.ts";
import {
  generateMetrics,
  generateReference,
  metricsFile,
  referenceFile,
} from "../scripts/build-reference.ts";

test("the CRC's compiled module is that of its source", async () => {
  assert.equal(await readFile(crc64NvmeWasmFile, "utf8"), await generateCrc64NvmeWasm());
});

test("docs/configuration.md is that of the option schemas", async () => {
  assert.equal(await readFile(referenceFile, "utf8"), generateReference());
});

test("docs/metrics.md is that of the definitions", async () => {
  assert.equal(await readFile(metricsFile, "utf8"), generateMetrics());
});
