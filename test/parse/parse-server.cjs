// A real parse-server, for a test: reads its options as JSON from PARSE_OPTIONS, listens on a free port, and prints
// one line `parse-server listening on URL`. It takes packages from the folder PARSE_ENVIRONMENT.
"use strict";

const { createRequire } = require("node:module");
const { createServer } = require("node:http");
const { join } = require("node:path");

const load = createRequire(join(process.env.PARSE_ENVIRONMENT, "package.json"));
const { ParseServer } = load("parse-server");
const express = load("express");

async function main() {
  const { adapter, ...options } = JSON.parse(process.env.PARSE_OPTIONS);
  const app = express();
  const server = createServer(app);
  await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
  const url = `http://127.0.0.1:${server.address().port}/parse`;
  const parse = new ParseServer({
    // What a proxy in front is called, where there is one.
    publicServerURL: options.serverURL || url,
    ...options,
    serverURL: url,
    filesAdapter: await filesAdapter(adapter),
    masterKeyIps: ["127.0.0.1"],
    logsFolder: null,
    silent: true,
    allowClientClassCreation: true,
    encodeParseObjectInCloudFunction: true,
    cloud: tellTriggers,
  });
  await parse.start();
  app.use("/parse", parse.app);
  process.on("SIGTERM", async () => {
    parse.server = server;
    await parse.handleShutdown();
    process.exit(0);
  });
  console.log(`parse-server listening on ${url}`);
}

/** Prints a line for each trigger of files that fires. */
function tellTriggers() {
  for (const name of ["beforeSave", "afterSave", "beforeDelete", "afterDelete"]) {
    global.Parse.Cloud[name](global.Parse.File, ({ file }) => {
      console.log(`trigger ${name} ${file.name()}`);
    });
  }
}

/** In each of the ways that parse-server knows. */
async function filesAdapter(adapter) {
  if (adapter.way !== "instance") return adapter.value;
  const { RomaFilesAdapter } = await import(adapter.module);
  return new RomaFilesAdapter(adapter.options);
}

main().catch((error) => {
  console.error(error);
  process.exit(1);
});
