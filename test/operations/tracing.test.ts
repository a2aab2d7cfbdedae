/** Traces arrive at a receiver of OTLP as one tree for each request, and a receiver that fails costs nothing. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { Emulator } from "../../packages/server/src/storage/s3/emulator/testing.ts";
import { cleanUp } from "../harness/cleanup.ts";
import { objectPath, send } from "../harness/http-client.ts";
import { eventually } from "../harness/process-usage.ts";
import { startServer } from "../harness/server-process.ts";
import { otlpReceiver } from "./otlp-receiver.ts";

const parent = { trace: "4bf92f3577b34da6a3ce929d0e0e4736", span: "00f067aa0ba902b7" };

test("a request is one trace, from the client's own to the storage's, without a key or secret", async (t) => {
  const receiver = await otlpReceiver(t);
  const emulator = await new Emulator({ vendor: "minio" }).listen();
  cleanUp(t, () => emulator[Symbol.asyncDispose]());
  const server = await startServer(t, {
    flags: [
      ...["--tracing-endpoint", receiver.url, "--tracing-headers", "x-tenant=hidden"],
      ...["--tracing-ratio", "1", "--tracing-propagate", "true", "--environment", "staging"],
    ],
  });
  const settings = {
    ...{
      driver: "s3",
      vendor: "minio",
      endpoint: emulator.endpoint.replace("storage.test", "127.0.0.1"),
      bucket: emulator.bucket,
    },
    ...{ accessKeyId: emulator.key.accessKeyId, secretAccessKey: emulator.key.secretAccessKey },
  };
  const json = (value: object) => ({ body: JSON.stringify(value) });
  await send(server, "PUT", "/v1/storages/cloud", json(settings));
  await send(server, "PUT", "/v1/buckets/traced", json({ placement: "cloud" }));
  const headers = {
    traceparent: `00-${parent.trace}-${parent.span}-01`,
    "roma-request-id": "request-0001",
  };
  const put = await send(server, "PUT", "/v1/objects/traced/private-name.txt", {
    headers,
    body: "x",
  });
  assert.equal(put.status, 201, put.body.toString());
  const own = () => receiver.spans.filter(({ traceId }) => traceId === parent.trace);
  const find = (name: string) => own().find((span) => span.name === name);
  const names = ["PUT /v1/objects/:bucket/*", "storage put", "metadata commitObject"];
  await eventually("the request's trace arrives", () =>
    names.every((name) => find(name) !== undefined),
  );
  const root = find("PUT /v1/objects/:bucket/*");
  const storage = find("storage put");
  const commit = find("metadata commitObject");
  assert.ok(root && storage && commit, JSON.stringify(own()));
  assert.equal(root.parentId, parent.span);
  for (const step of [storage, commit]) assert.equal(step.parentId, root.spanId);
  assert.equal(root.attributes["http.response.status_code"], 201);
  assert.equal(root.attributes["roma.request_id"], "request-0001");
  assert.equal(storage.attributes["roma.storage"], "cloud");
  assert.deepEqual(
    [root.resource["service.name"], root.resource["deployment.environment.name"]],
    ["roma", "staging"],
  );
  assert.ok(emulator.traceparents.includes(`00-${parent.trace}-${storage.spanId}-01`));
  assert.equal(receiver.headers[0]?.["x-tenant"], "hidden");
  assert.doesNotMatch(JSON.stringify(receiver.spans), /private-name|hidden|secret/i);

  const unsampled = { traceparent: `00-${"1".repeat(32)}-${parent.span}-00` };
  await send(server, "GET", objectPath("missing"), { headers: unsampled });
  const missing = { traceparent: `00-${"2".repeat(32)}-${parent.span}-01` };
  await send(server, "GET", objectPath("missing"), { headers: missing });
  await eventually("the other arrives", () =>
    receiver.spans.some(({ traceId }) => traceId === missing.traceparent.slice(3, 35)),
  );
  assert.ok(!receiver.spans.some(({ traceId }) => traceId === "1".repeat(32)));
  await server.stop();
});

test("spans that the receiver does not take are counted, and nobody waits for it, at the end neither", async (t) => {
  const receiver = await otlpReceiver(t);
  receiver.answer = 400;
  const server = await startServer(t, {
    flags: ["--tracing-endpoint", receiver.url, "--tracing-ratio", "1"],
  });
  const put = async () => await send(server, "PUT", objectPath("a"), { body: "x" });
  assert.equal((await put()).status, 201);
  await eventually("it is counted", async () => {
    const metrics = await (await fetch(`${server.opsUrl}/metrics`)).text();
    return /tracing_spans_total\{outcome="failed"\} [1-9]/.test(metrics);
  });
  receiver.answer = "hang";
  const began = performance.now();
  for (let times = 0; times < 20; times++) assert.ok((await put()).status < 300);
  // An export is given 10 s.
  assert.ok(performance.now() - began < 60_000);
  const stopping = performance.now();
  await server.stop();
  // The receiver answers at no time.
  assert.ok(performance.now() - stopping < 30_000);
});
