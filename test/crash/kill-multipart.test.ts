/** A kill at any step of an upload in parts leaves parts that count whole, and the object whole or absent. */
import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { describe, test } from "node:test";
import { signedHeaders } from "../../packages/server/src/protocols/s3/testing-signature.ts";
import { type Answer, send } from "../harness/http-client.ts";
import { eventually } from "../harness/process-usage.ts";
import { rootKey, type ServerProcess } from "../harness/server-process.ts";
import { requirePrerequisite } from "../prerequisites.ts";
import { killAtEachStep, type Round, taggedBytes } from "./kill-loop.ts";
import { assertOnlyObjects, atOnce, scenarioDefaults } from "./kill-uploads.ts";

const [keyId = "", secret = ""] = rootKey.split(":");
/** The least that a part before the last may have. */
const partBytes = 5 * 1024 * 1024;

/** Sends a request of S3 to the bucket `demo`. */
async function s3(
  server: ServerProcess,
  method: string,
  target: string,
  body: Buffer | string = "",
): Promise<Answer> {
  const unsigned = {
    method,
    target: `/s3/demo/${target}`,
    headers: { host: new URL(server.url).host },
    body,
  };
  const headers = signedHeaders(unsigned, { keyId, secret }, new Date());
  return await send(server, method, unsigned.target, { headers, body, authorization: null });
}

class MultipartUpload {
  readonly #server: ServerProcess;
  readonly #target: string;
  readonly #etags: string[] = [];

  constructor(server: ServerProcess, key: string, uploadId: string) {
    this.#server = server;
    this.#target = `${key}?uploadId=${uploadId}`;
  }

  static async create(server: ServerProcess, key: string): Promise<MultipartUpload> {
    const { body } = await s3(server, "POST", `${key}?uploads`);
    const [, uploadId] = /<UploadId>([^<]+)/.exec(body.toString()) ?? assert.fail(`${body}`);
    return new MultipartUpload(server, key, uploadId ?? "");
  }

  async put(partNumber: number, body: Buffer): Promise<void> {
    const answer = await s3(this.#server, "PUT", `${this.#target}&partNumber=${partNumber}`, body);
    assert.equal(answer.status, 200, answer.body.toString());
    this.#etags[partNumber - 1] = answer.headers.etag ?? "";
  }

  async complete(): Promise<Answer> {
    const parts = this.#etags.map(
      (etag, index) => `<Part><PartNumber>${index + 1}</PartNumber><ETag>${etag}</ETag></Part>`,
    );
    const document = `<CompleteMultipartUpload>${parts.join("")}</CompleteMultipartUpload>`;
    let answer = await s3(this.#server, "POST", this.#target, document);
    // The lease of the process that was killed runs out.
    await eventually("nobody completes it", async () => {
      if (answer.status === 409) answer = await s3(this.#server, "POST", this.#target, document);
      return answer.status !== 409;
    });
    return answer;
  }

  async listed(): Promise<readonly string[]> {
    const { status, body } = await s3(this.#server, "GET", this.#target);
    assert.equal(status, 200, body.toString());
    return [...body.toString().matchAll(/<ETag>([^<]+)/g)].map(([, etag = ""]) => etag);
  }
}

const md5 = (bytes: Buffer): string => createHash("md5").update(bytes).digest("hex");

describe("uploads in parts, killed at each step", atOnce, () => {
  test("a completion that was cut off is completed by the same request", async (t) => {
    if (!requirePrerequisite(t, "strace")) return;
    let upload: MultipartUpload | undefined;
    let after: Record<string, Buffer> = {};
    const complete = (round: Round) =>
      round.change(after, () => upload?.complete() ?? assert.fail("the round has an upload"));
    await killAtEachStep(t, {
      name: "complete",
      ...scenarioDefaults,
      killsMin: 5,
      prepare: async (round) => {
        const key = round.key("parts");
        const bodies = [taggedBytes(`${key}-1`, partBytes), taggedBytes(`${key}-2`, 70_000)];
        upload = await MultipartUpload.create(round.server, key);
        for (const [index, body] of bodies.entries()) await upload.put(index + 1, body);
        after = { [key]: Buffer.concat(bodies) };
      },
      run: complete,
      recover: async (round) => {
        await complete(round);
        await assertOnlyObjects(round.server);
      },
    });
  });

  test("a part is listed once it was acknowledged, and never in half", async (t) => {
    if (!requirePrerequisite(t, "strace")) return;
    let upload: MultipartUpload | undefined;
    let old: Buffer = Buffer.alloc(0);
    let next: Buffer = old;
    let key = "";
    await killAtEachStep(t, {
      name: "put part",
      ...scenarioDefaults,
      killsMin: 6,
      prepare: async (round) => {
        key = round.key("replaced");
        [old, next] = [taggedBytes(`${key}-old`, 90_000), taggedBytes(`${key}-new`, 80_000)];
        upload = await MultipartUpload.create(round.server, key);
        await upload.put(1, old);
      },
      run: async () => {
        await upload?.put(1, next);
      },
      recover: async (round) => {
        const current = upload ?? assert.fail();
        const [listed = "", ...others] = await current.listed();
        assert.deepEqual(others, []);
        const isOne = [old, next].some((bytes) => listed.includes(md5(bytes)));
        assert.ok(isOne, `${listed} is the old part or the new one`);
        await current.put(1, next);
        await round.change({ [key]: next }, () => current.complete());
        await assertOnlyObjects(round.server);
      },
    });
  });
});
