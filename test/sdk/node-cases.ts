/** The SDK for Node against a real server, on whatever storage: resets, kills on both sides, every source. */
import assert from "node:assert/strict";
import { createReadStream } from "node:fs";
import { readdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import { buffer } from "node:stream/consumers";
import { describe, type TestContext, test } from "node:test";
import {
  Administration,
  isRomaError,
  type RetryPolicy,
  Roma,
  type UploadNotice,
} from "@roma/sdk/node";
import { cleanUp } from "../harness/cleanup.ts";
import { startCuttingProxy } from "../harness/cutting-proxy.ts";
import { eventually } from "../harness/process-usage.ts";
import { rootKey } from "../harness/server-process.ts";
import { temporaryFolder } from "../harness/temporary-folder.ts";
import type { OpenBacking } from "../uploads/backing.ts";
import { cutsBelow } from "../uploads/random-cuts.ts";
import { assertServed, randomFile } from "../uploads/stored-bytes.ts";
import { uploadInProcess } from "./processes.ts";

const MB = 1_000_000;
const token = rootKey.replace(":", ".");
const bucket = "demo";

/** `direct`: bytes go straight to the storage. */
export function describeNodeSdk(
  name: string,
  open: OpenBacking,
  { direct }: { readonly direct: boolean },
): void {
  describe(`the SDK for Node, ${name}`, () => {
    const start = async (
      t: TestContext,
      { cuts = 0, length = 30 * MB + 1, retry = {} as Partial<RetryPolicy> } = {},
    ) => {
      const backing = await open(t);
      const file = await randomFile(t, length);
      const at = cuts === 0 ? [] : cutsBelow(t, { count: cuts, length });
      const proxy = await startCuttingProxy(t, { upstream: () => backing.server, cuts: at });
      const roma = new Roma({ endpoint: proxy.url, token, retry });
      cleanUp(t, () => roma.close());
      const notices: UploadNotice["code"][] = [];
      const onNotice = ({ code }: UploadNotice) => notices.push(code);
      return {
        ...{ backing, file, proxy, roma, notices, onNotice },
        assertStored: async (key: string) => {
          await assertServed(backing.server, key, file);
          await eventually("the storage holds nothing unfinished", async () => {
            return (await backing.pending()).length === 0;
          });
          for await (const { uploads } of new Administration(roma).uploads.list()) {
            assert.deepEqual(
              uploads.filter(({ phase }) => phase !== "complete"),
              [],
            );
          }
        },
      };
    };

    test("a path, a stream and a stream of known length arrive as they are", async (t) => {
      const { file, proxy, roma, assertStored, notices, onNotice } = await start(t);
      const created = await roma.upload(file.path, { bucket, key: "path", onNotice }).done();
      assert.equal(created.created, true);
      assert.equal(created.url, `${proxy.url}/v1/objects/demo/path`);
      await assertStored("path");
      const sent = proxy.bytes;
      if (direct) assert.ok(sent < MB, `${sent} bytes came to the server`);
      else assert.ok(sent > file.length, `${sent} bytes came to the server`);
      const stream = () => createReadStream(file.path);
      await roma.upload(stream(), { bucket, key: "stream", onNotice }).done();
      await assertStored("stream");
      const { length } = file;
      await roma.upload(stream(), { bucket, key: "known", length, onNotice }).done();
      await assertStored("known");
      const metadata = { name: "Grüße 文件" };
      await roma.upload(Buffer.from("small"), { bucket, key: "s", metadata }).done();
      assert.deepEqual((await roma.stat({ bucket, key: "s" })).metadata, metadata);
      assert.deepEqual(notices, []);
    });

    test("bytes that the bucket has are proven, and not sent", async (t) => {
      const { file, proxy, roma, assertStored, notices, onNotice } = await start(t);
      // Known by what was declared of it.
      const checksums = { sha256: file.sha256 };
      await roma.upload(file.path, { bucket, key: "first", checksums }).done();
      const before = proxy.bytes;
      await roma.upload(file.path, { bucket, key: "again", instant: true, onNotice }).done();
      assert.deepEqual(notices, ["instant"]);
      assert.ok(proxy.bytes - before < MB, `${proxy.bytes - before} bytes came to the server`);
      await assertStored("again");
    });

    test("five resets at random bytes, of a path and of a stream", async (t) => {
      const { file, proxy, roma, assertStored } = await start(t, { cuts: direct ? 0 : 5 });
      const as = direct ? ({ via: "server" } as const) : {};
      await roma.upload(file.path, { bucket, key: "path", ...as }).done();
      await roma.upload(createReadStream(file.path), { bucket, key: "stream" }).done();
      if (!direct) assert.equal(proxy.cutsDone, 5);
      await assertStored("path");
      await assertStored("stream");
    });

    test("killed at 40 %, another process sends only the rest", async (t) => {
      const { backing, file, proxy, assertStored } = await start(t, { length: 60 * MB });
      const resume = await temporaryFolder(t);
      const task = { endpoint: proxy.url, token, path: file.path, bucket, key: "killed", resume };
      await uploadInProcess(t, { ...task, as: "path", killAtBytes: 0.4 * file.length });
      await eventually("nothing that it sent is on its way", () => proxy.isIdle, 60_000);
      const before = proxy.bytes;
      const uploaded = await uploadInProcess(t, { ...task, as: "path" });
      assert.deepEqual(uploaded?.notices, ["resumed"]);
      if (!direct) {
        // What was under way when it was killed is sent again: parts of 8 MiB, six at most.
        assert.ok(proxy.bytes - before < file.length, `${proxy.bytes - before} bytes again`);
      }
      await assertStored("killed");
      const records = (await readdir(resume)).filter((name) => name.endsWith(".json"));
      assert.deepEqual(records, [], "what is done is forgotten");
      // And the server forgot nothing that it should not.
      assert.equal(backing.server.log.filter(({ level }) => level >= 50).length, 0);
    });

    test("the server is killed in the middle and comes back", async (t) => {
      // Enough for a server that takes a minute to come back.
      const retry = { attemptsMax: 30, delayMsMax: 3_000 };
      const { backing, file, roma, assertStored } = await start(t, { retry });
      let killed: Promise<void> | undefined;
      const upload = roma.upload(file.path, {
        ...{ bucket, key: "a" },
        onProgress: ({ bytes }) => {
          if (bytes < 0.4 * file.length || killed !== undefined) return;
          killed = backing.server.kill().then(() => backing.server.start());
        },
      });
      await upload.done();
      await killed;
      assert.ok(killed !== undefined);
      await assertStored("a");
    });

    test("downloads: to a file in ranges, resumed after an end in the middle, and as a stream", async (t) => {
      const { file, proxy, roma } = await start(t);
      await roma.upload(file.path, { bucket, key: "a" }).done();
      const folder = await temporaryFolder(t);
      const path = join(folder, "below", "a");
      const controller = new AbortController();
      const broken = roma.downloadFile({ bucket, key: "a" }, path, {
        ...{ resume: true, signal: controller.signal, parallel: 2 },
        onProgress: ({ bytes }) => {
          if (bytes > 0.6 * file.length) controller.abort();
        },
      });
      await assert.rejects(broken, (error) => isRomaError(error, "aborted"));
      const before = await readdir(join(folder, "below"));
      assert.equal(before.length, 2, `what came is kept: ${before}`);
      let again = 0;
      const done = await roma.downloadFile({ bucket, key: "a" }, path, {
        ...{ resume: true },
        onProgress: ({ bytes }) => {
          again = bytes;
        },
      });
      assert.equal(done.verified, true);
      assert.ok(again > 0 && again < file.length, `${again} bytes came again`);
      const expected = await readFile(file.path);
      assert.ok((await readFile(path)).equals(expected));
      assert.deepEqual(await readdir(join(folder, "below")), ["a"]);
      const download = await roma.download({ bucket, key: "a" });
      assert.ok((await buffer(download.body)).equals(expected));
      const ranged = await roma.download(
        { bucket, key: "a" },
        { range: { first: 9 * MB, last: 20 * MB } },
      );
      assert.ok((await buffer(ranged.body)).equals(expected.subarray(9 * MB, 20 * MB + 1)));
      assert.ok(proxy.url !== "");
    });
  });
}
