// Copies files out of a running parse-server, whatever keeps them (GridFS, an encrypted folder), into a bucket, under
// the same names. Reads names from stdin, one a line; prints those that failed, and ends with 1 if there are any.
// A file that is there already with the same size is left; one that comes short is not stored.
//
//   PARSE_URL=http://127.0.0.1:1337/parse PARSE_APP=shop ROMA_ENDPOINT=… ROMA_KEY=… node copy-through.mjs parse < names
import { createInterface } from "node:readline";
import { isRomaError, Roma } from "@roma/sdk/node";

const [bucket] = process.argv.slice(2);
const { PARSE_URL, PARSE_APP, ROMA_ENDPOINT, ROMA_KEY } = process.env;
if (!bucket || !PARSE_URL || !PARSE_APP || !ROMA_KEY) {
  throw new Error("PARSE_URL, PARSE_APP, ROMA_KEY and the bucket must be given");
}
const roma = new Roma({ endpoint: ROMA_ENDPOINT ?? "http://127.0.0.1:8420", token: ROMA_KEY });

async function copy(key) {
  const path = key.split("/").map(encodeURIComponent).join("/");
  const from = await fetch(`${PARSE_URL}/files/${PARSE_APP}/${path}`);
  if (from.status !== 200) {
    await from.body?.cancel();
    throw new Error(`parse-server answered ${from.status}`);
  }
  const length = Number(from.headers.get("content-length"));
  if ((await sizeOf(key)) === length) {
    await from.body?.cancel();
    return;
  }
  const contentType = from.headers.get("content-type") ?? undefined;
  const source = length === 0 ? new Uint8Array(0) : from.body;
  await roma.upload(source, { bucket, key, length, contentType }).done();
}

async function sizeOf(key) {
  try {
    return (await roma.stat({ bucket, key })).size;
  } catch (error) {
    if (isRomaError(error, "object_not_found")) return undefined;
    throw error;
  }
}

for await (const name of createInterface({ input: process.stdin })) {
  if (name === "") continue;
  try {
    await copy(name);
  } catch (error) {
    console.error(`${name}: ${error.message}`);
    process.exitCode = 1;
  }
}
roma.close();
