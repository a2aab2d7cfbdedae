/** `roma uploads` and `roma grant` against the real server. */
import assert from "node:assert/strict";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { PassThrough, Readable } from "node:stream";
import { text } from "node:stream/consumers";
import { after, before, describe, test } from "node:test";
import {
  parseServerConfig,
  type RunningServer,
  Secret,
  silentLog,
  startServer,
} from "@roma/server";
import { runCommandLine } from "./program.ts";

describe("roma uploads", () => {
  const [id, secret] = ["uploads-e2e-root", "uploads-e2e-secret-0123456789"];
  let folder: string;
  let server: RunningServer;

  before(async () => {
    folder = await mkdtemp(join(tmpdir(), "roma-cli-uploads-"));
    const config = parseServerConfig({ data: join(folder, "data"), port: 0, opsPort: 0 });
    const rootKey = new Secret(`${id}:${secret}`);
    server = await startServer({ ...config, rootKey }, { log: silentLog });
  });
  after(async () => {
    await server.close();
    await rm(folder, { recursive: true });
  });

  async function roma(...args: readonly string[]) {
    const [stdout, stderr] = [new PassThrough(), new PassThrough()];
    const texts = Promise.all([text(stdout), text(stderr)]);
    const { signal } = new AbortController();
    const exitCode = await runCommandLine(args, {
      stdin: Readable.from([]),
      stdout,
      stderr,
      env: { ROMA_ENDPOINT: server.url, ROMA_KEY: `${id}.${secret}` },
      cwd: folder,
      signal,
    });
    stdout.end();
    stderr.end();
    const [out, err] = await texts;
    return { exitCode, out, err };
  }

  async function begin(key: string): Promise<string> {
    const response = await fetch(`${server.url}/v1/objects/demo/${key}`, {
      method: "PUT",
      headers: {
        authorization: `Bearer ${id}.${secret}`,
        "upload-complete": "?0",
        "content-type": "text/plain",
        "roma-meta-by": "me",
      },
      body: "hello",
    });
    assert.equal(response.status, 201);
    return response.headers.get("location")?.split("/").at(-1) ?? "";
  }

  test("a grant says the template below its address, the count and the context", async () => {
    const limits = ["--template", "{uuid}{ext}", "--count", "2", "--context", '{"user":7}'];
    for (const [address, below] of [
      ["demo", ""],
      ["demo/in/", "in/"],
    ] as const) {
      const { out, err } = await roma("grant", address, "--action", "write", ...limits);
      const [, claims = ""] = out.split(".");
      assert.match(claims, /^eyJ/, err);
      const said: Record<string, unknown> = JSON.parse(Buffer.from(claims, "base64url").toString());
      const { prefix, template, count, context } = said;
      const expected = { prefix: below, template: `${below}{uuid}{ext}`, count: 2 };
      assert.deepEqual({ prefix, template, count, context }, { ...expected, context: { user: 7 } });
    }
  });

  test("lists page by page, shows and cancels", async () => {
    const ids = [await begin("one"), await begin("two"), await begin("three")].toSorted();
    const listed = await roma("uploads", "ls", "--bucket", "demo");
    assert.deepEqual(
      listed.out
        .trimEnd()
        .split("\n")
        .map((line) => line.split(/\s+/).at(-1)),
      ids,
    );
    assert.match(listed.out, / ietf {2}receiving .* 5 B of \? {2}demo\/one {2}/);
    const two = await roma("uploads", "ls", "--limit", "2", "--json");
    assert.equal(two.out.trimEnd().split("\n").length, 2);
    const [first = "", ...others] = ids;
    const shown = await roma("uploads", "show", "--", first);
    assert.match(shown.out, /offset +5\n/);
    assert.match(shown.out, /length +not told yet\n/);
    assert.match(shown.out, /meta by +me/);
    assert.equal((await roma("uploads", "cancel", "--", ...others)).exitCode, 0);
    assert.equal((await roma("uploads", "show", "--", others[0] ?? "")).exitCode, 4);
    assert.equal((await roma("uploads", "ls", "--bucket", "demo")).out.includes(first), true);
  });
});
