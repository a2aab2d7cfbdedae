// What an upload from Node holds: the same for any length.
import assert from "node:assert/strict";
import { open } from "node:fs/promises";
import { join } from "node:path";
import { type TestContext, test } from "node:test";
import { temporaryFolder } from "../harness/temporary-folder.ts";
import { requirePrerequisite } from "../prerequisites.ts";
import { startProgram, uploadInProcess } from "./processes.ts";

const MiB = 1024 ** 2;

async function measure(t: TestContext, length: number, as: "path" | "stream") {
  const server = startProgram(t, "discarding-server.ts", []);
  const [first] = await Array.fromAsync(take(server.lines));
  const { url, token } = first as { readonly url: string; readonly token: string };
  const path = join(await temporaryFolder(t), "sparse");
  await using file = await open(path, "w");
  await file.truncate(length);
  const task = { endpoint: url, token, path, bucket: "test", key: "a", as } as const;
  const flags = ["--expose-gc"];
  const uploaded = await uploadInProcess(t, task, { nodeFlags: flags });
  assert.equal(uploaded?.size, length);
  const { heapBytes, residentBytes } = uploaded;
  t.diagnostic(
    `heap +${(heapBytes / MiB).toFixed(1)} MiB, RSS +${(residentBytes / MiB).toFixed(1)} MiB`,
  );
  return uploaded;
}

async function* take(lines: AsyncIterable<unknown>) {
  for await (const line of lines) {
    yield line;
    return;
  }
}

test("30 MB raise the heap by at most 10 MB", async (t) => {
  const { heapBytes } = await measure(t, 30_000_000, "path");
  assert.ok(heapBytes <= 10_000_000, `${heapBytes} bytes`);
});

test("1 GB raises resident memory by at most 60 MB", async (t) => {
  const { residentBytes } = await measure(t, 1_000_000_000, "path");
  assert.ok(residentBytes <= 60_000_000, `${residentBytes} bytes`);
});

test("10 GB raise resident memory by at most 60 MB", async (t) => {
  if (!requirePrerequisite(t, "large")) return;
  const { residentBytes } = await measure(t, 10_000_000_000, "path");
  assert.ok(residentBytes <= 60_000_000, `${residentBytes} bytes`);
});
