import assert from "node:assert/strict";
import { test } from "node:test";
import { openMemoryStorage } from "../storage/index.ts";
import { checkStorageCors, setStorageCors, withPageRule } from "./storage-cors.ts";

const call = { signal: new AbortController().signal };

test("a rule of another name stays, even where it says the same", () => {
  const [ours] = withPageRule([], ["https://app.example"]);
  assert(ours !== undefined);
  const same = { ...ours, id: "theirs" };
  const { id: _id, ...nameless } = ours;
  assert.deepEqual(withPageRule([same, nameless], []), [same]);
  assert.deepEqual(withPageRule([ours, same], ["*"]), [{ ...ours, allowedOrigins: ["*"] }, same]);
});

test("a storage that pages send nothing to says who answers them instead", async () => {
  await using driver = openMemoryStorage({ id: "disk" });
  for (const run of [checkStorageCors, setStorageCors]) {
    await assert.rejects(run(driver, ["https://app.example"], call), {
      code: "unsupported",
      message: /the storage disk: .* this server answers \(http\.corsOrigins/,
    });
  }
});

test("what is no origin is refused before anything is asked", async () => {
  await using driver = openMemoryStorage({ id: "disk" });
  for (const origin of [
    ...["", "app.example", "https://app.example/", "https://APP.example", "ftp://app.example"],
    ...["https://*.*.example", "null", "https://app.example:443", `https://${"a".repeat(260)}`],
  ]) {
    await assert.rejects(
      checkStorageCors(driver, [origin], call),
      { code: "invalid_request", context: { field: "origins" } },
      origin,
    );
  }
  const many = Array.from({ length: 101 }, (_, index) => `https://app${index}.example`);
  await assert.rejects(setStorageCors(driver, many, call), /has 101 origins, more than 100/);
  for (const origin of ["*", "http://localhost:3000", "https://*.app.example", "https://*"]) {
    await assert.rejects(checkStorageCors(driver, [origin], call), { code: "unsupported" }, origin);
  }
});
