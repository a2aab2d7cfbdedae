/** A real parse-server on PostgreSQL whose files are kept by our adapter, used through Parse's own SDKs. */
import assert from "node:assert/strict";
import { type TestContext, test } from "node:test";
import { send } from "../harness/http-client.ts";
import { rootKey, type ServerProcess, startServer } from "../harness/server-process.ts";
import { describeWhere } from "../prerequisites.ts";
import { useService } from "../storages/service.ts";
import {
  type AdapterWay,
  adapterModule,
  adapterOptions,
  currentNode,
  nodeProgram,
  runProgram,
  startParseServer,
} from "./environment.ts";

describeWhere(["parse", "postgres"], "parse-server with our files adapter", () => {
  const postgres = useService("postgres");

  async function startBoth(t: TestContext) {
    const roma = await startServer(t);
    await makeBucket(roma);
    const value = { module: adapterModule, options: adapterOptions(roma.url, "files") };
    const parse = await startParseServer(t, postgres, { adapter: { way: "value", value } });
    return { roma, parse };
  }

  test("SDK 8: everything that an application does with files", async (t) => {
    const { parse } = await startBoth(t);
    await assertCases(currentNode(), { sdk: "parse", serverURL: parse.url, filesURL: parse.url });
    const fired = new Set(parse.triggers.map((line) => line.split(" ")[0]));
    assert.deepEqual([...fired].sort(), ["afterDelete", "afterSave", "beforeDelete", "beforeSave"]);
    await parse.stop();
  });

  test(`SDK 2.2.1 on ${nodeProgram(10) === undefined ? "Node 24" : "Node 10"}`, async (t) => {
    const { parse } = await startBoth(t);
    const node = nodeProgram(10) ?? currentNode();
    await assertCases(node, { sdk: "parse-2", serverURL: parse.url, filesURL: parse.url });
  });

  test("the adapter is taken as instance and by name, with options from the environment", async (t) => {
    const roma = await startServer(t);
    await makeBucket(roma);
    const options = adapterOptions(roma.url, "files");
    const ways: readonly AdapterWay[] = [
      { way: "instance", module: adapterModule, options },
      { way: "value", value: adapterModule },
    ];
    for (const adapter of ways) {
      const environment = { ROMA_ENDPOINT: roma.url, ROMA_KEY: rootKey, ROMA_BUCKET: "files" };
      const parse = await startParseServer(t, postgres, {
        adapter,
        environment: adapter.way === "value" ? environment : {},
      });
      const saved = await saveRaw(parse.url, "a.txt", "hello");
      assert.equal(new URL(saved.url).origin, roma.url);
      assert.equal(await (await fetch(saved.url)).text(), "hello");
    }
  });
});

async function makeBucket(roma: ServerProcess): Promise<void> {
  const made = await send(roma, "PUT", "/v1/buckets/files", { body: "{}" });
  assert.equal(made.status, 201);
}

async function assertCases(
  node: string,
  settings: Readonly<Record<string, unknown>>,
): Promise<void> {
  const lines = await runProgram(node, "sdk-cases.cjs", settings);
  const failed = lines.filter(({ error }) => error !== undefined);
  assert.deepEqual(failed, []);
  assert.equal(lines.at(-1)?.ran, lines.length - 1);
}

async function saveRaw(
  parseUrl: string,
  name: string,
  body: string,
): Promise<{ readonly name: string; readonly url: string }> {
  const answer = await fetch(`${parseUrl}/files/${name}`, {
    method: "POST",
    headers: {
      "x-parse-application-id": "shop",
      "x-parse-javascript-key": "javascript-key-of-tests",
      "content-type": "text/plain",
    },
    body,
  });
  assert.equal(answer.status, 201, await answer.clone().text());
  return JSON.parse(await answer.text());
}
