/** Records of uploads that a crash or the disk spoiled: rubbish where that is sure, and never in the way. */
import { strict as assert } from "node:assert";
import { mkdtemp, readdir, readFile, rm, truncate, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { openPosixStorage } from "./driver.ts";

const signal = new AbortController().signal;

test("a record whose first line was never whole is a left-over; a damaged one hides no other", async (t) => {
  const root = await mkdtemp(join(tmpdir(), "roma-torn-"));
  t.after(() => rm(root, { recursive: true, force: true }));
  const open = () => openPosixStorage({ id: "disk", root, createMarker: true });
  const folder = join(root, ".roma", "uploads");
  const driver = await open();
  const { parts } = driver;
  assert.ok(parts);
  const names = ["whole", "empty", "torn", "alone", "damaged"] as const;
  const made = new Map<string, string>();
  for (const name of names) {
    made.set(name, (await parts.create(name, { signal, partBytes: 1024 })).token);
  }
  await driver[Symbol.asyncDispose]();
  const file = (name: (typeof names)[number], type: string): string =>
    join(folder, `${made.get(name)}.${type}`);
  await truncate(file("empty", "journal"), 0);
  await truncate(file("torn", "journal"), 20);
  await truncate(file("alone", "journal"), 0);
  await rm(file("alone", "data"));
  const bytes = await readFile(file("damaged", "journal"));
  bytes.write("x", 12);
  await writeFile(file("damaged", "journal"), bytes);

  await using again = await openPosixStorage({ id: "disk", root });
  const pending = await Array.fromAsync(again.parts?.listPending("", { signal }) ?? []);
  assert.deepEqual(
    pending.map(({ key }) => key),
    ["whole"],
  );
  for await (const { token } of again.leftOvers?.list({ signal }) ?? []) {
    await again.leftOvers?.remove(token, { signal });
  }
  const kept = (name: string): string[] => [`${made.get(name)}.data`, `${made.get(name)}.journal`];
  const expected = [...kept("whole"), ...kept("damaged")].sort();
  assert.deepEqual((await readdir(folder)).sort(), expected);
});
