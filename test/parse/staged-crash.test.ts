/** A server that is killed while a whole file waits for its credentials leaves nothing of it. */
import assert from "node:assert/strict";
import { once } from "node:events";
import { writeFile } from "node:fs/promises";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { join } from "node:path";
import { test } from "node:test";
import { cleanUp } from "../harness/cleanup.ts";
import { listBlobFiles, listLeftOvers } from "../harness/data-folder.ts";
import { begin } from "../harness/http-client.ts";
import { eventually } from "../harness/process-usage.ts";
import { rootKey, startServer, temporaryFolder } from "../harness/server-process.ts";

test("SIGKILL between the bytes and their credentials", async (t) => {
  const [accessKeyId] = rootKey.split(":");
  // Never answers: so the file is stored, and its sender's session is not known yet.
  const silent = createServer(() => {});
  silent.listen(0, "127.0.0.1");
  await once(silent, "listening");
  cleanUp(t, async () => {
    silent.closeAllConnections();
    silent.close();
  });
  const serverURL = `http://127.0.0.1:${(silent.address() as AddressInfo).port}/parse`;
  const config = join(await temporaryFolder(t), "roma.json");
  const applications = [{ appId: "app", accessKeyId, serverURL }];
  await writeFile(config, JSON.stringify({ parse: { applications, sessionMsMax: "60 s" } }));
  const server = await startServer(t, { flags: ["--config", config] });
  const base64 = Buffer.alloc(3_000_000, "some bytes").toString("base64");
  const sent = begin(server, "POST", "/parse/files/a.bin", { authorization: null });
  sent.answer.catch(() => {});
  sent.request.end(JSON.stringify({ base64, _ApplicationId: "app", _SessionToken: "r:x" }));
  await eventually("the file waits", async () => (await listBlobFiles(server.data)).length === 1);
  await server.kill();
  assert.equal((await listBlobFiles(server.data)).length, 1);
  await server.start();
  assert.deepEqual(await listBlobFiles(server.data), []);
  assert.deepEqual(await listLeftOvers(server.data), []);
});
