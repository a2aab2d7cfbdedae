/** The three ways to stand beside a real parse-server, each as one set of servers that a test can start. */
import assert from "node:assert/strict";
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import type { TestContext } from "node:test";
import { buildSync } from "esbuild";
import { send } from "../harness/http-client.ts";
import {
  rootKey,
  type ServerProcess,
  startServer,
  temporaryFolder,
} from "../harness/server-process.ts";
import type { Service } from "../storages/service.ts";
import {
  adapterModule,
  adapterOptions,
  application,
  type ParseServerOptions,
  type ParseServerProcess,
  startParseServer,
} from "./environment.ts";
import { type Nginx, startNginx } from "./nginx.ts";
import { startRelay } from "./relay.ts";

export interface Beside {
  readonly roma: ServerProcess;
  readonly parse: ParseServerProcess;
  /** What the application calls its `serverURL`. */
  readonly serverURL: string;
  /** Where its files go, with the mount. */
  readonly filesURL: string;
  readonly nginx?: Nginx;
}

/** Keys and buckets as they are named in the tests. */
export const bucket = "files";

/** parse-server keeps its files with our adapter; clients know nothing of Roma. */
export async function startWithAdapter(
  t: TestContext,
  postgres: Service,
  options: ParseServerOptions["options"] = {},
): Promise<Beside> {
  const roma = await startServer(t);
  await makeBucket(roma);
  const parse = await startParseServer(t, postgres, { adapter: ourAdapter(roma), options });
  return { roma, parse, serverURL: parse.url, filesURL: parse.url };
}

/** Clients send files to Roma by our controller; parse-server only makes their URLs, with our adapter. */
export async function startWithController(t: TestContext, postgres: Service): Promise<Beside> {
  const relay = await startRelay(t);
  const roma = await startRoma(t, { serverURL: `${relay.url}/parse` });
  const parse = await startParseServer(t, postgres, { adapter: ourAdapter(roma) });
  relay.to(parse.url);
  return { roma, parse, serverURL: parse.url, filesURL: `${roma.url}/parse` };
}

/** nginx sends `/parse/files` to Roma; neither clients nor parse-server, with its own adapter, know of it. */
export async function startBehindProxy(t: TestContext, postgres: Service): Promise<Beside> {
  const front = await startRelay(t);
  const serverURL = `${front.url}/parse`;
  const roma = await startRoma(t, { serverURL, publicServerURL: serverURL });
  const value = { module: "@parse/fs-files-adapter", options: {} };
  const parse = await startParseServer(t, postgres, {
    adapter: { way: "value", value },
    options: { publicServerURL: serverURL },
  });
  const nginx = await startNginx(t, { parseServer: parse.url, roma: roma.url });
  front.to(nginx.socket);
  return { roma, parse, nginx, serverURL, filesURL: serverURL };
}

function ourAdapter(roma: ServerProcess): ParseServerOptions["adapter"] {
  const value = { module: adapterModule, options: adapterOptions(roma.url, bucket) };
  return { way: "value", value };
}

/** With the application's keys and limits, as parse-server has them. */
export async function startRoma(
  t: TestContext,
  urls: { readonly serverURL: string; readonly publicServerURL?: string },
): Promise<ServerProcess> {
  const [accessKeyId = ""] = rootKey.split(":");
  const fileUpload = { enableForPublic: true, enableForAnonymousUser: true };
  const config = join(await temporaryFolder(t), "roma.json");
  const applications = [{ ...application, ...urls, accessKeyId, bucket, fileUpload }];
  await writeFile(config, JSON.stringify({ parse: { applications } }));
  const roma = await startServer(t, { flags: ["--config", config] });
  await makeBucket(roma);
  return roma;
}

export async function makeBucket(roma: ServerProcess): Promise<void> {
  const made = await send(roma, "PUT", `/v1/buckets/${bucket}`, { body: "{}" });
  assert.equal(made.status, 201, `${made.body}`);
}

/** The path of our file controller, made into one file as it is published for old Nodes. */
export async function buildController(t: TestContext): Promise<string> {
  const outfile = join(await temporaryFolder(t), "node.cjs");
  const entry = join(import.meta.dirname, "../../packages/parse-file-controller/src/node/index.ts");
  buildSync({
    ...{ entryPoints: [entry], outfile, bundle: true },
    ...{ platform: "node", format: "cjs", target: "node10" },
  });
  return outfile;
}
