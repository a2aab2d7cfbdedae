/** Two workers asked for the same thing at once: exactly one does it; and what one removes the other has not in hand. */
import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { request as httpRequest, type IncomingMessage } from "node:http";
import { test } from "node:test";
import { signGrant } from "../../packages/server/src/core/grants.ts";
import { basicAuthorization, begin, objectPath, send } from "../harness/http-client.ts";
import { eventually } from "../harness/process-usage.ts";
import { rootKey } from "../harness/server-process.ts";
import { call, json, patiently, s3, sha256 } from "./requests.ts";
import { type Worker, Workers } from "./workers.ts";

const [keyId = "", secret = ""] = rootKey.split(":");
const partBytes = 5 * 1024 * 1024;

test("two workers at once", async (t) => {
  const workers = await Workers.open(t, {
    ...{ blobGrace: "0 ms", trash: { keep: "0 ms" } },
    sweeper: { interval: "100 ms", age: "0 ms" },
  });
  const both = await workers.start(2);
  const [one, two] = both;
  assert(one !== undefined && two !== undefined);
  await t.test("of two creates with If-None-Match one wins", () => creates(both));
  await t.test("both commit all the time, and the audit log is one chain", () => commits(both));
  await t.test("of two uses of a grant with one use one wins", () => grants(both));
  await t.test("an upload in parts is completed once, whoever is asked", () => completions(both));
  await t.test("a proof may go to another worker than asked for it, and counts once", () =>
    proofs(both),
  );
  await t.test("a request of Parse that comes to both with one id is done once", () => parse(both));
  await t.test("what runs in one worker is listed and cancelled through the other", () =>
    listed(both),
  );
  await t.test(
    "an object that is read slowly is whole when another worker replaced and sweeps",
    () => slowRead(workers, both),
  );
  await t.test("a bulk delete that is confirmed in either worker runs", () => bulkDelete(both));
});

async function creates(both: readonly Worker[]): Promise<void> {
  for (let round = 0; round < 10; round += 1) {
    const answers = await Promise.all(
      [...both, ...both].map((worker, index) =>
        send(worker, "PUT", objectPath(`once-${round}`), {
          body: `${index}`,
          headers: { "if-none-match": "*" },
        }),
      ),
    );
    const won = answers.findIndex(({ status }) => status === 201);
    assert.deepEqual(
      answers.map(({ status }) => status).sort(),
      [201, 412, 412, 412],
      answers.map(({ body }) => body.toString()).join("\n"),
    );
    for (const worker of both) {
      const read = await send(worker, "GET", objectPath(`once-${round}`));
      assert.equal(read.body.toString(), `${won}`);
    }
  }
}

async function commits(both: readonly Worker[]): Promise<void> {
  const written = await Promise.all(
    both.map(async (worker, index) => {
      const other = both[1 - index];
      assert(other !== undefined);
      for (let count = 0; count < 40; count += 1) {
        const key = objectPath(`both/${index}-${count}`);
        const put = await send(worker, "PUT", key, { body: key });
        assert.equal(put.status, 201, put.body.toString());
        // Whoever is asked: it was answered.
        assert.equal((await send(other, "GET", key)).body.toString(), key);
      }
      return 40;
    }),
  );
  assert.deepEqual(written, [40, 40]);
  const [first] = both;
  assert(first !== undefined);
  const verified = await send(first, "GET", "/v1/audit/verify");
  const { problems, checked } = JSON.parse(verified.body.toString());
  assert.deepEqual(problems, []);
  assert.ok(checked >= 80);
}

async function grants(both: readonly Worker[]): Promise<void> {
  const token = signGrant(
    { bucket: "demo", prefix: "granted/", actions: ["object:write"], count: 1, jti: "once" },
    { keyId, secret },
    new Date(Date.now() + 600_000),
  );
  const answers = await Promise.all(
    [...both, ...both].map((worker, index) =>
      send(worker, "PUT", objectPath(`granted/${index}`), {
        body: "x",
        authorization: `Bearer ${token}`,
      }),
    ),
  );
  assert.deepEqual(answers.map(({ status }) => status).sort(), [201, 403, 403, 403]);
}

async function completions(both: readonly Worker[]): Promise<void> {
  const [one, two] = both;
  assert(one !== undefined && two !== undefined);
  const { target, document, bytes } = await inParts(both, "parts");
  const answers = await Promise.all(
    [...both, ...both].map((worker) => s3(worker, "POST", target, document)),
  );
  for (const answer of answers) {
    assert.equal(answer.status, 200, answer.body.toString());
    assert.match(answer.body.toString(), /<ETag>/);
  }
  const etags = new Set(answers.map(({ body }) => /<ETag>([^<]+)/.exec(body.toString())?.[1]));
  assert.equal(etags.size, 1);
  for (const worker of both) {
    const read = await send(worker, "GET", objectPath("parts"));
    assert.equal(sha256(read.body), sha256(bytes));
  }
}

async function proofs(both: readonly Worker[]): Promise<void> {
  const [one, two] = both;
  assert(one !== undefined && two !== undefined);
  const bytes = randomBytes(1_000);
  const known = { body: bytes, headers: { "want-repr-digest": "sha-256=1" } };
  assert.equal((await send(one, "PUT", objectPath("known"), known)).status, 201);
  const begun = await send(one, "POST", "/v1/uploads", {
    body: JSON.stringify({
      ...{ bucket: "demo", key: "instant", length: bytes.length, instant: true },
      checksums: { sha256: sha256(bytes) },
    }),
  });
  assert.equal(begun.status, 201, begun.body.toString());
  const {
    id,
    transfer,
  }: { readonly id: string; readonly transfer: { readonly challenge: Proof } } = JSON.parse(
    begun.body.toString(),
  );
  const { nonce, ranges } = transfer.challenge;
  const digests = ranges.map(({ firstByte, lastByte }) =>
    sha256(Buffer.concat([Buffer.from(nonce, "hex"), bytes.subarray(firstByte, lastByte + 1)])),
  );
  const prove = (worker: Worker) =>
    send(worker, "POST", `/v1/uploads/${id}/proof`, { body: JSON.stringify({ digests }) });
  const proven = await prove(two);
  assert.ok(proven.status < 300, proven.body.toString());
  const read = await send(one, "GET", objectPath("instant"));
  assert.equal(sha256(read.body), sha256(bytes));
}

interface Proof {
  readonly nonce: string;
  readonly ranges: readonly { readonly firstByte: number; readonly lastByte: number }[];
}

async function parse(both: readonly Worker[]): Promise<void> {
  for (let round = 0; round < 5; round += 1) {
    const post = (worker: Worker) =>
      send(worker, "POST", "/parse/files/a.txt", {
        authorization: null,
        body: "text",
        headers: {
          "x-parse-application-id": keyId,
          "x-parse-master-key": secret,
          "x-parse-request-id": `round ${round}`,
        },
      });
    const answers = await Promise.all([...both, ...both].map(post));
    answers.push(...(await Promise.all(both.map(post))));
    const names = answers.map(({ body }) => body.toString().replace(/"url":"[^"]*"/, ""));
    assert.equal(answers[0]?.status, 201, names.join("\n"));
    assert.equal(new Set(names).size, 1, names.join("\n"));
  }
}

async function listed(both: readonly Worker[]): Promise<void> {
  const [one, two] = both;
  assert(one !== undefined && two !== undefined);
  const sent = begin(one, "PUT", objectPath("running"), { headers: { "content-length": "100" } });
  // Refused, or cut off.
  const ended = sent.answer.then(
    ({ status }) => status,
    () => 499,
  );
  sent.request.write("some");
  let id: string | undefined;
  while (id === undefined) {
    const list = await json(two, "GET", "/v1/uploads");
    const uploads = list.uploads as readonly { readonly id: string; readonly key: string }[];
    id = uploads.find(({ key }) => key === "running")?.id;
  }
  await json(two, "GET", `/v1/uploads/${id}`);
  const cancelled = await patiently(() => call(two, "DELETE", `/v1/uploads/${id}`));
  assert.equal(cancelled.status, 204, cancelled.body.toString());
  assert.ok((await ended) >= 400);
  assert.equal((await send(one, "GET", objectPath("running"))).status, 404);
  const gone = await patiently(() => call(two, "GET", `/v1/uploads/${id}`));
  assert.equal(gone.status, 404, gone.body.toString());
}

async function slowRead(workers: Workers, both: readonly Worker[]): Promise<void> {
  // The reader is not the worker that sweeps.
  const reader = both.find(({ name }) => name !== workers.leader);
  const other = both.find(({ name }) => name === workers.leader);
  assert(reader !== undefined && other !== undefined);
  const { target, document, bytes } = await inParts(both, "slow");
  assert.equal((await s3(other, "POST", target, document)).status, 200);
  const reading = await slowly(reader, objectPath("slow"));
  assert.equal((await send(other, "DELETE", objectPath("slow"))).status, 204);
  const collected: Buffer[] = [];
  for await (const chunk of reading) {
    collected.push(chunk);
    // Some rounds of the sweeper, with pieces that are not open yet.
    if (collected.length === 1) await new Promise((resolve) => setTimeout(resolve, 1_000));
  }
  assert.ok(reading.complete);
  assert.equal(sha256(Buffer.concat(collected)), sha256(bytes));
}

/**
 * The worker that leads looks for them every five seconds, and is told of each. One that was found by a look is
 * followed by one that would wait all that time: so of those after the first one at least runs sooner.
 */
async function bulkDelete(both: readonly Worker[]): Promise<void> {
  for (const [index, worker] of both.entries()) {
    const afterFirst: number[] = [];
    await bulkDeleteOnce(worker, `bulk-${index}/0/`);
    for (let turn = 1; turn <= 5 && !afterFirst.some((ms) => ms < 3_000); turn += 1) {
      afterFirst.push(await bulkDeleteOnce(worker, `bulk-${index}/${turn}/`));
    }
    assert.ok(Math.min(...afterFirst) < 3_000, `they do not run at once: ${afterFirst}`);
  }
}

/** Answers in how many milliseconds it was done. */
async function bulkDeleteOnce(worker: Worker, prefix: string): Promise<number> {
  for (let count = 0; count < 3; count += 1) {
    const put = await send(worker, "PUT", objectPath(`${prefix}${count}`), { body: "x" });
    assert.equal(put.status, 201);
  }
  const plan = await send(worker, "POST", "/v1/bulk-deletes", {
    body: JSON.stringify({ bucket: "demo", prefix }),
  });
  assert.equal(plan.status, 201, plan.body.toString());
  const { id, digest }: { readonly id: string; readonly digest: string } = JSON.parse(
    plan.body.toString(),
  );
  const confirmed = await send(worker, "POST", `/v1/bulk-deletes/${id}/confirm`, {
    body: JSON.stringify({ bucket: "demo", environment: null, digest }),
  });
  assert.ok(confirmed.status < 300, confirmed.body.toString());
  const since = performance.now();
  await eventually("it runs", async () => {
    const { status } = await send(worker, "GET", objectPath(`${prefix}2`));
    return status === 404;
  });
  return performance.now() - since;
}

/** All parts of an upload, by turns through both workers, and what completes it. */
async function inParts(both: readonly Worker[], key: string) {
  const [first] = both;
  assert(first !== undefined);
  const created = await s3(first, "POST", `${key}?uploads`);
  const uploadId = /<UploadId>([^<]+)/.exec(created.body.toString())?.[1];
  const target = `${key}?uploadId=${uploadId}`;
  const bytes = randomBytes(partBytes * 2 + 1_000);
  const parts: string[] = [];
  for (let number = 1; number <= 3; number += 1) {
    const worker = both[number % 2];
    assert(worker !== undefined);
    const part = bytes.subarray((number - 1) * partBytes, number * partBytes);
    const put = await s3(worker, "PUT", `${target}&partNumber=${number}`, part);
    assert.equal(put.status, 200, put.body.toString());
    parts.push(`<Part><PartNumber>${number}</PartNumber><ETag>${put.headers.etag}</ETag></Part>`);
  }
  const document = `<CompleteMultipartUpload>${parts.join("")}</CompleteMultipartUpload>`;
  return { target, document, bytes };
}

/** An answer whose body is the caller's to read. */
function slowly(worker: Worker, path: string): Promise<IncomingMessage> {
  return new Promise((resolve, reject) => {
    const headers = { authorization: basicAuthorization };
    const request = httpRequest(`${worker.url}${path}`, { headers, agent: false });
    request.once("response", resolve).once("error", reject).end();
  });
}
