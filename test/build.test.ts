// What is published works away from this tree: all packages are built and packed, installed from
// their tarballs into an empty folder, and a server and a client are run from there.

import assert from "node:assert/strict";
import { type ChildProcess, spawn, spawnSync } from "node:child_process";
import { randomBytes } from "node:crypto";
import { once } from "node:events";
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { dirname, join, resolve } from "node:path";
import { createInterface } from "node:readline";
import { after, before, type TestContext, test } from "node:test";
import { requirePrerequisite } from "./prerequisites.ts";

const root = resolve(import.meta.dirname, "..");
const tsc = join(
  dirname(createRequire(import.meta.url).resolve("typescript/package.json")),
  "bin/tsc",
);
const key = { id: "root", secret: "0123456789abcdef0123456789abcdef" };

let folder: string;
let built: string;
let tarballs: string[];

before(() => {
  folder = mkdtempSync(join(tmpdir(), "roma-build-"));
  built = join(folder, "build");
  run(folder, process.execPath, [join(root, "scripts/build.ts"), "--pack", "--out", built]);
  tarballs = readdirSync(built)
    .filter((name) => name.endsWith(".tgz"))
    .map((name) => join(built, name));
});

after(() => rmSync(folder, { recursive: true, force: true }));

test("a tarball has the licence and built modules, and no test, source or path of this machine", () => {
  assert.ok(tarballs.length >= 4);
  for (const tarball of tarballs) {
    const files = run(folder, "tar", ["-tzf", tarball]).trim().split("\n");
    assert.ok(files.includes("package/LICENSE"), tarball);
    assert.ok(files.includes("package/package.json"), tarball);
    const odd = files.filter(
      (file) =>
        /\.(test|bench)\.|(?<!\.d)\.ts$|tsconfig|\/src\//.test(file) ||
        !/^package\/(dist\/|LICENSE$|README\.md$|package\.json$)/.test(file),
    );
    assert.deepEqual(odd, [], tarball);
    const text = run(folder, "tar", ["-xzOf", tarball]);
    assert.ok(!text.includes(root), `${tarball} names ${root}`);
    assert.ok(!text.includes(folder), `${tarball} names ${folder}`);
  }
});

test("a manifest asks for its siblings at exactly their version and points at built files", () => {
  const manifest = readFileSync(join(built, "cli/package.json"), "utf8");
  assert.match(manifest, /"@roma\/server": "\d+\.\d+\.\d+"/);
  assert.match(manifest, /"roma": "dist\/main\.js"/);
  assert.doesNotMatch(manifest, /devDependencies|src\//);
});

test("installed from tarballs, the server takes an upload from the command line and from HTTP", async (t) => {
  const home = installed(t);
  if (home === undefined) return;
  const url = await serve(t, home);
  const headers = { authorization: `Bearer ${key.id}.${key.secret}` };

  const bucket = await fetch(`${url}/v1/buckets/shelf`, { method: "PUT", headers });
  assert.ok(bucket.ok, `${bucket.status} ${await bucket.text()}`);

  const bytes = randomBytes(3_000_001);
  const target = `${url}/v1/objects/shelf/by-http.bin`;
  const put = await fetch(target, { method: "PUT", headers, body: bytes });
  assert.equal(put.status, 201, await put.text());

  writeFileSync(join(home, "by-cli.bin"), bytes);
  const roma = join(home, "node_modules/.bin/roma");
  const flags = ["--endpoint", url, "--key", `${key.id}.${key.secret}`];
  run(home, process.execPath, [roma, ...flags, "upload", "by-cli.bin", "shelf/by-cli.bin"]);

  for (const name of ["by-http.bin", "by-cli.bin"]) {
    const got = await fetch(`${url}/v1/objects/shelf/${name}`, { headers });
    assert.equal(got.status, 200);
    assert.ok(bytes.equals(Buffer.from(await got.arrayBuffer())), name);
  }
});

test("installed from tarballs, the files adapter is taken by its name, as parse-server takes it", (t) => {
  const home = installed(t);
  if (home === undefined) return;
  writeFileSync(
    join(home, "take.cjs"),
    [
      'const taken = require("@roma/parse-files-adapter").default;',
      'const adapter = new taken({ key: "id.secret", baseUrl: "https://cdn.example.com", signed: false });',
      'console.log(adapter.supportsStreaming, adapter.getFileLocation({}, "a b.txt"));',
      'try { new taken({ buket: "b", key: "id.secret" }); } catch (error) { console.log(error.message); }',
    ].join("\n"),
  );
  const said = run(home, process.execPath, ["take.cjs"]);
  assert.match(said, /^true https:\/\/cdn\.example\.com\/a%20b\.txt\n/);
  assert.match(said, /`buket` is not an option/);
});

test("the file controller has an entry for Nodes without import, in one file", () => {
  const bundle = join(built, "parse-file-controller/dist/node.cjs");
  const print = "console.log(Object.keys(require(process.argv[1])).sort().join())";
  const said = run(folder, process.execPath, ["-e", print, bundle]);
  assert.equal(said.trim(), "createFileController,fileOfStream,install");
  const text = readFileSync(bundle, "utf8");
  assert.doesNotMatch(text, /require\("(?!crypto"|http"|https")/);
  assert.doesNotMatch(text, /\?\.[a-z]|\?\?|#[a-z]+\(/, "nothing that Node 10 cannot read");
});

test("a consumer compiles strictly against the installed declarations", (t) => {
  const home = installed(t);
  if (home === undefined) return;
  writeFileSync(
    join(home, "consumer.ts"),
    [
      'import type { ErrorCode } from "@roma/contract";',
      'import { RomaFilesAdapter, type RomaFilesAdapterOptions } from "@roma/parse-files-adapter";',
      'import { install as installInPage } from "@roma/parse-file-controller";',
      'import { fileOfStream, install, type ParseSdk } from "@roma/parse-file-controller/node";',
      'import { isRomaError, RomaError } from "@roma/sdk";',
      'import { Roma } from "@roma/sdk/node";',
      'import { parseServerConfig, type RunningServer, startServer } from "@roma/server";',
      "export const code: ErrorCode = 'object_not_found';",
      "// @ts-expect-error: the declarations know which codes there are",
      "export const wrong: ErrorCode = 'no such code';",
      "export const starts: typeof startServer = startServer;",
      "export const stops = (server: RunningServer): Promise<void> => server.close();",
      "export const adapt = (o: RomaFilesAdapterOptions): RomaFilesAdapter => new RomaFilesAdapter(o);",
      "export const plug = (parse: ParseSdk): void => install(parse, { filesURL: 'https://a.example/parse' });",
      "export const others = [fileOfStream, installInPage];",
      "export const names = [Roma.name, isRomaError.name, RomaError.name];",
      "export const config = parseServerConfig;",
    ].join("\n"),
  );
  const compilerOptions = {
    ...{ module: "nodenext", target: "es2024", lib: ["es2024", "esnext.disposable"] },
    ...{ strict: true, exactOptionalPropertyTypes: true, noUncheckedIndexedAccess: true },
    ...{ noEmit: true, skipLibCheck: false },
    ...{ types: ["node"], typeRoots: [join(root, "node_modules/@types")] },
  };
  writeFileSync(
    join(home, "tsconfig.json"),
    JSON.stringify({ compilerOptions, files: ["consumer.ts"] }),
  );
  const { stdout, stderr, status } = spawnSync(process.execPath, [tsc, "-p", "."], {
    cwd: home,
    encoding: "utf8",
  });
  assert.notEqual(status, null, stderr);
  // The declarations of other people's packages are theirs to keep in order.
  const ours = stdout.split("\n").filter((line) => {
    return /^\S.*error TS/.test(line) && !/^node_modules\/(?!@roma\/|roma\/)/.test(line);
  });
  assert.deepEqual(ours, []);
});

let home: string | undefined;

/** A folder with all tarballs installed; undefined, with the test skipped, when npm has no registry. */
function installed(t: TestContext): string | undefined {
  if (home !== undefined) return home;
  const empty = join(folder, "installed");
  mkdirSync(empty, { recursive: true });
  writeFileSync(join(empty, "package.json"), JSON.stringify({ private: true, type: "module" }));
  const args = ["install", "--ignore-scripts", "--prefer-offline", "--no-audit", "--no-fund"];
  const { status, stderr } = spawnSync("npm", [...args, ...tarballs], {
    cwd: empty,
    encoding: "utf8",
  });
  if (status !== 0) {
    if (!requirePrerequisite(t, "registry")) return undefined;
    assert.fail(`npm install failed: ${stderr}`);
  }
  home = empty;
  return home;
}

/** Starts the installed server, and stops it when the test ends. Returns its address. */
async function serve(t: TestContext, cwd: string): Promise<string> {
  const roma = join(cwd, "node_modules/.bin/roma");
  const flags = ["--data", join(cwd, "data"), "--host", "127.0.0.1", "--port", "0"];
  const server = spawn(process.execPath, [roma, "serve", ...flags, "--ops-port", "0"], {
    cwd,
    env: { ...process.env, ROMA_ROOT_KEY: `${key.id}:${key.secret}` },
    stdio: ["ignore", "pipe", "pipe"],
  });
  let said = "";
  server.stderr.on("data", (chunk: Buffer) => {
    said += chunk.toString();
  });
  t.after(() => stop(server, () => said));
  for await (const line of createInterface({ input: server.stdout })) {
    said += `${line}\n`;
    const address = /roma listening on (http:\/\/[^\s"\\]+)/.exec(line)?.[1];
    if (address !== undefined) {
      server.stdout.resume();
      return address;
    }
  }
  return assert.fail(`the server ended before it listened:\n${said}`);
}

async function stop(server: ChildProcess, said: () => string): Promise<void> {
  if (server.exitCode === null && server.signalCode === null) {
    const exit = once(server, "exit");
    server.kill("SIGTERM");
    await exit;
  }
  assert.equal(server.exitCode, 0, `the server stopped badly:\n${said()}`);
}

/** Runs a program to its end and returns what it printed. Fails with its output when it fails. */
function run(cwd: string, command: string, args: readonly string[]): string {
  const { status, stdout, stderr, error } = spawnSync(command, args, {
    cwd,
    encoding: "utf8",
    maxBuffer: 256 * 1024 * 1024,
    timeout: 540_000,
  });
  if (error !== undefined) throw error;
  assert.equal(status, 0, `${command} ${args.join(" ")}\n${stdout}\n${stderr}`);
  return stdout;
}
