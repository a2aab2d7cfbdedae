/** The log of a real server: nothing that happens to it stops or slows the service, and nothing secret is in it. */
import assert from "node:assert/strict";
import { execFileSync, spawn } from "node:child_process";
import { closeSync, constants, existsSync, openSync, readFileSync, writeFileSync } from "node:fs";
import { rm } from "node:fs/promises";
import { join } from "node:path";
import { type TestContext, test } from "node:test";
import { cleanUp } from "../harness/cleanup.ts";
import { get, put, send } from "../harness/http-client.ts";
import { eventually, readMetric, residentBytes } from "../harness/process-usage.ts";
import { mainFile, rootKey, startServer, temporaryFolder } from "../harness/server-process.ts";
import { mountTmpfs } from "../harness/tmpfs.ts";
import { requirePrerequisite } from "../prerequisites.ts";

const MiB = 1024 * 1024;

interface Line {
  readonly level: number;
  readonly msg: string;
  readonly url?: string;
  readonly opsUrl?: string;
  readonly dropped?: Readonly<Record<string, number>>;
}

/** A server whose log goes through a pipe to a process that can be stopped. */
async function startPiped(t: TestContext) {
  const folder = await temporaryFolder(t);
  const [fifo, output] = [join(folder, "pipe"), join(folder, "out")];
  execFileSync("mkfifo", [fifo]);
  writeFileSync(output, "");
  const sink = openSync(output, "a");
  const reader = spawn("cat", [fifo], { stdio: ["ignore", sink, "inherit"] });
  closeSync(sink);
  const pipe = openSync(fifo, constants.O_WRONLY);
  const flags = ["--port", "0", "--ops-port", "0", "--log-format", "json", "--log-level", "debug"];
  const child = spawn(
    process.execPath,
    [mainFile, "serve", "--data", join(folder, "data"), ...flags, "--log-buffer-bytes", "256KiB"],
    { stdio: ["ignore", pipe, "inherit"], env: { ...process.env, ROMA_ROOT_KEY: rootKey } },
  );
  closeSync(pipe);
  const ended = new Promise<number | NodeJS.Signals | null>((done) => {
    child.once("close", (code, signal) => done(code ?? signal));
  });
  cleanUp(t, async () => {
    child.kill("SIGKILL");
    reader.kill("SIGKILL");
    await ended;
  });
  const lines = (): readonly Line[] =>
    readFileSync(output, "utf8")
      .split("\n")
      .slice(0, -1)
      .map((line) => JSON.parse(line));
  await eventually("it listens", () => lines().some(({ url }) => url !== undefined), 180_000);
  const { url = "", opsUrl = "" } = lines().find((line) => line.url !== undefined) ?? {};
  return { url, opsUrl, child, reader, lines, ended };
}

test("the reader of the log's pipe stands still: requests go on, memory is bounded, lines are dropped and counted, and the end is on time", async (t) => {
  const server = await startPiped(t);
  const pid = server.child.pid ?? 0;
  const ask = async (count: number): Promise<number[]> => {
    const times: number[] = [];
    for (let index = 0; index < count; index += 1) {
      const began = performance.now();
      await Promise.all(
        Array.from({ length: 20 }, async () =>
          assert.equal((await get(server, "none")).status, 404),
        ),
      );
      times.push(performance.now() - began);
    }
    return times.sort((a, b) => a - b);
  };
  await ask(20);
  server.reader.kill("SIGSTOP");
  const times = await ask(30);
  await eventually("lines are dropped", async () => {
    await ask(5);
    return (await readMetric(server.opsUrl, "log_lines_dropped_total")) > 100;
  });
  const worker = Number(readFileSync(`/proc/${pid}/task/${pid}/children`, "utf8"));
  const before = await residentBytes(worker);
  const later = await ask(30);
  const grown = (await residentBytes(worker)) - before;
  const said = `${times.at(-1)?.toFixed()} and ${later.at(-1)?.toFixed()} ms, ${grown} bytes`;
  t.diagnostic(`the slowest round of 20 requests took ${said} more`);
  // Who waited for the reader would wait in every round, and for ever; a busy machine may hold up one of them.
  for (const rounds of [times, later]) {
    assert.ok((rounds[Math.floor(rounds.length / 2)] ?? 0) < 2_000, said);
    assert.ok((rounds.at(-1) ?? 0) < 60_000, said);
  }
  assert.ok(grown < 48 * MiB, said);
  assert.equal((await put(server, "kept", Buffer.from("x"))).status, 201);

  server.reader.kill("SIGCONT");
  await eventually("a line says what was lost", async () => {
    await ask(1);
    return server.lines().some(({ dropped }) => (dropped?.slow ?? 0) > 0);
  });

  server.reader.kill("SIGSTOP");
  await eventually("it is full again", async () => {
    const dropped = await readMetric(server.opsUrl, "log_lines_dropped_total");
    await ask(10);
    return (await readMetric(server.opsUrl, "log_lines_dropped_total")) > dropped;
  });
  // The worker that ends makes the pipe blocking again for the supervisor, which shares it.
  const began = performance.now();
  server.child.kill("SIGTERM");
  await server.ended;
  // The reader goes on at no time: who waited for it would never end.
  const ms = performance.now() - began;
  assert.ok(ms < 60_000, `it ended after ${ms} ms`);
});

test("a log whose pipe was closed stops nothing", async (t) => {
  const server = await startPiped(t);
  server.reader.kill("SIGKILL");
  await eventually("the pipe is closed", async () => {
    assert.equal((await get(server, "none")).status, 404);
    return (await readMetric(server.opsUrl, "log_lines_dropped_total")) > 10;
  });
  assert.equal((await put(server, "kept", Buffer.from("x"))).status, 201);
  server.child.kill("SIGTERM");
  assert.equal(await server.ended, 0);
});

test("the log's file is on a full disk: lines are dropped, the service goes on, and lines come back with the room", async (t) => {
  if (!requirePrerequisite(t, "tmpfs")) return;
  const logs = join(await temporaryFolder(t), "logs");
  await mountTmpfs(t, logs, { bytes: MiB, inodes: 10 });
  const filler = join(logs, "filler");
  assert.throws(() => writeFileSync(filler, Buffer.alloc(2 * MiB)), /ENOSPC/);
  const file = join(logs, "roma.log");
  const server = await startServer(t, { flags: ["--log-file", file, "--log-level", "debug"] });
  assert.equal((await put(server, "a", Buffer.from("x"))).status, 201);
  await eventually("lines are dropped", async () => {
    await get(server, "a");
    return (await readMetric(server.opsUrl, "log_lines_dropped_total")) > 0;
  });
  await eventually("it is said where it can be", () =>
    server.log.some(({ message }) => /the log cannot be written to file/.test(message)),
  );
  await rm(filler);
  await eventually("a line says what was lost", async () => {
    await get(server, "a");
    return existsSync(file) && /log lines were dropped/.test(readFileSync(file, "utf8"));
  });
});

test("each line of a request has its request id and trace id, and no line has a secret", async (t) => {
  const flags = ["--log-level", "debug", "--log-requests", "info"];
  const server = await startServer(t, { flags });
  const secret = "a-secret-that-nobody-may-read";
  const traceId = "4bf92f3577b34da6a3ce929d0e0e4736";
  const headers = {
    "roma-request-id": "request-of-the-test",
    traceparent: `00-${traceId}-00f067aa0ba902b7-01`,
    cookie: `session=${secret}`,
  };
  const ask = (path: string, authorization: string | null) =>
    send(server, "GET", path, { headers, authorization });
  const at = "/v1/objects/demo/none";
  await ask(at, `Basic ${Buffer.from(`x:${secret}`).toString("base64")}`);
  await ask(at, `Bearer test-root.${secret}`);
  await ask(`${at}?grant=eyJhbGciOiJIUzI1NiJ9.${secret}.${secret}`, null);
  await ask(`/s3/demo/none?X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Signature=${secret}`, null);
  const settings = { driver: "s3", vendor: "minio", bucket: "b", region: "r" };
  const body = JSON.stringify({
    ...{ ...settings, endpoint: `http://user:${secret}@127.0.0.1:1` },
    ...{ accessKeyId: "k", secretAccessKey: secret },
  });
  assert.notEqual((await send(server, "PUT", "/v1/storages/far", { body })).status, 201);
  const answered = () => server.log.filter(({ message }) => message === "request answered");
  await eventually("the requests are in the log", () => answered().length >= 5);
  const all = server.log.map(({ text }) => text).join("\n");
  assert.ok(!all.includes(secret), all);
  assert.ok(!all.includes(Buffer.from(`x:${secret}`).toString("base64")));
  const ofRequests = server.log.filter(({ text }) => text.includes("request-of-the-test"));
  assert.ok(ofRequests.length >= 8, "a refusal and an answer each");
  for (const { text } of ofRequests) assert.equal(JSON.parse(text).traceId, traceId, text);
  const [first] = answered();
  const { path, status, method } = JSON.parse(first?.text ?? "{}");
  assert.deepEqual({ path, status, method }, { path: at, status: 401, method: "GET" });
});
