/**
 * Files of Parse whose credentials come after their bytes, in several workers: what waits is left alone by the sweeper
 * and by a worker that starts, what a dead worker had goes, and the others' are saved.
 */
import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { once } from "node:events";
import { createServer, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { type TestContext, test } from "node:test";
import { cleanUp } from "../harness/cleanup.ts";
import { assertNothingLeftOver, listBlobFiles, readObjectKeys } from "../harness/data-folder.ts";
import { type Answer, begin, objectPath, put, send } from "../harness/http-client.ts";
import { eventually } from "../harness/process-usage.ts";
import { rootKey } from "../harness/server-process.ts";
import { type Worker, Workers } from "./workers.ts";

/** From one address, as many as its share of the limit lets each worker stage. */
const perWorker = 8;
const slowMs = 60_000;

test("files that wait for their credentials in two workers, of which one dies", async (t) => {
  const sessions = await startSessions(t);
  const [accessKeyId = ""] = rootKey.split(":");
  const workers = await Workers.open(t, {
    ...{ blobGrace: "0 ms", trash: { keep: "0 ms" } },
    sweeper: { interval: "100 ms", age: "0 ms" },
    parse: {
      applications: [
        { appId: "app", accessKeyId, bucket: "demo", serverURL: sessions.url, masterKey: "m" },
      ],
      sessionMsMax: "60 s",
      stagedPerAddressMax: perWorker * 2,
    },
  });
  const both = await workers.start(2);
  const [one, two] = both;
  assert(one !== undefined && two !== undefined);
  const stage = (worker: Worker) =>
    Array.from({ length: perWorker }, (_, index) => upload(worker, `${worker.name}-${index}`));
  const [ofOne, ofTwo] = [stage(one), stage(two)];
  const files = async () => (await listBlobFiles(workers.data)).length;
  await eventually("all wait", () => sessions.waiting() === perWorker * 2, slowMs);
  assert.equal(await files(), perWorker * 2);

  // What each worker stages it bounds by its share.
  const tooMany = await upload(one, "too-many").answer;
  assert.equal(tooMany.status, 503, tooMany.body.toString());

  const three = await workers.startOne();
  await sweeps(workers, two);
  await three.stop();
  await sweeps(workers, two);
  assert.equal(await files(), perWorker * 2, "neither a start nor a sweep takes what waits");

  await one.kill();
  for (const { answer } of ofOne) await assert.rejects(answer);
  await eventually(
    "what the dead one had is gone",
    async () => (await files()) === perWorker,
    slowMs,
  );
  await sweeps(workers, two);
  assert.equal(await files(), perWorker, "and no other");

  // Half of them are nobody's.
  sessions.answer((token) => Number(token.split("-").at(-1)) % 2 === 0);
  for (const [index, { answer, bytes }] of ofTwo.entries()) {
    const { status, body } = await answer;
    assert.equal(status, index % 2 === 0 ? 201 : 400, body.toString());
    if (status !== 201) continue;
    const { name }: { readonly name: string } = JSON.parse(body.toString());
    assert.deepEqual((await send(two, "GET", objectPath(name))).body, bytes);
  }
  await eventually("only objects are left", async () => (await files()) === perWorker / 2, slowMs);
  assert.equal(readObjectKeys(workers.data).length, perWorker / 2);
  // Who takes the dead one's place finds the room that it had.
  const next = await workers.startOne();
  const again = await upload(next, `${next.name}-0`).answer;
  assert.equal(again.status, 201, again.body.toString());
  // Removed, and then forgotten.
  await eventually(
    "nothing is left over",
    () =>
      assertNothingLeftOver(workers.data).then(
        () => true,
        () => false,
      ),
    slowMs,
  );
});

/** A whole file in JSON, its session last. */
function upload(worker: Worker, token: string) {
  const bytes = randomBytes(100_000);
  const sent = begin(worker, "POST", "/parse/files/a.bin", { authorization: null });
  sent.answer.catch(() => {});
  const file = { base64: bytes.toString("base64") };
  sent.request.end(JSON.stringify({ ...file, _ApplicationId: "app", _SessionToken: `r:${token}` }));
  return { bytes, answer: sent.answer as Promise<Answer> };
}

/** The parse-server: says nothing of any session until it is told what to say. */
async function startSessions(t: TestContext) {
  const waiting: (readonly [token: string, response: ServerResponse])[] = [];
  let isKnown: ((token: string) => boolean) | undefined;
  const answer = (token: string, response: ServerResponse): void => {
    const known = isKnown?.(token) === true;
    const [status, body] = known
      ? ([200, { objectId: "user" }] as const)
      : ([400, { code: 209, error: "Invalid session token" }] as const);
    response.writeHead(status, { "content-type": "application/json" }).end(JSON.stringify(body));
  };
  const server = createServer((request, response) => {
    const token = String(request.headers["x-parse-session-token"]);
    if (isKnown === undefined) waiting.push([token, response]);
    else answer(token, response);
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  cleanUp(t, () => {
    server.closeAllConnections();
    server.close();
  });
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/parse`,
    waiting: () => waiting.length,
    answer: (known: (token: string) => boolean): void => {
      isKnown = known;
      for (const [token, response] of waiting) answer(token, response);
    },
  };
}

/** A whole round: its garbage goes first in each, so between two kinds of it there was all of one. */
async function sweeps({ data }: Workers, worker: Worker): Promise<void> {
  for (let round = 0; round < 2; round += 1) {
    const before = await listBlobFiles(data);
    assert.equal((await put(worker, "swept", "x")).status, 201);
    const made = (await listBlobFiles(data)).filter((file) => !before.includes(file));
    assert.equal(made.length, 1);
    assert.equal((await send(worker, "DELETE", objectPath("swept"))).status, 204);
    await eventually(
      "what was deleted is gone",
      async () => {
        const files = await listBlobFiles(data);
        return made.every((file) => !files.includes(file));
      },
      slowMs,
    );
  }
}
