/**
 * A kill before or after any call that completing a direct upload makes on a storage of the S3 family: the
 * same request, sent again, makes the object; and nothing else stays.
 */
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import type { DirectUploadJson } from "@roma/contract";
import { get, send } from "../harness/http-client.ts";
import { eventually } from "../harness/process-usage.ts";
import { taggedBytes } from "./kill-loop.ts";
import { assertOnlyBlobs, killAtChange, moments, startOnEmulator } from "./kill-s3.ts";

/** Two parts. */
const length = 6_000_000;
const partBytes = 5 * 1024 * 1024;

describe("direct uploads on S3, killed at each call of a completion", { concurrency: 2 }, () => {
  for (const { name, fault } of moments) {
    test(`a kill ${name} each call leaves an upload that is completed by asking again`, async (t) => {
      const { emulator, server } = await startOnEmulator(t);
      const killedAt: string[] = [];
      for (let count = 1; ; count += 1) {
        const key = `direct-${count}`;
        const bytes = taggedBytes(`${name}-${count}`, length);
        const body = JSON.stringify({ bucket: "demo", key, length, partBytes });
        const begun = await send(server, "POST", "/v1/uploads", { body });
        assert.equal(begun.status, 201, begun.body.toString());
        const { id, transfer } = JSON.parse(begun.body.toString()) as DirectUploadJson;
        assert(transfer.kind === "parts");
        for (const [number, { method, url, headers }] of Object.entries(transfer.requests)) {
          const first = (Number(number) - 1) * partBytes;
          const part = bytes.subarray(first, first + partBytes);
          const sent = await fetch(url, { method, headers, body: part });
          assert.equal(sent.status, 200);
        }
        const complete = () => send(server, "POST", `/v1/uploads/${id}/complete`, { body: "{}" });
        const what = killAtChange({ emulator, server }, { count, fault, methods: /GET|POST|PUT/ });
        const answer = await complete().catch(() => undefined);
        emulator.fault = () => undefined;
        if (what() === undefined) {
          assert.equal(answer?.status, 201, String(answer?.body));
          break;
        }
        killedAt.push(what() ?? "");
        await server.exited;
        await server.start();
        let again = await complete();
        await eventually("nobody else completes it", async () => {
          if (again.status === 423) again = await complete();
          return again.status !== 423;
        });
        assert.equal(again.status, 201, `${again.body} after a kill ${name} ${what()}`);
        assert.ok((await get(server, key)).body.equals(bytes), `${name} ${what()}`);
        assert.equal((await send(server, "DELETE", `/v1/uploads/${id}`)).status, 204);
        await assertOnlyBlobs({ emulator, server });
      }
      t.diagnostic(`killed ${name}: ${killedAt.join(", ")}`);
      assert.ok(killedAt.length >= 4, killedAt.join(", "));
    });
  }
});
