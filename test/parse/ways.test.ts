/** A real parse-server and Roma beside each other in three ways, used through Parse's own SDKs, new and old. */
import assert from "node:assert/strict";
import { readdir } from "node:fs/promises";
import { type TestContext, test } from "node:test";
import { eventually } from "../harness/process-usage.ts";
import { rootKey, startServer } from "../harness/server-process.ts";
import { describeWhere } from "../prerequisites.ts";
import { useService } from "../storages/service.ts";
import {
  type AdapterWay,
  adapterModule,
  adapterOptions,
  application,
  currentNode,
  oldNode,
  runProgram,
  startParseServer,
} from "./environment.ts";
import {
  type Beside,
  bucket,
  buildController,
  makeBucket,
  startBehindProxy,
  startWithAdapter,
  startWithController,
} from "./ways.ts";

const old = oldNode();
describeWhere(["parse", "postgres"], "parse-server with our files adapter", () => {
  const postgres = useService("postgres");

  test("SDK 8", async (t) => {
    const beside = await startWithAdapter(t, postgres);
    await assertCases(currentNode(), { sdk: "parse", ...beside });
    const all = ["afterDelete", "afterSave", "beforeDelete", "beforeSave"];
    const fired = () => new Set(beside.parse.triggers.map((line) => line.split(" ")[0]));
    // What it prints may come after the client's end.
    await eventually("all triggers fire", () => fired().size === all.length, 60_000);
    assert.deepEqual([...fired()].sort(), all);
    await beside.parse.stop();
  });

  test(`SDK 2.2.1 on ${old.name}`, async (t) => {
    await assertCases(old.program, { sdk: "parse-2", ...(await startWithAdapter(t, postgres)) });
  });

  test("it is taken as an instance, and by its name with options from the environment", async (t) => {
    const roma = await startServer(t);
    await makeBucket(roma);
    const options = adapterOptions(roma.url, bucket);
    const ways: readonly AdapterWay[] = [
      { way: "instance", module: adapterModule, options },
      { way: "value", value: adapterModule },
    ];
    for (const adapter of ways) {
      const environment = { ROMA_ENDPOINT: roma.url, ROMA_KEY: rootKey, ROMA_BUCKET: bucket };
      const isNamed = adapter.way === "value";
      const parse = await startParseServer(t, postgres, {
        adapter,
        environment: isNamed ? environment : {},
      });
      const url = await saveText(parse.url, "hello");
      assert.equal(new URL(url).origin, roma.url);
      assert.equal(await (await fetch(url)).text(), "hello");
    }
  });
});

describeWhere(["parse", "postgres"], "Parse's SDK with our file controller", () => {
  const postgres = useService("postgres");

  test("SDK 8", async (t) => {
    const beside = await startWithController(t, postgres);
    const plug = controller(t, beside);
    await assertCases(currentNode(), { sdk: "parse", plug: await plug, ...beside });
    assert.deepEqual(beside.parse.triggers, [], "no file went through parse-server");
  });

  test(`SDK 2.2.1 on ${old.name}`, async (t) => {
    const beside = await startWithController(t, postgres);
    const plug = await controller(t, beside);
    await assertCases(old.program, { sdk: "parse-2", plug, ...beside });
    assert.deepEqual(beside.parse.triggers, [], "no file went through parse-server");
  });
});

describeWhere(["parse", "postgres", "nginx"], "nginx with the recipe before both", () => {
  const postgres = useService("postgres");

  test("SDK 8", async (t) => {
    const beside = await startBehindProxy(t, postgres);
    await assertCases(currentNode(), { sdk: "parse", ...beside });
    assert.deepEqual(beside.parse.triggers, [], "no file went through parse-server");
    assert.deepEqual(await readdir(beside.nginx?.bodies ?? ""), [], "nginx wrote no body to disk");
  });

  test(`SDK 2.2.1 on ${old.name}`, async (t) => {
    const beside = await startBehindProxy(t, postgres);
    await assertCases(old.program, { sdk: "parse-2", ...beside });
    assert.deepEqual(beside.parse.triggers, [], "no file went through parse-server");
  });

  test("SDK 8 with our file controller", async (t) => {
    const beside = await startBehindProxy(t, postgres);
    const plug = await controller(t, beside);
    await assertCases(currentNode(), { sdk: "parse", plug, ...beside });
  });
});

async function controller(t: TestContext, { filesURL }: Beside): Promise<object> {
  return { module: await buildController(t), options: { filesURL } };
}

async function assertCases(
  node: string,
  { serverURL, filesURL, sdk, plug }: Beside & { readonly sdk: string; readonly plug?: object },
): Promise<void> {
  const lines = await runProgram(node, "sdk-cases.cjs", { sdk, plug, serverURL, filesURL });
  const failed = lines.filter(({ error }) => error !== undefined);
  assert.deepEqual(failed, []);
  assert.equal(lines.at(-1)?.ran, lines.length - 1);
}

async function saveText(parseUrl: string, body: string): Promise<string> {
  const answer = await fetch(`${parseUrl}/files/a.txt`, {
    method: "POST",
    headers: {
      "x-parse-application-id": application.appId,
      "x-parse-javascript-key": application.javascriptKey,
      "content-type": "text/plain",
    },
    body,
  });
  assert.equal(answer.status, 201, await answer.clone().text());
  return JSON.parse(await answer.text()).url;
}
