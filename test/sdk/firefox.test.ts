// The SDK in Firefox, from a page of another origin, against a whole server on a local disk.
import assert from "node:assert/strict";
import { test } from "node:test";
import { startCuttingProxy } from "../harness/cutting-proxy.ts";
import { rootKey, startServer } from "../harness/server-process.ts";
import { requirePrerequisite } from "../prerequisites.ts";
import { Firefox } from "./firefox.ts";
import { servePage } from "./tab.ts";

const MB = 1_000_000;

test("Firefox: a file over a reload, a stream, and everything else that Roma does", async (t) => {
  if (!requirePrerequisite(t, "firefox")) return;
  const server = await startServer(t);
  // Of this process: when it stands still, so does the upload that it is to interrupt.
  const proxy = await startCuttingProxy(t, { upstream: () => server });
  const options = { endpoint: proxy.url, token: rootKey.replace(":", ".") };
  const origin = await servePage(t);
  const firefox = await Firefox.start(t);
  await firefox.open(origin);
  const large = { ...options, key: "large", length: 400 * MB };
  await firefox.begin(large);
  await firefox.reach("a fifth is sent", ({ bytes }) => bytes >= 80 * MB);
  await firefox.open(origin);
  await firefox.begin(large);
  const resumed = await firefox.reach("it is done", ({ result }) => result !== undefined);
  assert.deepEqual(resumed.notices, ["resumed"]);
  assert.equal(resumed.steady, true);
  const download = { ...large, endpoint: server.url };
  assert.equal(await firefox.call("downloadBytes", download), large.length);

  const small = { ...options, length: 30 * MB };
  await firefox.begin({ ...small, key: "stream", as: "stream" });
  const streamed = await firefox.reach("it is done", ({ result }) => result !== undefined);
  await firefox.begin({ ...small, key: "file" });
  const sent = await firefox.reach("it is done", ({ result }) => result !== undefined);
  assert.deepEqual(streamed.result, sent.result);
  assert.deepEqual(JSON.parse(await firefox.call("roundTrip", options)), {
    ...{ contentType: "text/plain", crc: true, text: "round trip", signed: "round trip" },
    left: ["round/copy"],
  });
});
