// A page without a script: Chromium posts a signed form, to this server and to Ceph RGW.
import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { type TestContext, test } from "node:test";
import { chromium } from "playwright-core";
import { cleanUp } from "../harness/cleanup.ts";
import { send } from "../harness/http-client.ts";
import { describeWhere } from "../prerequisites.ts";
import { useService } from "../storages/service.ts";
import { type OpenBacking, openPosixBacking, openS3Backing } from "./backing.ts";

/** A browser that starts beside many other processes takes its time. */
const hangsMs = 120_000;

const escaped = (text: string): string => text.replaceAll("&", "&amp;").replaceAll('"', "&quot;");

async function postFromPage(t: TestContext, open: OpenBacking, via: string): Promise<void> {
  const { server } = await open(t);
  const bytes = randomBytes(1_500_000);
  const request = { bucket: "demo", key: "from/page", length: bytes.length, form: true };
  const begun = await send(server, "POST", "/v1/uploads", { body: JSON.stringify(request) });
  assert.equal(begun.status, 201, begun.body.toString());
  const upload = JSON.parse(begun.body.toString());
  assert.deepEqual([upload.via, upload.transfer.kind], [via, "form"]);
  const { url, fields } = upload.transfer.form;
  const hidden = Object.entries<string>(fields).map(
    ([name, value]) => `<input type="hidden" name="${escaped(name)}" value="${escaped(value)}">`,
  );
  const args = ["--no-sandbox", "--disable-dev-shm-usage"];
  const launch = { executablePath: "/usr/bin/chromium", args, timeout: hangsMs };
  const browser = await chromium.launch(launch);
  cleanUp(t, () => browser.close());
  const context = await browser.newContext({ javaScriptEnabled: false });
  context.setDefaultTimeout(hangsMs);
  const page = await context.newPage();
  await page.setContent(
    `<form method="post" enctype="multipart/form-data" action="${escaped(url)}">
      ${hidden.join("")}<input type="file" name="file"><button>send</button></form>`,
  );
  const file = { name: 'größe ünd & ".bin', mimeType: "application/x-of-the-page", buffer: bytes };
  await page.setInputFiles("input[type=file]", file);
  const [answer] = await Promise.all([
    page.waitForResponse((response) => response.request().method() === "POST"),
    page.click("button"),
  ]);
  assert.equal(answer.status(), 201);
  const done = await send(server, "POST", `/v1/uploads/${upload.id}/complete`, { body: "{}" });
  assert.equal(done.status, 201, done.body.toString());
  const got = await send(server, "GET", "/v1/objects/demo/from/page");
  assert.ok(got.body.equals(bytes));
}

describeWhere(["chromium"], "a form of a page", () => {
  test("brings its file by the server", async (t) => {
    await postFromPage(t, openPosixBacking, "server");
  });
});

describeWhere(["chromium", "ceph"], "a form of a page, Ceph RGW", () => {
  const service = useService("ceph", { CEPH_PARTS: "rgw" });
  const open = openS3Backing({ vendor: "ceph-rgw", service, prefix: "CEPH_S3" });
  test("brings its file straight to the storage", async (t) => {
    await postFromPage(t, open, "storage");
  });
});
