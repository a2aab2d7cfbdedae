/**
 * Workers are replaced and killed under clients of the S3 API that sign their requests and keep their connections: a
 * replacement fails none of them, a kill only those that were under way, and what was acknowledged is whole.
 */
import assert from "node:assert/strict";
import { createHash, randomBytes } from "node:crypto";
import { readFileSync } from "node:fs";
import { Agent } from "node:http";
import { test } from "node:test";
import { signedHeaders } from "../../packages/server/src/protocols/s3/testing-signature.ts";
import { cleanUp } from "../harness/cleanup.ts";
import { assertNothingLeftOver, readUsage } from "../harness/data-folder.ts";
import { type Answer, send } from "../harness/http-client.ts";
import { eventually } from "../harness/process-usage.ts";
import { rootKey, type ServerProcess, startServer } from "../harness/server-process.ts";

const [keyId = "", secret = ""] = rootKey.split(":");
const sizes = [0, 1, 70_000, 300_000];
/** The least that a part which is not the last has. */
const partBytes = 5 * 1024 * 1024;
const slowMs = 120_000;

test("SIGHUP and a killed worker under signed puts and uploads in parts", async (t) => {
  const server = await startServer(t, {
    flags: [
      ...["--workers", "2", "--drain", "60 s", "--blob-grace", "0 ms", "--trash-keep", "0 s"],
      ...["--sweeper-interval", "200 ms", "--sweeper-age", "0 ms"],
    ],
  });
  await eventually("both workers are there", () => workersOf(server).length === 2, slowMs);
  const stored = new Map<string, string>();
  const failures: string[] = [];
  let goes = true;
  cleanUp(t, () => {
    goes = false;
  });
  const clients = [0, 1, 2, 3].map(async (index) => {
    const connection = new Connection(server);
    const oneObject = index < 2 ? putOne : putInParts;
    for (let count = 0; goes; count += 1) {
      const key = `${index}/${count}`;
      try {
        stored.set(key, await oneObject(connection, key, count));
        // What another worker may be asked for right after.
        const { body } = await connection.call("GET", key);
        assert.equal(sha256(body), stored.get(key), key);
      } catch (error) {
        failures.push(`${key}: ${String(error)}`);
        // Where nobody listens for a moment nothing is asked a thousand times.
        await new Promise((resolve) => setTimeout(resolve, 50));
      }
    }
    connection.close();
  });
  const more = async () => {
    const before = stored.size;
    await eventually("some more are stored", () => stored.size > before + 10, slowMs);
  };
  await more();
  const old = workersOf(server);
  process.kill(server.pid, "SIGHUP");
  const said = (text: string) => server.log.some(({ message }) => message.includes(text));
  await eventually("all are replaced", () => said("all workers are replaced"), slowMs);
  assert.ok(workersOf(server).every((pid) => !old.includes(pid)));
  await more();
  assert.equal(failures.join("\n"), "", "a replacement fails nobody");

  const [killed = -1, kept] = workersOf(server);
  process.kill(killed, "SIGKILL");
  await eventually(
    "another is there",
    () => workersOf(server).filter((pid) => pid !== killed && pid !== kept).length === 1,
    slowMs,
  );
  await more();
  const broken = failures.splice(0);
  const isCut = (failure: string) =>
    /ECONNRESET|EPIPE|socket hang up|aborted|cut off/.test(failure);
  assert.deepEqual(
    broken.filter((failure) => !isCut(failure)),
    [],
  );
  assert.ok(broken.length <= clients.length * 2, broken.join());

  goes = false;
  await Promise.all(clients);
  assert.equal(failures.join("\n"), "");

  const connection = new Connection(server);
  for (const [key, digest] of stored) {
    assert.equal(sha256((await connection.call("GET", key)).body), digest, key);
  }
  // Of what was under way in the killed worker, which its client may go on with.
  const { body } = await connection.call("GET", "?uploads");
  for (const [, key, id] of body.toString().matchAll(/<Key>(.*?)<\/Key><UploadId>(.*?)<\/Upl/g)) {
    assert.ok(
      broken.some((failure) => failure.startsWith(`${key}:`)),
      `${key} is not finished`,
    );
    await connection.call("DELETE", `${key}?uploadId=${id}`);
  }
  connection.close();
  await eventually(
    "nothing else is left",
    () =>
      assertNothingLeftOver(server.data).then(
        () => true,
        () => false,
      ),
    slowMs,
  );
  assert.equal(readUsage(server.data)[0]?.reservedBytes, 0);
  t.diagnostic(`${stored.size} objects, ${broken.length} requests broken by the kill`);
});

/** Answers what the object is. */
async function putOne(connection: Connection, key: string, count: number): Promise<string> {
  const body = randomBytes(sizes[count % sizes.length] ?? 0);
  await connection.call("PUT", key, body);
  return sha256(body);
}

async function putInParts(connection: Connection, key: string, count: number): Promise<string> {
  const body = randomBytes(count % 3 !== 1 ? 100_000 : partBytes + 1_000);
  const { body: created } = await connection.call("POST", `${key}?uploads`);
  const uploadId = /<UploadId>([^<]+)/.exec(created.toString())?.[1];
  let document = "";
  for (let at = 0, number = 1; at < body.length; at += partBytes, number += 1) {
    const target = `${key}?uploadId=${uploadId}&partNumber=${number}`;
    const { headers } = await connection.call("PUT", target, body.subarray(at, at + partBytes));
    document += `<Part><PartNumber>${number}</PartNumber><ETag>${headers.etag}</ETag></Part>`;
  }
  const whole = `<CompleteMultipartUpload>${document}</CompleteMultipartUpload>`;
  await connection.call("POST", `${key}?uploadId=${uploadId}`, whole);
  return sha256(body);
}

/** One that is kept from request to request. */
class Connection {
  readonly #server: ServerProcess;
  readonly #agent = new Agent({ keepAlive: true, maxSockets: 1 });

  constructor(server: ServerProcess) {
    this.#server = server;
  }

  /** Rejects whatever is no success. */
  async call(method: string, target: string, body: Buffer | string = ""): Promise<Answer> {
    const path = `/s3/demo/${target}`.replace("/?", "?");
    const headers = { host: new URL(this.#server.url).host };
    const unsigned = { method, target: path, headers, body };
    const answer = await send(this.#server, method, path, {
      headers: signedHeaders(unsigned, { keyId, secret }, new Date()),
      ...{ body, authorization: null, agent: this.#agent },
    });
    assert.ok(answer.status < 300, `${method} ${target}: ${answer.status} ${answer.body}`);
    return answer;
  }

  close(): void {
    this.#agent.destroy();
  }
}

function workersOf({ pid }: ServerProcess): readonly number[] {
  const children = readFileSync(`/proc/${pid}/task/${pid}/children`, "latin1").trim();
  return children === "" ? [] : children.split(" ").map(Number);
}

function sha256(bytes: Uint8Array): string {
  return createHash("sha256").update(bytes).digest("hex");
}
