// The SDK straight to MinIO: from Node, and from a page of another origin.
import assert from "node:assert/strict";
import { test } from "node:test";
import { chromium } from "playwright-core";
import { cleanUp } from "../harness/cleanup.ts";
import { startCuttingProxy } from "../harness/cutting-proxy.ts";
import { rootKey } from "../harness/server-process.ts";
import { describeWhere, requirePrerequisite } from "../prerequisites.ts";
import { useService } from "../storages/service.ts";
import { openS3Backing } from "../uploads/backing.ts";
import { describeNodeSdk } from "./node-cases.ts";
import { Tab } from "./tab.ts";

const MB = 1_000_000;

describeWhere(["minio"], "MinIO", () => {
  const service = useService("minio");
  const open = openS3Backing({ vendor: "minio", service, prefix: "MINIO_S3" });
  describeNodeSdk("MinIO", open, { direct: true });

  test("from Chromium, the bytes go to MinIO and not to the server", async (t) => {
    if (!requirePrerequisite(t, "chromium")) return;
    const args = ["--no-sandbox", "--disable-dev-shm-usage"];
    const browser = await chromium.launch({ executablePath: "/usr/bin/chromium", args });
    cleanUp(t, () => browser.close());
    const { server } = await open(t);
    const proxy = await startCuttingProxy(t, { upstream: () => server });
    const tab = await Tab.open(t, browser);
    const upload = { endpoint: proxy.url, token: rootKey.replace(":", "."), length: 60 * MB };
    await tab.begin({ ...upload, key: "direct" });
    const direct = await tab.done();
    assert.equal(direct.result?.size, 60 * MB);
    assert.deepEqual(direct.notices, []);
    assert.ok(proxy.bytes < MB, `${proxy.bytes} bytes came to the server`);
    await tab.begin({ ...upload, key: "through", via: "server" });
    const through = await tab.done();
    assert.deepEqual(through.result, direct.result);
    assert.ok(proxy.bytes > 60 * MB, `${proxy.bytes} bytes came to the server`);
  });
});
