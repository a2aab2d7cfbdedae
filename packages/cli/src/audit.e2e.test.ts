/** `roma audit` against the real server. */
import assert from "node:assert/strict";
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { PassThrough, Readable } from "node:stream";
import { text } from "node:stream/consumers";
import { test } from "node:test";
import { parseServerConfig, Secret, silentLog, startServer } from "@roma/server";
import { runCommandLine } from "./program.ts";

test("roma audit tells who did what, exports it, and verifies the export without the server", async (t) => {
  const [id, secret] = ["audit-e2e-root", "audit-e2e-secret-0123456789"];
  const folder = await mkdtemp(join(tmpdir(), "roma-cli-audit-"));
  t.after(() => rm(folder, { recursive: true }));
  const config = parseServerConfig({ data: join(folder, "data"), port: 0, opsPort: 0 });
  const rootKey = new Secret(`${id}:${secret}`);
  const server = await startServer({ ...config, rootKey }, { log: silentLog });
  t.after(() => server.close());
  interface RunOptions {
    readonly signal?: AbortSignal;
    /** Hears all that was printed so far. */
    readonly onOut?: (out: string) => void;
  }
  const roma = async (args: readonly string[], { signal, onOut }: RunOptions = {}) => {
    const [stdout, stderr] = [new PassThrough(), new PassThrough()];
    const printed = async () => {
      let out = "";
      for await (const more of stdout.setEncoding("utf8")) {
        out += more;
        onOut?.(out);
      }
      return out;
    };
    const texts = Promise.all([printed(), text(stderr)]);
    const exitCode = await runCommandLine(args, {
      stdin: Readable.from([]),
      ...{ stdout, stderr, cwd: folder, signal: signal ?? new AbortController().signal },
      env: { ROMA_ENDPOINT: server.url, ROMA_KEY: `${id}.${secret}` },
    });
    stdout.end();
    stderr.end();
    const [out, err] = await texts;
    return { exitCode, out, err };
  };
  await writeFile(join(folder, "photo"), "bytes");
  assert.equal((await roma(["upload", "photo", "demo/photo"])).exitCode, 0);
  assert.equal((await roma(["rm", "demo/photo"])).exitCode, 0);
  const listed = await roma(["audit", "--bucket", "demo", "--object-key", "photo"]);
  assert.equal(listed.exitCode, 0, listed.err);
  const lines = listed.out.trimEnd().split("\n");
  assert.equal(lines.length, 2);
  assert.match(
    lines[0] ?? "",
    /^\d{4}-\S+Z {2}object\.created {2}key audit-e2e-root {2}127\.0\.0\.1 {2}demo\/photo$/,
  );
  assert.match(lines[1] ?? "", / {2}object\.deleted {2}key audit-e2e-root {2}/);
  assert.equal((await roma(["audit", "--since", "0s"])).out, "");
  assert.equal((await roma(["audit", "--since", "nonsense"])).exitCode, 2);

  const exported = await roma(["audit", "--json"]);
  await writeFile(join(folder, "log.ndjson"), exported.out);
  const verified = await roma(["audit", "verify"]);
  const [, head = ""] = /head (\d+:[0-9a-f]{64})/.exec(verified.out) ?? [];
  assert.match(verified.out, /^whole: \d+ records, head \d+:/, verified.err);
  const fromFile = await roma(["audit", "verify", "--file", "log.ndjson", "--expect", head]);
  assert.deepEqual([fromFile.exitCode, fromFile.out], [0, verified.out], fromFile.err);
  const kept = await roma(["audit", "verify", "--expect", head]);
  assert.equal(kept.exitCode, 0, kept.out);

  const records = (await readFile(join(folder, "log.ndjson"), "utf8")).trimEnd().split("\n");
  await writeFile(join(folder, "cut.ndjson"), records.toSpliced(2, 1).join("\n"));
  const cut = await roma(["audit", "verify", "--file", "cut.ndjson"]);
  assert.equal(cut.exitCode, 1);
  assert.match(cut.out, /^line 3: record 4 follows on 2: [\s\S]*NOT whole: /);
  await writeFile(join(folder, "short.ndjson"), records.slice(0, -1).join("\n"));
  assert.equal((await roma(["audit", "verify", "--file", "short.ndjson"])).exitCode, 0);
  const short = await roma(["audit", "verify", "--file", "short.ndjson", "--expect", head]);
  assert.equal(short.exitCode, 1, short.out);
  const foreign = await roma(["audit", "verify", "--expect", `1:${"0".repeat(64)}`]);
  assert.equal(foreign.exitCode, 1, foreign.out);
  assert.equal((await roma(["audit", "verify", "--file", "none"])).exitCode, 1);
  assert.equal((await roma(["audit", "verify", "--expect", "7"])).exitCode, 2);

  const controller = new AbortController();
  const shown = { earlier: Promise.withResolvers<void>(), later: Promise.withResolvers<void>() };
  assert.equal((await roma(["bucket", "create", "earlier"])).exitCode, 0);
  const following = roma(["audit", "--follow", "--action", "bucket.created"], {
    signal: controller.signal,
    onOut(out) {
      if (out.endsWith("  earlier\n")) shown.earlier.resolve();
      if (out.endsWith("  later\n")) shown.later.resolve();
    },
  });
  await Promise.race([shown.earlier.promise, following]);
  assert.equal((await roma(["bucket", "create", "later"])).exitCode, 0);
  await Promise.race([shown.later.promise, following]);
  controller.abort();
  const followed = await following;
  assert.equal(followed.exitCode, 130);
  assert.match(followed.out, /bucket\.created .* {2}later\n$/);
});
