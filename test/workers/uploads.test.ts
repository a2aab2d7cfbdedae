/** One upload through several workers: hung connections in one, going on in another, and one that dies meanwhile. */
import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { test } from "node:test";
import { begin, objectPath, send } from "../harness/http-client.ts";
import { eventually } from "../harness/process-usage.ts";
import { bytesFields, createTus, offsetOf, offsetWhenFree, patchTus } from "../uploads/tus-wire.ts";
import { json, patiently, sha256 } from "./requests.ts";
import { type Worker, Workers } from "./workers.ts";

const MiB = 1024 * 1024;

test("an upload that bounces between workers, each time leaving a hung request behind, is whole", async (t) => {
  const workers = await Workers.open(t);
  const both = await workers.start(2);
  const bytes = randomBytes(4 * MiB);
  const [first] = both;
  assert(first !== undefined);
  const path = await createTus(first, { length: bytes.length, key: "bounced" });
  let offset = 0;
  for (let turn = 0; turn < 8 && offset < bytes.length; turn += 1) {
    const worker = both[turn % 2];
    assert(worker !== undefined);
    const hung = hang(worker, path, { offset, bytes, send: 400_000 + turn * 1_000 });
    // The other worker is asked where it stands: the hung request is stopped, and what it brought counts.
    const next = both[(turn + 1) % 2];
    assert(next !== undefined);
    offset = await movedOn(next, path, { from: offset, hung });
  }
  const last = await patiently(() => patchTus(first, path, offset, bytes.subarray(offset)));
  assert.equal(last.status, 204, last.body.toString());
  for (const worker of both) {
    const read = await send(worker, "GET", objectPath("bounced"));
    assert.equal(sha256(read.body), sha256(bytes));
  }
});

test("a worker that is killed in the middle leaves the upload free at once; one that hangs keeps it", async (t) => {
  const workers = await Workers.open(t);
  const [one, two] = await workers.start(2);
  assert(one !== undefined && two !== undefined);
  const bytes = randomBytes(3 * MiB);
  const path = await createTus(one, { length: bytes.length, key: "taken" });
  const begun = hang(one, path, { offset: 0, bytes, send: MiB });
  await eventually("some of it is recorded", async () => (await recorded(two, path)) > 0);
  one.pause();
  try {
    // Alive and silent: its last write may still come, however long ago its lease ran out.
    const refused = await patchTus(two, path, 0, bytes.subarray(0, 1_000));
    assert.equal(refused.status, 503, refused.body.toString());
  } finally {
    one.resume();
  }
  const offset = await movedOn(two, path, { from: 0, hung: begun });
  hang(one, path, { offset, bytes, send: MiB });
  await eventually("more of it is recorded", async () => (await recorded(two, path)) > offset);
  await one.kill();
  const kept = (await offsetOf(two, path)) ?? -1;
  assert.ok(kept >= offset);
  const last = await patiently(() => patchTus(two, path, kept, bytes.subarray(kept)));
  assert.equal(last.status, 204, last.body.toString());
  const read = await send(two, "GET", objectPath("taken"));
  assert.equal(sha256(read.body), sha256(bytes));
});

test("an Idempotency-Key is its worker's while that one lives, and free at once when it is dead", async (t) => {
  const workers = await Workers.open(t);
  const [one, two] = await workers.start(2);
  assert(one !== undefined && two !== undefined);
  const keyed = { headers: { "idempotency-key": "once" } };
  const first = begin(one, "PUT", objectPath("once"), {
    headers: { ...keyed.headers, "content-length": "5" },
  });
  first.answer.catch(() => {});
  first.request.write("fir");
  const again = () => send(two, "PUT", objectPath("once"), { ...keyed, body: "first" });
  await eventually("it runs", async () => (await running(two)) === 1);
  assert.equal((await again()).status, 409, "it is under way");
  one.pause();
  try {
    assert.equal((await again()).status, 409, "nobody knows");
  } finally {
    one.resume();
  }
  await one.kill();
  const answer = await again();
  assert.equal(answer.status, 201, answer.body.toString());
  const replayed = await again();
  assert.equal(replayed.headers["idempotent-replayed"], "true");
  // Another attempt that ended without effect, in a worker that lives.
  const three = await workers.startOne();
  const refused = { headers: { "idempotency-key": "next", "if-match": '"no"' }, body: "x" };
  for (const worker of [three, two, three]) {
    await eventually("it is known that the attempt before is over", async () => {
      const { status } = await send(worker, "PUT", objectPath("once"), refused);
      assert.ok(status === 412 || status === 409, `${status}`);
      return status === 412;
    });
  }
});

/** Uploads that run, in any worker. */
async function running(worker: Worker): Promise<number> {
  const { uploads } = await json(worker, "GET", "/v1/uploads");
  return (uploads as readonly unknown[]).length;
}

/** A request that says nothing more once it has brought some bytes. */
interface Hung {
  isOver: boolean;
  /** The same once more. */
  again(): Hung;
}

function hang(
  worker: Worker,
  path: string,
  given: { readonly offset: number; readonly bytes: Buffer; readonly send: number },
): Hung {
  const { offset, bytes } = given;
  const length = bytes.length - offset;
  const headers = { ...bytesFields, "upload-offset": `${offset}`, "content-length": `${length}` };
  const sent = begin(worker, "PATCH", path, { headers });
  const hung: Hung = { isOver: false, again: () => hang(worker, path, given) };
  const end = (): void => {
    hung.isOver = true;
  };
  sent.answer.then(end, end);
  sent.request.write(bytes.subarray(offset, Math.min(offset + given.send, bytes.length)));
  return hung;
}

/** The offset, once it is past `from`, where a request hangs or is about to. */
async function movedOn(
  worker: Worker,
  path: string,
  given: { readonly from: number; readonly hung: Hung },
): Promise<number> {
  let { from: offset, hung } = given;
  await eventually("some of it has come", async () => {
    // Stopped before a byte of it was read: it is for its client to try again.
    if (hung.isOver) hung = hung.again();
    offset = (await offsetWhenFree(worker, path)) ?? -1;
    return offset > given.from;
  });
  return offset;
}

/** What is recorded; disturbs nobody. */
async function recorded(worker: Worker, path: string): Promise<number> {
  const answer = await send(worker, "GET", `/v1/uploads/${path.split("/").at(-1)}`);
  const { offset }: { readonly offset?: number } = JSON.parse(answer.body.toString());
  assert.ok(offset !== undefined, answer.body.toString());
  return offset;
}
