// What the README says is pasted from it and does what it says, with the address and the key filled in.
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { randomBytes } from "node:crypto";
import { readFile, writeFile } from "node:fs/promises";
import { join, resolve } from "node:path";
import { type TestContext, test } from "node:test";
import { mintGrant } from "@roma/sdk/server";
import { eventually } from "../harness/process-usage.ts";
import { requirePrerequisite } from "../prerequisites.ts";
import { chooseFile, untilPrinted } from "./browser.ts";
import { npmStart, type Started } from "./npm-start.ts";
import { createProject, runModule, servePasted } from "./project.ts";
import { fillIn, findSnippet, readSnippets } from "./snippets.ts";

const root = resolve(import.meta.dirname, "../..");
const snippets = await readSnippets("README.md");
const endpoint = "http://127.0.0.1:8420";
const photo = randomBytes(20_000_000);

function ask(
  { url, id, secret }: Started,
  key: string,
  method: "GET" | "HEAD" = "GET",
): Promise<Response> {
  const headers = { authorization: `Bearer ${id}.${secret}` };
  return fetch(`${url}/v1/objects/demo/${key}`, { method, headers });
}

async function stored(server: Started, key: string): Promise<Buffer> {
  const answer = await ask(server, key);
  assert.equal(answer.status, 200, key);
  return Buffer.from(await answer.arrayBuffer());
}

async function projectWithPhoto(t: TestContext): Promise<string> {
  const folder = await createProject(t, ["@roma/sdk"]);
  await writeFile(join(folder, "photo.jpg"), photo);
  return folder;
}

test("its two lines are scripts of the package", async () => {
  const lines = snippets.slice(0, 2).map(({ text }) => text.trim());
  assert.deepEqual(lines, ["npm ci && npm start", "npm ci && npm test"]);
  const manifest = JSON.parse(await readFile(join(root, "package.json"), "utf8")) as {
    readonly scripts: Readonly<Record<string, string>>;
  };
  assert.ok("start" in manifest.scripts && "test" in manifest.scripts);
});

test("npm start prints a line that works when pasted; so do the README's for curl", async (t) => {
  if (!requirePrerequisite(t, "curl")) return;
  const server = await npmStart(t);
  const bash = (script: string, cwd: string) =>
    execFileSync("bash", ["-euo", "pipefail", "-c", script], {
      cwd,
      encoding: "utf8",
      stdio: "pipe",
    });
  assert.equal(JSON.parse(bash(server.curl, root)).key, "README.md");
  assert.deepEqual(await stored(server, "README.md"), await readFile(join(root, "README.md")));

  const folder = await projectWithPhoto(t);
  for (const name of ["a.pdf", "b.pdf"]) await writeFile(join(folder, name), "%PDF-1.7\n");
  const { id, secret, url } = server;
  const lines = fillIn(findSnippet(snippets, "curl -u $K -T"), {
    ...{ "ID:SECRET": `${id}:${secret}`, [endpoint]: url },
    // So that a refusal is one.
    "curl ": "curl --fail-with-body -sS ",
  });
  bash(lines, folder);
  assert.deepEqual(await readFile(join(folder, "copy.jpg")), photo);
  assert.equal((await stored(server, "b.pdf")).toString(), "%PDF-1.7\n");
});

test("the SDK's lines for Node, as pasted", async (t) => {
  const server = await npmStart(t);
  const folder = await projectWithPhoto(t);
  const { id, secret, url } = server;
  const pasted = findSnippet(snippets, "@roma/sdk/node");
  assert.ok(pasted.trim().split("\n").length <= 5, pasted);
  const values = { [endpoint]: url, "ID.SECRET": `${id}.${secret}` };
  const printed = await runModule(folder, fillIn(pasted, values));
  assert.match(printed, /bytes: 20000000,\n? +totalBytes: 20000000/);
  assert.deepEqual(await stored(server, "2026/photo.jpg"), photo);
});

test("the SDK's lines for a page, as pasted, bundled by esbuild, in Chromium", async (t) => {
  if (!requirePrerequisite(t, "chromium")) return;
  const server = await npmStart(t);
  const folder = await projectWithPhoto(t);
  const { id: keyId, secret, url } = server;
  const script = fillIn(findSnippet(snippets, 'from "@roma/sdk";'), { [endpoint]: url });
  const grant = () =>
    mintGrant({ ...{ keyId, secret, bucket: "demo", prefix: "2026/" }, actions: ["object:write"] });
  const page = await servePasted(t, folder, { html: '<input type="file">', script, grant });
  const pasted = await chooseFile(t, page, join(folder, "photo.jpg"));
  await untilPrinted(pasted, { bytes: photo.length, totalBytes: photo.length });
  await eventually(
    "the object is there",
    async () => (await ask(server, "2026/cat.jpg", "HEAD")).ok,
  );
  assert.deepEqual(await stored(server, "2026/cat.jpg"), photo);
});
