/** Files of random bytes to upload, and what a server serves of them, compared by SHA-256 as they pass. */
import { strict as assert } from "node:assert";
import { createHash, randomBytes } from "node:crypto";
import { open } from "node:fs/promises";
import { get as httpGet, type IncomingMessage } from "node:http";
import { join } from "node:path";
import type { TestContext } from "node:test";
import { basicAuthorization, objectPath } from "../harness/http-client.ts";
import { temporaryFolder } from "../harness/temporary-folder.ts";

const MiB = 1024 * 1024;

export interface RandomFile {
  readonly path: string;
  readonly length: number;
  readonly sha256: string;
}

export async function randomFile(t: TestContext, length: number): Promise<RandomFile> {
  const path = join(await temporaryFolder(t), "bytes");
  const hash = createHash("sha256");
  await using file = await open(path, "wx");
  for (let left = length; left > 0; ) {
    const chunk = randomBytes(Math.min(left, 4 * MiB));
    hash.update(chunk);
    await file.write(chunk);
    left -= chunk.length;
  }
  return { path, length, sha256: hash.digest("hex") };
}

/** `GET` through /v1 answers exactly the file's bytes. */
export async function assertServed(
  server: { readonly url: string },
  key: string,
  expected: { readonly length: number; readonly sha256: string },
): Promise<void> {
  const headers = { authorization: basicAuthorization };
  const response = await new Promise<IncomingMessage>((resolve, reject) => {
    httpGet(`${server.url}${objectPath(key)}`, { headers, agent: false }, resolve).on(
      "error",
      reject,
    );
  });
  assert.equal(response.statusCode, 200, `GET ${key}`);
  const hash = createHash("sha256");
  let length = 0;
  for await (const chunk of response) {
    hash.update(chunk);
    length += chunk.length;
  }
  assert.equal(length, expected.length, `the length of ${key}`);
  assert.equal(hash.digest("hex"), expected.sha256, `the bytes of ${key}`);
}
