// What the posix driver does when the system fails it: each case through the seam of its files.

import { strict as assert } from "node:assert";
import {
  mkdir,
  mkdtemp,
  readdir,
  rename,
  rm,
  symlink,
  truncate,
  writeFile,
} from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type TestContext, test } from "node:test";
import {
  assertSame,
  bytesOf,
  calm,
  chunked,
  collect,
  descriptorCount,
  hanging,
  keysOf,
  leftOversOf,
  put,
  read,
  rejectsWith,
} from "../conformance/subject.ts";
import { openPosixStorage } from "./driver.ts";
import { type Files, systemFiles } from "./files.ts";

async function temporaryRoot(t: TestContext): Promise<string> {
  const root = await mkdtemp(join(tmpdir(), "roma-posix-"));
  t.after(() => rm(root, { recursive: true, force: true }));
  return root;
}

async function open(t: TestContext, files: Partial<Files> = {}) {
  const root = await temporaryRoot(t);
  const options = { id: "disk", root, createMarker: true, syncAfterRename: false };
  const driver = await openPosixStorage({ ...options, files: { ...systemFiles, ...files } });
  return { driver, root };
}

function errno(code: string): Error {
  return Object.assign(new Error(`${code}: injected`), { code });
}

test("a failed sync of the bytes is final: the put fails, is not synced again, and the next one works", async (t) => {
  let syncs = 0;
  const syncData: Files["syncData"] = (fd) => {
    syncs += 1;
    return syncs === 2 ? Promise.reject(errno("EIO")) : systemFiles.syncData(fd);
  };
  const { driver } = await open(t, { syncData });
  await put(driver, "a", "old");
  await rejectsWith("unavailable", put(driver, "a", "new"));
  assert.equal(syncs, 2);
  assert.equal((await read(driver, "a")).toString(), "old");
  assert.deepEqual(await leftOversOf(driver), []);
  await put(driver, "a", "new");
  assert.equal((await read(driver, "a")).toString(), "new");
});

test("a failed sync while a long body still comes fails the put, though the last one succeeds", async (t) => {
  let syncs = 0;
  const syncData: Files["syncData"] = (fd) => {
    syncs += 1;
    return syncs === 1 ? Promise.reject(errno("EIO")) : systemFiles.syncData(fd);
  };
  const { driver } = await open(t, { syncData });
  const chunk = bytesOf(1024 * 1024);
  async function* long() {
    for (let count = 0; count < 40; count += 1) yield chunk;
  }
  await rejectsWith("unavailable", driver.put("long", long(), { signal: calm }));
  await rejectsWith("object_not_found", driver.head("long", { signal: calm }));
  assert.deepEqual(await leftOversOf(driver), []);
});

test("a put is acknowledged after the sync of its folder and of every folder that was made", async (t) => {
  const steps: string[] = [];
  const names = new Map<number, string>();
  const { driver, root } = await open(t, {
    open: async (path, flags, mode) => {
      const fd = await systemFiles.open(path, flags, mode);
      names.set(fd, path);
      return fd;
    },
    sync: async (fd) => {
      await systemFiles.sync(fd);
      steps.push(`sync ${names.get(fd)?.slice(root.length)}`);
    },
    syncData: async (fd) => {
      await systemFiles.syncData(fd);
      steps.push("data");
    },
    rename: async (from, to) => {
      steps.push(`rename ${to.slice(root.length)}`);
      await systemFiles.rename(from, to);
    },
  });
  await put(driver, "a/b/c", "x");
  assert.deepEqual(steps, ["data", "rename /a%/b%/c", "sync /a%/b%", "sync /a%", "sync "]);
  steps.length = 0;
  await put(driver, "a/b/d", "x");
  assert.deepEqual(steps, ["data", "rename /a%/b%/d", "sync /a%/b%"]);
});

test("many puts into one folder share syncs of it, each begun after their rename", async (t) => {
  let syncs = 0;
  const sync: Files["sync"] = async (fd) => {
    syncs += 1;
    await systemFiles.sync(fd);
  };
  const { driver } = await open(t, { sync });
  await put(driver, "many/first", "x");
  syncs = 0;
  await Promise.all(Array.from({ length: 64 }, (_, index) => put(driver, `many/${index}`, "x")));
  assert.ok(syncs >= 1 && syncs < 64, `${syncs} syncs for 64 puts`);
});

for (const [code, expected] of [
  ["ENOSPC", "storage_full"],
  ["EDQUOT", "storage_full"],
  ["EROFS", "unavailable"],
  ["EACCES", "unavailable"],
  ["EMFILE", "overloaded"],
  ["EIO", "unavailable"],
] as const) {
  test(`${code} at any step of a put is ${expected}, without a path, and leaves nothing`, async (t) => {
    for (const step of ["open", "write", "syncData", "rename", "makeFolder", "sync"] as const) {
      let armed = false;
      const failing = (...given: never[]): Promise<never> => {
        const run = systemFiles[step] as (...args: never[]) => Promise<never>;
        return armed ? Promise.reject(errno(code)) : run(...given);
      };
      const { driver, root } = await open(t, { [step]: failing });
      await put(driver, "kept", "kept");
      const before = descriptorCount();
      armed = true;
      await assert.rejects(put(driver, "new/blob", bytesOf(100_000)), (error: Error) => {
        assert.equal("code" in error && error.code, expected, step);
        assert.ok(!error.message.includes(root));
        return true;
      });
      armed = false;
      assert.equal(descriptorCount(), before, step);
      assert.deepEqual(await leftOversOf(driver), [], step);
      assert.equal((await read(driver, "kept")).toString(), "kept");
      await put(driver, "new/blob", "works again");
    }
  });
}

test("short writes are continued, byte for byte", async (t) => {
  const write: Files["write"] = (fd, pieces, position) => {
    const first = pieces[0] ?? new Uint8Array();
    return systemFiles.write(fd, [first.subarray(0, Math.min(first.length, 7_001))], position);
  };
  const { driver } = await open(t, { write });
  const bytes = bytesOf(700_000);
  await driver.put("short", chunked(bytes, 30_000), { signal: calm });
  assertSame(await read(driver, "short"), bytes);
});

test("a stored file that is shorter or longer than its head is data_damaged, never a short body", async (t) => {
  const { driver, root } = await open(t);
  for (const length of [199_999, 65_536, 0, 200_001]) {
    await put(driver, "damaged", bytesOf(200_000));
    const { body } = await driver.get("damaged", { signal: calm });
    await truncate(join(root, "damaged"), length);
    await rejectsWith("data_damaged", collect(body));
  }
});

test("an unmounted root is never written, and every call says unavailable", async (t) => {
  const { driver, root } = await open(t);
  await put(driver, "a/b", "x");
  const away = `${root}.away`;
  t.after(() => rm(away, { recursive: true, force: true }));
  await rename(root, away);
  await mkdir(root);
  await rejectsWith("unavailable", put(driver, "a/b", "y"));
  await rejectsWith("unavailable", put(driver, "new", "y"));
  await rejectsWith("unavailable", driver.get("a/b", { signal: calm }));
  await rejectsWith("unavailable", driver.head("a/b", { signal: calm }));
  await rejectsWith("unavailable", driver.delete("a/b", { signal: calm }));
  await rejectsWith("unavailable", driver.probe({ signal: calm }));
  await rejectsWith("unavailable", keysOf(driver));
  await rejectsWith("unavailable", driver.parts!.create("p", { signal: calm, partBytes: 5 }));
  assert.deepEqual(await readdir(root), []);
  const { uuid } = driver;
  await rejectsWith("unavailable", openPosixStorage({ id: "disk", root }));
  await rejectsWith(
    "unavailable",
    openPosixStorage({ id: "disk", root, createMarker: true, uuid }),
  );
  assert.deepEqual(await readdir(root), []);
  await rm(root, { recursive: true });
  await rename(away, root);
  await put(driver, "a/b", "y");
  assert.equal((await read(driver, "a/b")).toString(), "y");
});

test("a mount that is lost while a body comes in fails the put", async (t) => {
  const { driver, root } = await open(t);
  const away = `${root}.away`;
  t.after(() => rm(away, { recursive: true, force: true }));
  async function* body() {
    yield bytesOf(100_000);
    await rename(root, away);
    await mkdir(root);
  }
  await rejectsWith("unavailable", driver.put("lost", body(), { signal: calm }));
  assert.deepEqual(await readdir(root), []);
});

test("another storage's folder, and one with foreign files, are refused at opening", async (t) => {
  const { root } = await open(t);
  await rejectsWith("unavailable", openPosixStorage({ id: "other", root }));
  const uuid = "00000000-0000-4000-8000-000000000000";
  await rejectsWith("unavailable", openPosixStorage({ id: "disk", root, uuid }));
  const foreign = await temporaryRoot(t);
  await writeFile(join(foreign, "data.csv"), "x");
  await rejectsWith(
    "unavailable",
    openPosixStorage({ id: "disk", root: foreign, createMarker: true }),
  );
  assert.deepEqual(await readdir(foreign), ["data.csv"]);
});

test("symbolic links in the storage are not followed, neither to read nor to write nor to delete", async (t) => {
  const { driver, root } = await open(t);
  const outside = await temporaryRoot(t);
  await writeFile(join(outside, "secret"), "secret");
  await symlink(outside, join(root, "folder%"));
  await symlink(join(outside, "secret"), join(root, "file"));
  await rejectsWith("object_not_found", driver.get("file", { signal: calm }));
  await rejectsWith("object_not_found", driver.head("file", { signal: calm }));
  await rejectsWith("unavailable", driver.get("folder/secret", { signal: calm }));
  await rejectsWith("unavailable", driver.head("folder/secret", { signal: calm }));
  await rejectsWith("unavailable", put(driver, "folder/new", "x"));
  await rejectsWith("unavailable", put(driver, "folder/new", "x", { createOnly: true }));
  await rejectsWith("unavailable", put(driver, "folder/deep/new", "x"));
  await rejectsWith("unavailable", driver.delete("folder/secret", { signal: calm }));
  assert.deepEqual(await keysOf(driver), []);
  // A put to the link's own name replaces the link, and not what it points at.
  await put(driver, "file", "mine");
  assert.equal((await read(driver, "file")).toString(), "mine");
  assert.deepEqual(await readdir(outside), ["secret"]);
});

test("1,000 aborted puts leave no descriptor, no temporary and no blob", async (t) => {
  const { driver, root } = await open(t);
  await put(driver, "warm", "x");
  const before = descriptorCount();
  const chunk = bytesOf(20_000);
  const abortOne = async (index: number): Promise<void> => {
    const controller = new AbortController();
    const putting = driver.put(`x/${index}`, hanging(chunk, index % 4), {
      signal: controller.signal,
    });
    setTimeout(() => controller.abort(), index % 5);
    await assert.rejects(putting, { name: "AbortError" });
  };
  for (let start = 0; start < 1000; start += 100) {
    await Promise.all(Array.from({ length: 100 }, (_, index) => abortOne(start + index)));
  }
  assert.equal(descriptorCount(), before);
  assert.deepEqual(await readdir(join(root, ".roma", "tmp")), []);
  assert.deepEqual(await keysOf(driver), ["warm"]);
});

test("what a crash left is listed and removed, and running writes are not", async (t) => {
  const { driver, root } = await open(t);
  const token = "0f0e0d0c-0b0a-4000-8000-010203040506";
  await writeFile(join(root, ".roma", "tmp", token), "half");
  const controller = new AbortController();
  let begun = (): void => undefined;
  const pulled = new Promise<void>((resolve) => {
    begun = resolve;
  });
  async function* running() {
    begun();
    yield* hanging(bytesOf(10_000));
  }
  const putting = driver.put("running", running(), { signal: controller.signal });
  await pulled;
  const upload = await driver.parts!.create("pending", { signal: calm, partBytes: 100 });
  const done = await driver.parts!.create("done", { signal: calm, partBytes: 100 });
  await driver.parts!.complete(done, [], { signal: calm });
  assert.deepEqual(
    (await leftOversOf(driver)).toSorted(),
    [token, `${done.token}.journal`].toSorted(),
  );
  for (const name of [
    ...(await readdir(join(root, ".roma", "tmp"))),
    `${upload.token}.data`,
    "../../x",
  ]) {
    await driver.leftOvers?.remove(name, { signal: calm });
  }
  await driver.leftOvers?.remove(`${done.token}.journal`, { signal: calm });
  assert.equal((await readdir(join(root, ".roma", "tmp"))).length, 1);
  assert.deepEqual(await leftOversOf(driver), []);
  assert.equal((await Array.fromAsync(driver.parts!.listPending("", { signal: calm }))).length, 1);
  controller.abort();
  await assert.rejects(putting);
});

test("a folder that became empty is removed, and one with blobs is not", async (t) => {
  const { driver, root } = await open(t);
  await put(driver, "a/b/c", "x");
  await put(driver, "a/d", "x");
  await driver.delete("a/b/c", { signal: calm });
  assert.deepEqual(await readdir(join(root, "a%")), ["d"]);
  await driver.delete("a/d", { signal: calm });
  assert.deepEqual(await readdir(root), [".roma"]);
});

test("a torn last line of a journal is cut, and the part before it holds", async (t) => {
  const { driver, root } = await open(t);
  const { parts } = driver;
  assert.ok(parts);
  const upload = await parts.create("torn", { signal: calm, partBytes: 10 });
  const options = { signal: calm, digests: {} };
  await parts.writePart(upload, 1, bytesOf(10), options);
  const journal = join(root, ".roma", "uploads", `${upload.token}.journal`);
  await writeFile(journal, '0badc0de {"type":"part","partNumber":2,"len', { flag: "a" });
  const again = await openPosixStorage({ id: "disk", root });
  const listed = await Array.fromAsync(again.parts!.listParts(upload, { signal: calm }));
  assert.deepEqual(
    listed.map(({ partNumber }) => partNumber),
    [1],
  );
  const second = await again.parts!.writePart(upload, 2, bytesOf(3, 2), options);
  await again.parts!.complete(upload, [...listed, second], { signal: calm });
  assertSame(await read(again, "torn"), Buffer.concat([bytesOf(10), bytesOf(3, 2)]));
});
