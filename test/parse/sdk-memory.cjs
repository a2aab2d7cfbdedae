// One long stream through Parse's SDK with our file controller: prints what it took of memory. Runs in Node 10 as well.
"use strict";

const fs = require("fs");
const { Readable } = require("stream");
const { join } = require("path");

const settings = JSON.parse(process.env.SETTINGS);
const Parse = require(join(process.env.PARSE_ENVIRONMENT, "node_modules", settings.sdk, "node"));
const { install, fileOfStream } = require(settings.plug.module);

Parse.initialize(settings.appId, settings.javascriptKey, settings.masterKey);
Parse.serverURL = settings.serverURL;
install(Parse, settings.plug.options);

const chunk = Buffer.alloc(64 * 1024, "some bytes of a film ");

/** As a file or a socket gives them: a new buffer for each chunk. */
function streamOf(bytes) {
  let left = bytes;
  return new Readable({
    read() {
      const length = Math.min(left, chunk.length);
      left -= length;
      this.push(length === 0 ? null : Buffer.from(chunk.slice(0, length)));
    },
  });
}

function fileOf(name, bytes) {
  const stream = streamOf(bytes);
  if (settings.sdk === "parse") return new Parse.File(name, stream, "video/mp4");
  return fileOfStream(Parse, name, stream, "video/mp4");
}

function kernelMemory(name) {
  const [, kib] = new RegExp(`^${name}:\\s+(\\d+) kB$`, "m").exec(
    fs.readFileSync("/proc/self/status", "latin1"),
  );
  return Number(kib) * 1024;
}

async function main() {
  // Garbage that V8 has not collected yet is the same at any length, once there is enough of it.
  await fileOf("short.mp4", settings.bytes / 4).save();
  const shortBytes = kernelMemory("VmHWM");
  let reports = 0;
  let last;
  const file = fileOf("film.mp4", settings.bytes);
  await file.save({
    progress: (part, loaded, total) => {
      reports += 1;
      last = [part, loaded, total];
    },
  });
  const peakBytes = kernelMemory("VmHWM");
  const line = { shortBytes, peakBytes, reports, last, url: file.url(), node: process.version };
  console.log(JSON.stringify(line));
  process.exit(0);
}

main().catch((error) => {
  console.error(error);
  process.exit(1);
});
