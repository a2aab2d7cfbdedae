import assert from "node:assert/strict";
import { type TestContext, test } from "node:test";
import { eventually } from "../../../../../../test/harness/process-usage.ts";
import { OperationalError } from "../../../core/errors.ts";
import { silentLog } from "../../../core/ports/log.ts";
import { closeHttp, createHttp, httpConfig } from "../../../http/index.ts";
import { renderS3Error } from "../errors.ts";
import type { XmlValue } from "../xml.ts";
import { sendXmlWhenDone } from "./keep-alive.ts";

/**
 * Answers what `run` makes; the time for work is a tenth of a second. `late` resolves when that is long over and the
 * client was kept alive before and after.
 */
async function answered(
  t: TestContext,
  quietMs: number,
  run: (late: () => Promise<void>) => Promise<XmlValue>,
) {
  let nowMs = 0;
  let text = "";
  const app = createHttp({
    log: silentLog,
    config: httpConfig.parse({ workMsMax: "100 ms" }),
    renderError: renderS3Error,
    clock: { monotonicMs: () => nowMs },
    tickMs: quietMs / 2,
  });
  t.after(() => closeHttp(app, { drainMs: 0 }));
  const hasSpaces = (count: number) => () => text.split(" ").length > count;
  const late = async (): Promise<void> => {
    await eventually("it is kept alive", hasSpaces(5), 60_000);
    // What takes too long is aborted at one look at its time, and its connection is cut at the next.
    for (let look = 0; look < 2; look += 1) {
      nowMs += 60_000;
      await eventually("it stays alive", hasSpaces(text.split(" ").length + 2), 60_000);
    }
  };
  app.get("/", async (request, reply) => {
    const exchange = { request, reply };
    await sendXmlWhenDone(exchange, "Result", () => run(late), { log: silentLog, quietMs });
    return reply;
  });
  const response = await fetch(await app.listen({ port: 0, host: "127.0.0.1" }));
  const decoder = new TextDecoder();
  for await (const chunk of response.body ?? []) text += decoder.decode(chunk, { stream: true });
  return { status: response.status, headers: response.headers, text };
}

const head = '<?xml version="1.0" encoding="UTF-8"?>\n';
const result = '<Result xmlns="http://s3.amazonaws.com/doc/2006-03-01/"><A>1</A></Result>';

test("what is done soon is answered at once, and its error with its own status", async (t) => {
  const good = await answered(t, 10_000, async () => ({ A: 1 }));
  assert.deepEqual([good.status, good.text], [200, head + result]);
  const bad = await answered(t, 10_000, async () => {
    throw new OperationalError("upload_not_found", "gone");
  });
  assert.equal(bad.status, 404);
  assert.match(bad.text, /<Code>NoSuchUpload<\/Code>/);
});

test("what takes long is kept alive past the time for work, and then answered", async (t) => {
  const { status, headers, text } = await answered(t, 20, async (late) => {
    await late();
    return { A: 1 };
  });
  assert.equal(status, 200);
  assert.equal(headers.get("content-type"), "application/xml");
  assert.ok(headers.get("x-amz-request-id") !== null);
  assert.match(text, /^<\?xml [^>]*\?>\n +<Result/);
  assert.ok(text.endsWith(result));
});

test("an error that comes late is in the body", async (t) => {
  const { status, text } = await answered(t, 20, async (late) => {
    await late();
    throw new OperationalError("storage_full", "no room");
  });
  assert.equal(status, 200);
  assert.match(text, /^<\?xml [^>]*\?>\n *<Error><Code>InsufficientStorage<\/Code>/);
});
