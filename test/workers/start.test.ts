/** Who may use a data folder beside whom, and that a worker which starts removes nothing that another writes. */
import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { test } from "node:test";
import { begin, objectPath, send } from "../harness/http-client.ts";
import { sha256 } from "./requests.ts";
import { Workers } from "./workers.ts";

test("a second server is refused beside one worker, beside two, and when the first has died", async (t) => {
  const workers = await Workers.open(t);
  const strangers = await Workers.open(t, {}, { data: workers.data });
  const alone = await Workers.open(t, {}, { data: workers.data, server: "" });
  const assertRefused = async () => {
    const refused = await Promise.all([strangers.tryOne(), alone.tryOne()]);
    assert.deepEqual(
      refused.map((one) => "code" in one && one.code),
      ["locked", "locked"],
    );
  };
  const first = await workers.startOne();
  await assertRefused();
  const second = await workers.startOne();
  await first.kill();
  await assertRefused();
  const third = await workers.startOne();
  assert.equal((await send(third, "PUT", objectPath("a"), { body: "a" })).status, 201);
  assert.equal((await send(second, "GET", objectPath("a"))).body.toString(), "a");
  await Promise.all([second.stop(), third.stop()]);
  await (await alone.startOne()).stop();
  await (await strangers.startOne()).stop();
});

test("workers that start together, or while others write, leave what is being written alone", async (t) => {
  const workers = await Workers.open(t);
  const [one, two] = await workers.start(2);
  assert(one !== undefined && two !== undefined);
  const bytes = randomBytes(3 * 1024 * 1024);
  const half = bytes.length / 2;
  const uploads = [one, two].map((worker, index) => {
    const headers = { "content-length": `${bytes.length}` };
    const sent = begin(worker, "PUT", objectPath(`slow-${index}`), { headers });
    sent.request.write(bytes.subarray(0, half));
    sent.answer.catch(() => {});
    return sent;
  });
  const three = await workers.startOne();
  await one.kill();
  const left = uploads[1];
  assert(left !== undefined);
  await assert.rejects(uploads[0]?.answer ?? Promise.resolve());
  left.request.end(bytes.subarray(half));
  assert.equal((await left.answer).status, 201);
  const read = await send(three, "GET", objectPath("slow-1"));
  assert.equal(sha256(read.body), sha256(bytes));
});
