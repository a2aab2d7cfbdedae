import { strict as assert } from "node:assert";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type TestContext, test } from "node:test";
import { calm } from "../../conformance/subject.ts";
import { type Credentials, cachedCredentials } from "./credentials.ts";
import { containerCredentials, instanceCredentials } from "./endpoints.ts";
import { environmentCredentials, fileCredentials } from "./sources.ts";

const startMs = Date.parse("2026-01-01T00:00:00Z");

function movableClock() {
  let ms = 0;
  return {
    now: () => new Date(startMs + ms),
    monotonicMs: () => ms,
    move: (by: number) => {
      ms += by;
    },
  };
}

test("one refresh runs at a time, and none while the credentials are good", async () => {
  const clock = movableClock();
  let asked = 0;
  const cached = cachedCredentials(
    async () => {
      asked += 1;
      await new Promise((resolve) => setImmediate(resolve));
      const expiresAt = new Date(clock.now().getTime() + 3_600_000);
      return { accessKeyId: `key ${asked}`, secretAccessKey: "s", expiresAt };
    },
    { clock },
  );
  const ids = await Promise.all([1, 2, 3].map(async () => (await cached.get(calm)).accessKeyId));
  assert.deepEqual(ids, ["key 1", "key 1", "key 1"]);
  clock.move(54 * 60_000);
  await cached.get(calm);
  assert.equal(asked, 1);
  clock.move(2 * 60_000);
  assert.equal((await cached.get(calm)).accessKeyId, "key 1", "still good, and renewed beside");
  await new Promise((resolve) => setImmediate(resolve));
  assert.equal((await cached.get(calm)).accessKeyId, "key 2");
});

test("a source that fails is no failure while the old credentials are good", async () => {
  const clock = movableClock();
  let fails = false;
  let asked = 0;
  const cached = cachedCredentials(
    async (): Promise<Credentials> => {
      asked += 1;
      if (fails) throw new Error("the source is down");
      return {
        accessKeyId: "k",
        secretAccessKey: "s",
        expiresAt: new Date(clock.now().getTime() + 600_000),
      };
    },
    { clock },
  );
  await cached.get(calm);
  fails = true;
  clock.move(400_000);
  for (let turn = 0; turn < 5; turn += 1) {
    await cached.get(calm);
    await new Promise((resolve) => setImmediate(resolve));
  }
  assert.equal(asked, 2, "it is not asked again at once");
  clock.move(300_000);
  await assert.rejects(cached.get(calm), /down/);
});

test("the environment and the shared file give keys, or say what is missing", async (t) => {
  const environment = {
    AWS_ACCESS_KEY_ID: "a",
    AWS_SECRET_ACCESS_KEY: "b",
    AWS_SESSION_TOKEN: "c",
  };
  assert.deepEqual(await environmentCredentials(environment)(calm), {
    accessKeyId: "a",
    secretAccessKey: "b",
    sessionToken: "c",
  });
  await assert.rejects(environmentCredentials({})(calm), /AWS_ACCESS_KEY_ID/);

  const folder = await mkdtemp(join(tmpdir(), "roma-credentials-"));
  t.after(() => rm(folder, { recursive: true }));
  const path = join(folder, "credentials");
  await writeFile(
    path,
    "# a comment\n[default]\naws_access_key_id = d1\naws_secret_access_key=d2==\n\n[other]\r\naws_access_key_id=o1\r\naws_secret_access_key=o2\r\naws_session_token=o3\r\n",
  );
  const byDefault = await fileCredentials({ path, environment: {} })(calm);
  assert.deepEqual([byDefault.accessKeyId, byDefault.secretAccessKey], ["d1", "d2=="]);
  const other = fileCredentials({
    environment: { AWS_SHARED_CREDENTIALS_FILE: path, AWS_PROFILE: "other" },
  });
  assert.equal((await other(calm)).sessionToken, "o3");
  await assert.rejects(fileCredentials({ path, profile: "none", environment: {} })(calm), /none/);
});

const answer = JSON.stringify({
  AccessKeyId: "AK",
  SecretAccessKey: "SK",
  Token: "TOKEN",
  Expiration: "2030-01-01T00:00:00Z",
});
const expected: Credentials = {
  accessKeyId: "AK",
  secretAccessKey: "SK",
  sessionToken: "TOKEN",
  expiresAt: new Date("2030-01-01T00:00:00Z"),
};

test("a container's endpoint is asked with its token, and only where it is trusted", async (t) => {
  const url = await serve(t, (request, response) => {
    const allowed = request.headers.authorization === "secret" && request.url === "/creds";
    response.writeHead(allowed ? 200 : 403).end(allowed ? answer : "SK");
  });
  const environment = { AWS_CONTAINER_CREDENTIALS_FULL_URI: `${url}/creds` };
  const token = { AWS_CONTAINER_AUTHORIZATION_TOKEN: "secret" };
  assert.deepEqual(await containerCredentials({ ...environment, ...token })(calm), expected);
  await assert.rejects(containerCredentials(environment)(calm), /status 403/);
  const far = { AWS_CONTAINER_CREDENTIALS_FULL_URI: "http://example.test/creds" };
  await assert.rejects(containerCredentials(far)(calm), /neither local nor https/);
});

test("an instance's metadata service is asked with a session token", async (t) => {
  const asked: string[] = [];
  const endpoint = await serve(t, (request, response) => {
    asked.push(`${request.method} ${request.url}`);
    const roles = "/latest/meta-data/iam/security-credentials/";
    if (request.method === "PUT") return response.end("session");
    if (request.headers["x-aws-ec2-metadata-token"] !== "session") {
      return response.writeHead(401).end();
    }
    return response.end(request.url === roles ? "the role\n" : answer);
  });
  assert.deepEqual(await instanceCredentials({ endpoint })(calm), expected);
  assert.deepEqual(asked, [
    "PUT /latest/api/token",
    "GET /latest/meta-data/iam/security-credentials/",
    "GET /latest/meta-data/iam/security-credentials/the%20role",
  ]);
});

test("an answer that holds no credentials is refused without being repeated", async (t) => {
  const endpoint = await serve(t, (_request, response) => response.end('{"SecretAccessKey":"x"}'));
  await assert.rejects(instanceCredentials({ endpoint })(calm), (error) => {
    assert.ok(error instanceof Error && !error.message.includes('"x"'));
    return true;
  });
});

async function serve(
  t: TestContext,
  handle: (request: IncomingMessage, response: ServerResponse) => unknown,
): Promise<string> {
  const server = createServer((request, response) => void handle(request, response));
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  t.after(() => {
    server.closeAllConnections();
    server.close();
  });
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
}
