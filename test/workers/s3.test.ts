/**
 * Several workers on a storage of the S3 family: requests of one upload at different workers, a worker that dies
 * between the storage's answer and the commit, and the sweeper of one beside what the others write.
 */
import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { type TestContext, test } from "node:test";
import { Emulator } from "../../packages/server/src/storage/s3/emulator/testing.ts";
import { cleanUp } from "../harness/cleanup.ts";
import { isSwept, readBlobRows, readUploadRows, readUsage } from "../harness/data-folder.ts";
import { type Answer, begin, objectPath, send } from "../harness/http-client.ts";
import { eventually } from "../harness/process-usage.ts";
import { bytesFields, createTus, offsetWhenFree, patchTus } from "../uploads/tus-wire.ts";
import { json, patiently, s3, sha256 } from "./requests.ts";
import { type Worker, Workers } from "./workers.ts";

const secretAccessKey = "the-secret-of-a-storage-0123456789";
const MiB = 1024 * 1024;
const slowMs = 60_000;
const dayMs = 24 * 60 * 60 * 1000;

test("three workers on an S3 storage", async (t) => {
  const it = await open(t);
  await t.test("a resumable upload of parts and tails goes through all of them", () => resumed(it));
  await t.test("an upload in parts: each at two workers at once, completed by all of them", () =>
    inParts(it),
  );
  const leads = ({ name }: Worker) => name === it.workers.leader;
  const leader = it.running.find(leads);
  const others = it.running.filter((worker) => !leads(worker));
  assert(leader !== undefined);
  await t.test(
    "what another stored and has not committed is left alone by the one that sweeps",
    () => uncommitted(it, at(others, 0)),
  );
  await t.test("and so is its own", () => uncommitted(it, leader));
  await t.test("the one that sweeps dies between the storage's answers and its commits", () =>
    death(it, leader, others),
  );
  await t.test("nothing is left over", () => nothingLeft(it, others));
});

/** In pieces of odd sizes at one worker after the other; every second hangs until the next takes over. */
async function resumed({ running }: Running): Promise<void> {
  const bytes = randomBytes(9 * MiB + 12_345);
  const path = await createTus(at(running, 0), { length: bytes.length, key: "resumed" });
  let offset = 0;
  for (let turn = 0; offset < bytes.length; turn += 1) {
    const piece = bytes.subarray(offset, offset + 1_500_001 + turn);
    if (turn % 2 === 0) {
      const answer = await patiently(() => patchTus(at(running, turn), path, offset, piece));
      assert.equal(answer.status, 204, answer.body.toString());
      offset += piece.length;
      continue;
    }
    const contentLength = { "content-length": `${bytes.length - offset}` };
    const headers = { ...bytesFields, ...contentLength, "upload-offset": `${offset}` };
    let isOver = true;
    const hang = () => {
      const hung = begin(at(running, turn), "PATCH", path, { headers });
      const end = (): void => {
        isOver = true;
      };
      isOver = false;
      hung.answer.then(end, end);
      hung.request.write(piece);
    };
    const before = offset;
    await eventually(
      "the next worker knows what came",
      async () => {
        // At first, and where it was stopped before a byte of it was read.
        if (isOver) hang();
        offset = (await offsetWhenFree(at(running, turn + 1), path)) ?? -1;
        return offset > before;
      },
      slowMs,
    );
  }
  await expectObject(running, "resumed", bytes);
}

async function inParts({ running }: Running): Promise<void> {
  const partBytes = 5 * MiB;
  const bytes = randomBytes(partBytes + 777);
  const target = await createInParts(at(running, 0), "parts");
  const etags = await Promise.all(
    [0, 1].map(async (index) => {
      const part = bytes.subarray(index * partBytes, (index + 1) * partBytes);
      const put = (worker: Worker) => s3(worker, "PUT", partOf(target, index + 1), part);
      // The last to be recorded counts, and the other is nobody's.
      const both = [put(at(running, index)), put(at(running, index + 1))];
      const [one, other] = await Promise.all(both);
      assert.deepEqual([one?.status, other?.status], [200, 200]);
      return one?.headers.etag ?? "";
    }),
  );
  const document = completion(etags);
  const answers = await Promise.all(running.map((each) => s3(each, "POST", target, document)));
  for (const { status, body } of answers) assert.equal(status, 200, body.toString());
  await expectObject(running, "parts", bytes);
}

/** The storage has it, and the worker does not know yet: whoever sweeps sees a blob that no row names. */
async function uncommitted(it: Running, worker: Worker): Promise<void> {
  const { running } = it;
  const bytes = randomBytes(200_000);
  const name = worker.name;
  const held = async (request: () => Promise<Answer>): Promise<Answer> => {
    const { carriedOut, release } = holdAnswer(it, "PUT", "object");
    const answer = request();
    await carriedOut;
    await sweeps(it, 3);
    release();
    return await answer;
  };
  const put = await held(() => send(worker, "PUT", objectPath(`${name}-put`), { body: bytes }));
  assert.equal(put.status, 201);

  const target = await createInParts(worker, `${name}-parts`);
  const part = await held(() => s3(worker, "PUT", partOf(target, 1), bytes));
  const completed = await s3(worker, "POST", target, completion([part.headers.etag ?? ""]));
  assert.equal(completed.status, 200, completed.body.toString());

  const path = await createTus(worker, { length: bytes.length, key: `${name}-tus` });
  const tail = await held(() => patchTus(worker, path, 0, bytes.subarray(0, 150_000)));
  assert.equal(tail.status, 204);
  const last = await held(() => patchTus(worker, path, 150_000, bytes.subarray(150_000)));
  assert.equal(last.status, 204);
  await sweeps(it, 2);
  for (const way of ["put", "parts", "tus"]) await expectObject(running, `${name}-${way}`, bytes);
}

async function death(it: Running, dying: Worker, living: readonly Worker[]): Promise<void> {
  const bytes = randomBytes(9 * MiB);
  const path = await createTus(dying, { length: bytes.length, key: "completed" });
  const target = await createInParts(dying, "from-parts");
  const chunked = { "transfer-encoding": "chunked" };
  const held: (() => void)[] = [];
  for (const [method, operation, request] of [
    ["POST", "upload", () => patchTus(dying, path, 0, bytes)],
    ["PUT", "object", () => send(dying, "PUT", objectPath("lost"), { body: "all of it" })],
    ["PUT", "object", () => s3(dying, "PUT", partOf(target, 1), "lost as well")],
    [
      ...(["PUT", "part"] as const),
      () => send(dying, "PUT", objectPath("lost-parts"), { body: bytes, headers: chunked }),
    ],
  ] as const) {
    const { carriedOut, release } = holdAnswer(it, method, operation);
    held.push(release);
    request().catch(() => {});
    await carriedOut;
  }
  await dying.kill();
  for (const release of held) release();

  const [first, second] = [at(living, 0), at(living, 1)];
  // Its bytes were all there: whoever is asked completes it.
  await eventually(
    "it is free",
    async () => (await offsetWhenFree(first, path)) === bytes.length,
    slowMs,
  );
  await expectObject(living, "completed", bytes);
  for (const key of ["lost", "lost-parts"]) {
    assert.equal((await send(first, "GET", objectPath(key))).status, 404);
  }
  const { headers } = await s3(second, "PUT", partOf(target, 1), "the part");
  const completed = await s3(first, "POST", target, completion([headers.etag ?? ""]));
  assert.equal(completed.status, 200, completed.body.toString());
  await expectObject(living, "from-parts", Buffer.from("the part"));
}

/** What objects need is there and nothing else; then no object, and nothing at all. */
async function nothingLeft(
  { emulator, workers }: Running,
  living: readonly Worker[],
): Promise<void> {
  const worker = at(living, 0);
  const stored = () => [...emulator.objects.keys()].filter((key) => key.startsWith("b/"));
  const listed = await json(worker, "GET", "/v1/objects/demo?limit=1000");
  const keys = (listed.objects as readonly { readonly key: string }[]).map(({ key }) => key);
  assert.equal(keys.length, 10, keys.join());
  for (const key of keys) await send(worker, "DELETE", objectPath(key));
  await eventually(
    "all blobs are gone",
    () => {
      return readBlobRows(workers.data).length === 0 && stored().length === 0;
    },
    slowMs,
  ).catch((cause: unknown) => {
    throw new Error(`${JSON.stringify(readBlobRows(workers.data))} ${stored()}`, { cause });
  });
  for (const { id, phase } of readUploadRows(workers.data)) {
    assert.equal(phase, "complete", `upload ${id}, which is remembered`);
  }
  assert.equal(readUsage(workers.data)[0]?.reservedBytes, 0);
  // Of what the killed one put in parts: nobody can know that it is not on its way, for a day.
  assert.equal(emulator.uploads.size, 1);
  for (const each of living) await each.stop();
  await workers.startOne({ clockAheadMs: 2 * dayMs });
  await eventually("no upload is pending", () => emulator.uploads.size === 0, slowMs);
}

interface Running {
  readonly emulator: Emulator;
  readonly workers: Workers;
  readonly running: readonly Worker[];
}

/** The bucket `demo` is on an emulated storage, which is swept all the time and whatever the age. */
async function open(t: TestContext): Promise<Running> {
  const emulator = await new Emulator({ vendor: "minio", secretAccessKey }).listen();
  cleanUp(t, () => emulator[Symbol.asyncDispose]());
  const workers = await Workers.open(t, {
    ...{ blobGrace: "0 ms", trash: { keep: "0 ms" }, uploads: { tidyInterval: "200 ms" } },
    sweeper: { interval: "100 ms", age: "0 ms" },
  });
  const running = await workers.start(3);
  const { endpoint, region, bucket } = emulator;
  const place = { endpoint: endpoint.replace("storage.test", "127.0.0.1"), region, bucket };
  const { accessKeyId } = emulator.key;
  const settings = { driver: "s3", vendor: "minio", ...place, accessKeyId, secretAccessKey };
  await json(at(running, 0), "PUT", "/v1/storages/far", settings);
  await json(at(running, 1), "PATCH", "/v1/buckets/demo", { placement: "far" });
  await eventually("the sweeper knows it", () => isSwept(workers.data, "far"), slowMs);
  return { emulator, workers, running };
}

/** The next such request is carried out, and its answer kept back until `release`. */
function holdAnswer({ emulator }: Running, method: string, operation: string) {
  const carriedOut = Promise.withResolvers<void>();
  const released = Promise.withResolvers<void>();
  const before = emulator.fault;
  emulator.fault = (request) => {
    if (request.method !== method || request.operation !== operation) return before(request);
    emulator.fault = before;
    const answerAfter = (): Promise<void> => {
      carriedOut.resolve();
      return released.promise;
    };
    return { answerAfter };
  };
  return { carriedOut: carriedOut.promise, release: () => released.resolve() };
}

/** So many whole rounds of the sweeper begin and end: it alone lists the storage. */
async function sweeps({ emulator }: Running, count: number): Promise<void> {
  const rounds = () => emulator.requests.filter((request) => request === "GET bucket").length;
  const before = rounds();
  await eventually(`${count} rounds`, () => rounds() > before + count, slowMs);
}

async function expectObject(workers: readonly Worker[], key: string, bytes: Buffer): Promise<void> {
  for (const worker of workers) {
    const { status, body } = await send(worker, "GET", objectPath(key));
    assert.equal(status, 200, `${key}: ${body}`);
    assert.equal(sha256(body), sha256(bytes), key);
  }
}

/** By turns. */
function at(workers: readonly Worker[], turn: number): Worker {
  const worker = workers[turn % workers.length];
  assert(worker !== undefined);
  return worker;
}

async function createInParts(worker: Worker, key: string): Promise<string> {
  const { body } = await s3(worker, "POST", `${key}?uploads`);
  const uploadId = /<UploadId>([^<]+)/.exec(body.toString())?.[1];
  assert(uploadId !== undefined, body.toString());
  return `${key}?uploadId=${uploadId}`;
}

function partOf(target: string, number: number): string {
  return `${target}&partNumber=${number}`;
}

function completion(etags: readonly string[]): string {
  const parts = etags.map(
    (etag, index) => `<Part><PartNumber>${index + 1}</PartNumber><ETag>${etag}</ETag></Part>`,
  );
  return `<CompleteMultipartUpload>${parts.join("")}</CompleteMultipartUpload>`;
}
