/**
 * A kill before or after any change that a resumable upload makes in a storage of the S3 family: parts,
 * tails, their joining, the completion. What was acknowledged is there, and nothing else stays.
 */
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { get } from "../harness/http-client.ts";
import type { ServerProcess } from "../harness/server-process.ts";
import { createTus, deleteTus, offsetOf, offsetWhenFree, patchTus } from "../uploads/tus-wire.ts";
import { taggedBytes } from "./kill-loop.ts";
import { assertOnlyBlobs, killAtChange, moments, startOnEmulator } from "./kill-s3.ts";

/** With parts of 8 MiB: a part and a tail, a second tail, both joined to a part, and a last part. */
const ends = [9_000_000, 14_000_000, 20_000_000];
const length = 20_000_000;

describe("resumable uploads on S3, killed at each change there", { concurrency: 2 }, () => {
  for (const { name, fault } of moments) {
    test(`a kill ${name} each change costs nothing that was acknowledged`, async (t) => {
      const { emulator, server } = await startOnEmulator(t);
      const killedAt: string[] = [];
      for (let count = 1; ; count += 1) {
        const bytes = taggedBytes(`${name}-${count}`, length);
        const key = `upload-${count}`;
        const path = await createTus(server, { length, key });
        const what = killAtChange({ emulator, server }, { count, fault });
        const acknowledged = await appendAll(server, path, bytes);
        emulator.fault = () => undefined;
        if (what() === undefined) {
          assert.equal(acknowledged, length);
          break;
        }
        killedAt.push(what() ?? "");
        await server.exited;
        await server.start();

        const offset = await offsetWhenFree(server, path);
        assert.ok(offset !== undefined && offset >= acknowledged, `${offset}, ${acknowledged}`);
        const rest = await patchTus(server, path, offset, bytes.subarray(offset));
        assert.equal(rest.status, 204, `${rest.body} after a kill ${name} ${what()}`);
        assert.ok((await get(server, key)).body.equals(bytes), `${name} ${what()}`);
        assert.equal((await deleteTus(server, path)).status, 204);
        assert.equal(await offsetOf(server, path), undefined);
        await assertOnlyBlobs({ emulator, server });
      }
      t.diagnostic(`killed ${name}: ${killedAt.join(", ")}`);
      assert.ok(killedAt.length >= 6, killedAt.join(", "));
    });
  }
});

/** Sends one piece after the other until one is not answered; up to where they were. */
async function appendAll(server: ServerProcess, path: string, bytes: Buffer): Promise<number> {
  let offset = 0;
  for (const end of ends) {
    const answer = await patchTus(server, path, offset, bytes.subarray(offset, end)).catch(
      () => undefined,
    );
    if (answer === undefined) return offset;
    assert.equal(answer.status, 204, answer.body.toString());
    offset = end;
  }
  return offset;
}
