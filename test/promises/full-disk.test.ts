/** A full storage is refused with 507, harms nothing that is stored, and works again once it has room. */
import assert from "node:assert/strict";
import { rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { type TestContext, test } from "node:test";
import { eventuallyNothingLeftOver } from "../harness/data-folder.ts";
import { formBody, get, listKeys, problemCode, put, send } from "../harness/http-client.ts";
import { eventually } from "../harness/process-usage.ts";
import { type ServerProcess, startServer, temporaryFolder } from "../harness/server-process.ts";
import { mountTmpfs } from "../harness/tmpfs.ts";
import { requirePrerequisite } from "../prerequisites.ts";

const MiB = 1024 * 1024;
const old = Buffer.alloc(MiB, "the old bytes ");

async function startOnTmpfs(
  t: TestContext,
  limits: { readonly bytes: number; readonly inodes: number },
): Promise<ServerProcess> {
  const data = await temporaryFolder(t);
  await mountTmpfs(t, join(data, "objects"), limits);
  const flags = [
    ...["--sweeper-interval", "1 day", "--blob-grace", "0 ms", "--trash-keep", "0 s"],
    // Who is refused and sends all the same has so long for it, also where this process stands still meanwhile.
    ...["--http-linger-ms-max", "60 s"],
  ];
  const server = await startServer(t, { data, flags });
  assert.equal((await put(server, "old", old)).status, 201);
  return server;
}

async function assertRefused(server: ServerProcess, body: Buffer): Promise<void> {
  for (const key of ["old", "new"]) {
    for (const framing of [{}, { "transfer-encoding": "chunked" }]) {
      const answer = await put(server, key, body, framing);
      assert.equal(answer.status, 507, `${answer.status} ${answer.body}`);
      assert.equal(problemCode(answer), "storage_full");
      assert.doesNotMatch(answer.body.toString(), /objects\/|\/tmp|ENOSPC/);
      assert.deepEqual((await get(server, "old")).body, old);
    }
  }
  const form = formBody([{ name: "in-form", bytes: body }]);
  assert.equal((await send(server, "POST", "/v1/objects/demo", form)).status, 507);
  assert.deepEqual(await listKeys(server), ["old"]);
  await eventuallyNothingLeftOver(server.data);
}

test("a storage without room for the bytes answers 507 and keeps nothing of them", async (t) => {
  if (!requirePrerequisite(t, "tmpfs")) return;
  const server = await startOnTmpfs(t, { bytes: 8 * MiB, inodes: 1000 });
  const body = Buffer.alloc(3 * MiB, "the new bytes ");
  const filler = join(server.objectsFolder, ".filler");
  await writeFile(filler, Buffer.alloc(5 * MiB));
  await assertRefused(server, body);
  await rm(filler);
  // Who would be refused looks at the disk again, and waits for that look no longer than 200 ms.
  await eventually("it works", async () => (await put(server, "old", body)).status === 200);
  assert.deepEqual((await get(server, "old")).body, body);
});

test("a storage without an inode answers 507 and keeps nothing", async (t) => {
  if (!requirePrerequisite(t, "tmpfs")) return;
  const server = await startOnTmpfs(t, { bytes: 32 * MiB, inodes: 40 });
  const fillers: string[] = [];
  for (let index = 0; ; index += 1) {
    const filler = join(server.objectsFolder, `.filler-${index}`);
    try {
      await writeFile(filler, "");
    } catch (error) {
      assert.match(String(error), /ENOSPC/);
      break;
    }
    fillers.push(filler);
  }
  assert.ok(fillers.length > 0);
  await assertRefused(server, Buffer.alloc(1000, "the new bytes "));
  await Promise.all(fillers.map((filler) => rm(filler)));
  await eventually("it works", async () => (await put(server, "new", old)).status === 201);
  assert.deepEqual((await get(server, "new")).body, old);
});
