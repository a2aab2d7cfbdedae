// The SDK straight to Ceph's RADOS gateway from a page of another origin, whose bucket answers such pages only
// once it is told to.
import assert from "node:assert/strict";
import { type TestContext, test } from "node:test";
import { chromium } from "playwright-core";
import { cleanUp } from "../harness/cleanup.ts";
import { startCuttingProxy } from "../harness/cutting-proxy.ts";
import { send } from "../harness/http-client.ts";
import { rootKey, type ServerProcess } from "../harness/server-process.ts";
import { describeWhere } from "../prerequisites.ts";
import { useService } from "../storages/service.ts";
import { openS3Backing } from "../uploads/backing.ts";
import { Tab } from "./tab.ts";

const MB = 1_000_000;

describeWhere(["chromium", "ceph"], "Ceph RGW", () => {
  const service = useService("ceph", { CEPH_PARTS: "rgw" });
  const open = openS3Backing({ vendor: "ceph-rgw", service, prefix: "CEPH_S3" });

  test("a page falls back once while the bucket does not know it, and sends straight to it then", async (t) => {
    const { server } = await open(t);
    const proxy = await startCuttingProxy(t, { upstream: () => server });
    const tab = await openTab(t);
    const { origin } = new URL(tab.page.url());
    const upload = { endpoint: proxy.url, token: rootKey.replace(":", "."), length: 60 * MB };

    assert.match(await problemOf(server, origin), /the preflight was answered 403/);
    await tab.begin({ ...upload, key: "refused" });
    const refused = await tab.done();
    assert.deepEqual(refused.notices, ["direct_failed"]);
    assert.equal(refused.result?.size, 60 * MB);
    assert.ok(proxy.bytes > 60 * MB, "all of it came to the server");

    await setRules(server, ["https://other.example"]);
    assert.match(await problemOf(server, origin), /the preflight was answered 403/);
    await setRules(server, [origin]);
    assert.equal(await problemOf(server, origin), "none");
    const before = proxy.bytes;
    await tab.begin({ ...upload, key: "direct" });
    const direct = await tab.done();
    assert.deepEqual(direct.notices, []);
    assert.deepEqual(direct.result, refused.result);
    assert.ok(proxy.bytes - before < MB, `${proxy.bytes - before} bytes came to the server`);
  });
});

async function openTab(t: TestContext): Promise<Tab> {
  const args = ["--no-sandbox", "--disable-dev-shm-usage"];
  const browser = await chromium.launch({ executablePath: "/usr/bin/chromium", args });
  cleanUp(t, () => browser.close());
  return await Tab.open(t, browser);
}

async function problemOf(server: ServerProcess, origin: string): Promise<string> {
  const path = `/v1/storages/far/cors?origin=${encodeURIComponent(origin)}`;
  const answer = await send(server, "GET", path);
  assert.equal(answer.status, 200, answer.body.toString());
  const [tried] = JSON.parse(answer.body.toString()).origins;
  assert.equal(tried.origin, origin);
  assert.equal(tried.ok, tried.problem === null);
  return tried.problem ?? "none";
}

async function setRules(server: ServerProcess, origins: readonly string[]): Promise<void> {
  const body = JSON.stringify({ origins });
  const answer = await send(server, "PUT", "/v1/storages/far/cors", { body });
  assert.equal(answer.status, 200, answer.body.toString());
  const { origins: tried } = JSON.parse(answer.body.toString());
  assert.deepEqual(
    tried,
    origins.map((origin) => ({ origin, ok: true, problem: null })),
  );
}
