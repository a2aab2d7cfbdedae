// The emulator that the driver's tests run against: it takes the vendors' own SDKs and our driver alike,
// and refuses both where their signature was changed on the way.

import { strict as assert } from "node:assert";
import type { IncomingHttpHeaders } from "node:http";
import { test } from "node:test";
import { MiB } from "@roma/contract";
import { Emulator } from "../../packages/server/src/storage/s3/emulator/testing.ts";
import { awsCalls } from "./aws.ts";
import type { StorageCalls, Target } from "./calls.ts";
import { Rewriter } from "./loopback.ts";
import { obsCalls } from "./obs.ts";
import { ossCalls } from "./oss.ts";
import { ourCalls, type Speech } from "./ours.ts";

const key = "dir/é a+b%&=.txt";
const other = "dir/parts";
const text = "What is stored here.\n";
const firstPart = "0123456789abcdef".repeat((5 * MiB) / 16);

type Open = (target: Target) => StorageCalls;

const vendors: readonly (readonly [title: string, speech: Speech, open: Open])[] = [
  [
    "AWS's SDK",
    { vendor: "aws-s3", signature: "s3" },
    (target) => awsCalls(target, { levelled: false }),
  ],
  ["Alibaba OSS's SDK", { vendor: "alibaba-oss", signature: "native" }, ossCalls],
  ["Huawei OBS's SDK", { vendor: "huawei-obs", signature: "native" }, obsCalls],
];

for (const [title, speech, open] of vendors) {
  const clients: readonly (readonly [string, Open])[] = [
    [title, open],
    [`our driver in the manner of ${title}`, (target) => ourCalls(speech, target)],
  ];
  for (const [client, openClient] of clients) {
    test(`the emulator takes a round trip of ${client}`, async () => {
      await using emulator = await new Emulator(speech).listen();
      await using calls = openClient(targetOf(emulator));
      await roundTrip(calls, emulator);
    });

    test(`the emulator refuses each changed signature of ${client}`, async () => {
      await using emulator = await new Emulator(speech).listen();
      await using between = await new Rewriter(emulator.endpoint, changeSignature).listen();
      await using calls = openClient({ ...targetOf(emulator), endpoint: between.endpoint });
      emulator.objects.set(key, {
        bytes: Buffer.from(text),
        etag: "0",
        crc: "0",
        modifiedAt: new Date(),
        contentType: "text/plain",
      });
      await assert.rejects(calls.put(other, text, "text/plain"));
      await assert.rejects(calls.get(key, 0, 3));
      await assert.rejects(calls.create(other, "text/plain"));
      await assert.rejects(calls.delete(key));
      assert.deepEqual([...emulator.objects.keys()], [key]);
      assert.equal(emulator.uploads.size, 0);
      assert.deepEqual(between.answers, Array(4).fill("403 SignatureDoesNotMatch"));
    });
  }
}

async function roundTrip(calls: StorageCalls, { objects, uploads }: Emulator): Promise<void> {
  await calls.put(key, text, "text/plain");
  assert.equal(objects.get(key)?.bytes.toString(), text);
  assert.equal(await calls.get(key, 5, 10), text.slice(5, 11));
  await calls.head(key);
  await calls.list("dir/é");

  const upload = await calls.create(other, "text/plain");
  const parts = [
    await calls.writePart(other, upload, 1, firstPart),
    await calls.writePart(other, upload, 2, text),
  ];
  await calls.complete(other, upload, parts);
  assert.equal(objects.get(other)?.bytes.toString(), firstPart + text);

  const left = await calls.create(key, "text/plain");
  await calls.writePart(key, left, 1, text);
  assert.equal(uploads.size, 1);
  await calls.abort(key, left);
  assert.equal(uploads.size, 0);

  await calls.presignedGet(key, 60, "attachment");
  await calls.presignedPut(key, 60, { text: "put by address", contentType: "text/plain" });
  assert.equal(objects.get(key)?.bytes.toString(), "put by address");
  for (const name of [key, other]) await calls.delete(name);
  assert.equal(objects.size, 0);
}

function targetOf({ endpoint, bucket, region, key: keys }: Emulator): Target {
  return { endpoint, bucket, region, ...keys };
}

/** Another last digit, in the same alphabet, so that nothing but the proof is wrong. */
function changeSignature(headers: IncomingHttpHeaders): IncomingHttpHeaders {
  const { authorization = "" } = headers;
  const changed = authorization.replace(/(.)(=*)$/, (_all, digit: string, padding: string) => {
    return (digit === "1" ? "2" : "1") + padding;
  });
  return { ...headers, authorization: changed };
}
