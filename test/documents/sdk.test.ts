// The snippets of docs/sdk.md are pasted and do what they say, with the address and the key filled in.
import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { type TestContext, test } from "node:test";
import { mintGrant } from "@roma/sdk/server";
import { send } from "../harness/http-client.ts";
import { eventually } from "../harness/process-usage.ts";
import { rootKey, type ServerProcess, startServer } from "../harness/server-process.ts";
import { requirePrerequisite } from "../prerequisites.ts";
import { chooseFile, untilPrinted } from "./browser.ts";
import { createProject, runModule, servePasted } from "./project.ts";
import { fillIn, findSnippet, readSnippets } from "./snippets.ts";

const snippets = await readSnippets("docs/sdk.md");
const endpoint = "https://files.example.com";
const cat = randomBytes(12_000_000);
const path = "/v1/objects/photos/2026/cat.jpg";

async function start(t: TestContext): Promise<ServerProcess> {
  const server = await startServer(t);
  assert.equal((await send(server, "PUT", "/v1/buckets/photos", { body: "{}" })).status, 201);
  return server;
}

async function project(t: TestContext, packages: readonly string[]): Promise<string> {
  const folder = await createProject(t, packages);
  await writeFile(join(folder, "cat.jpg"), cat);
  return folder;
}

function grant(): string {
  const [keyId = "", secret = ""] = rootKey.split(":");
  const scope = { bucket: "photos", prefix: "2026/", actions: ["object:write"] } as const;
  return mintGrant({ keyId, secret, ...scope });
}

async function assertStored(server: ServerProcess): Promise<void> {
  const there = async () => (await send(server, "HEAD", path)).status === 200;
  await eventually("the object is there", there);
  assert.deepEqual((await send(server, "GET", path)).body, cat);
}

test("from Node, and down again", async (t) => {
  const server = await start(t);
  const folder = await project(t, ["@roma/sdk"]);
  const values = { [endpoint]: server.url, "ID.SECRET": rootKey.replace(":", ".") };
  const upload = fillIn(findSnippet(snippets, "@roma/sdk/node"), values);
  // In one module, as the document goes on.
  const printed = await runModule(folder, `${upload}\n${findSnippet(snippets, "roma.download(")}`);
  await assertStored(server);
  assert.match(printed, /bytes: 12000000/);
  const lengths = printed.match(/^\d+$/gm) ?? [];
  const sum = lengths.reduce((total, length) => total + Number(length), 0);
  assert.equal(sum, cat.length, "the lengths of what was read");
  assert.deepEqual(await readFile(join(folder, "copies/cat.jpg")), cat);
});

test("from a page", async (t) => {
  if (!requirePrerequisite(t, "chromium")) return;
  const server = await start(t);
  const folder = await project(t, ["@roma/sdk"]);
  const script = fillIn(findSnippet(snippets, "document.querySelector"), {
    [endpoint]: server.url,
  });
  const url = await servePasted(t, folder, { html: '<input type="file">', script, grant });
  const pasted = await chooseFile(t, url, join(folder, "cat.jpg"));
  await untilPrinted(pasted, { bytes: cat.length, totalBytes: cat.length });
  await assertStored(server);
});

test("with React", async (t) => {
  if (!requirePrerequisite(t, "chromium")) return;
  const server = await start(t);
  const folder = await project(t, ["@roma/sdk", "react", "react-dom", "scheduler"]);
  const component = fillIn(findSnippet(snippets, "useUpload"), { [endpoint]: server.url });
  await writeFile(join(folder, "send.jsx"), component);
  const script = `import { createRoot } from "react-dom/client";
    import { Send } from "./send.jsx";
    createRoot(document.querySelector("#root")).render(<Send />);`;
  const url = await servePasted(t, folder, { html: '<div id="root"></div>', script, grant });
  const { page } = await chooseFile(t, url, join(folder, "cat.jpg"));
  await page.waitForSelector("label:has-text('done')");
  await assertStored(server);
});
