// What an application does with files through Parse's own SDK, old or new, in one of the three ways. Runs in Node 10
// as well. Settings come as JSON in SETTINGS; each case prints a line of JSON with its name and, if it failed, why.
"use strict";

const assert = require("assert");
const crypto = require("crypto");
const http = require("http");
const { Readable } = require("stream");
const { join } = require("path");

const settings = JSON.parse(process.env.SETTINGS);
const Parse = require(join(process.env.PARSE_ENVIRONMENT, "node_modules", settings.sdk, "node"));
const isNew = settings.sdk === "parse";
const { plug } = settings;

Parse.initialize(settings.appId, settings.javascriptKey, settings.masterKey);
Parse.serverURL = settings.serverURL;
if (plug) require(plug.module).install(Parse, plug.options);

const bytes = crypto.randomBytes(300001);

const cases = {
  "saves bytes of an array, and they are read back": async () => {
    const file = new Parse.File("bytes.bin", Array.from(bytes));
    assert.strictEqual(await file.save(), file);
    assert(/^[0-9a-f]{32}_bytes\.bin$/.test(file.name()), file.name());
    await isReadBack(file, bytes);
  },

  "saves base64, with a data URI's type": async () => {
    const base64 = `data:text/plain;base64,${Buffer.from("hello").toString("base64")}`;
    const file = await new Parse.File("hello", { base64 }).save();
    const answer = await get(file.url());
    assert.strictEqual(answer.body.toString(), "hello");
    assert(/^text\/plain/.test(answer.headers["content-type"]), answer.headers["content-type"]);
    assert(/_hello\.txt$/.test(file.name()), file.name());
  },

  "reads a range": async () => {
    const file = await new Parse.File("range.bin", Array.from(bytes)).save();
    for (const [range, first, end] of [
      ["bytes=10-19", 10, 20],
      ["bytes=-7", bytes.length - 7, bytes.length],
      [`bytes=${bytes.length - 5}-`, bytes.length - 5, bytes.length],
    ]) {
      const answer = await get(file.url(), { range });
      assert.strictEqual(answer.status, 206);
      const wanted = `bytes ${first}-${end - 1}/${bytes.length}`;
      assert.strictEqual(answer.headers["content-range"], wanted);
      assert(answer.body.equals(bytes.slice(first, end)), range);
    }
    const none = await get(file.url(), { range: `bytes=${bytes.length}-` });
    assert.strictEqual(none.status, 416);
  },

  "an object with files is read back with their URLs, in columns, lists and maps": async () => {
    const names = ["File", "Upload", "Object", "Photo"];
    for (const className of names) {
      const object = new Parse.Object(className);
      const file = new Parse.File("one.txt", { base64: "b25l" });
      object.set("file", file);
      await object.save();
      assert(file.url(), "a file that was not saved is saved with its object");
      object.set("list", [file]);
      object.set("map", { inner: file });
      await object.save();
      const found = await new Parse.Query(className).get(object.id);
      for (const one of [found.get("file"), found.get("list")[0], found.get("map").inner]) {
        assert.strictEqual(one.name(), file.name());
        assert.strictEqual((await get(one.url())).body.toString(), "one");
      }
    }
  },

  "a user saves a file, and a wrong session is refused": async () => {
    const name = `user-${crypto.randomBytes(6).toString("hex")}`;
    const user = await Parse.User.signUp(name, "a password", {});
    const sessionToken = user.getSessionToken();
    const file = await new Parse.File("mine.txt", { base64: "bWluZQ==" }).save({ sessionToken });
    assert.strictEqual((await get(file.url())).body.toString(), "mine");
    await refused(209, new Parse.File("x.txt", { base64: "eA==" }).save({ sessionToken: "r:no" }));
  },

  "a bad name and a blocked extension are refused with their codes": async () => {
    await refused(122, new Parse.File("bad*name.txt", { base64: "eA==" }).save());
    await refused(130, new Parse.File("page.html", { base64: "eA==" }).save());
  },

  "bytes that are not there are not found": async () => {
    const file = await new Parse.File("a.txt", { base64: "eA==" }).save();
    const url = file.url().replace(/[0-9a-f]{32}_a\.txt/, `${"0".repeat(32)}_a.txt`);
    const { status } = await get(url);
    assert(status === 404 || status === 403, `${status}`);
  },
};

// The SDK 2.2.1 by itself does not encode names, and Node refuses to send them.
const casesOfEncodedNames = {
  "keeps a name of another script": async () => {
    const file = await new Parse.File("报告 2026.txt", { base64: "aGk=" }).save();
    assert(/_报告 2026\.txt$/.test(file.name()), file.name());
    assert.strictEqual((await get(file.url())).body.toString(), "hi");
  },
};

const casesOfNew = {
  "saves a Buffer, a Uint8Array and a stream": async () => {
    for (const data of [bytes, new Uint8Array(bytes), Readable.from(chunksOf(bytes))]) {
      const file = await new Parse.File("some.bin", data, "application/x-own").save();
      await isReadBack(file, bytes);
    }
  },

  "getData reads what was saved": async () => {
    const { name, url } = (await new Parse.File("data.bin", bytes).save()).toJSON();
    const file = Parse.File.fromJSON({ __type: "File", name, url });
    const loaded = [];
    const data = await file.getData({ progress: (_part, done) => loaded.push(done) });
    assert(Buffer.from(data, "base64").equals(bytes));
    assert.strictEqual(loaded[loaded.length - 1], bytes.length);
  },

  "progress is told": async () => {
    const told = [];
    const file = new Parse.File("progress.bin", crypto.randomBytes(6000001));
    await file.save({ progress: (part, done, total) => told.push([part, done, total]) });
    assert(told.length > 0);
    if (!plug) return;
    // The SDK by itself reports the answer's bytes.
    assert(told.length > 3, `${told.length} reports`);
    for (let index = 1; index < told.length; index += 1)
      assert(told[index][1] >= told[index - 1][1]);
    assert.deepStrictEqual(told[told.length - 1], [1, 6000001, 6000001]);
  },

  "metadata, tags and a directory are kept": async () => {
    const file = new Parse.File("described.txt", { base64: "eA==" }, "text/plain");
    file.setMetadata({ createdBy: "some-id", Nested: { a: 1 } });
    file.setTags({ groupId: "some" });
    file.setDirectory("in/here");
    await file.save({ useMasterKey: true });
    assert(/^in\/here\/[0-9a-f]{32}_described\.txt$/.test(file.name()), file.name());
    assert.strictEqual((await get(file.url())).body.toString(), "x");
    const url = `${settings.filesURL}/files/${settings.appId}/metadata/${file.name()}`;
    const facts = JSON.parse((await get(url)).body.toString());
    assert.deepStrictEqual(facts.metadata, { createdBy: "some-id", Nested: { a: 1 } });
    assert.deepStrictEqual(facts.tags, { groupId: "some" });
  },

  "a file that was destroyed is gone": async () => {
    const file = await new Parse.File("gone.txt", { base64: "eA==" }).save();
    const url = file.url();
    await file.destroy();
    const { status } = await get(url);
    assert(status === 404 || status === 403, `${status}`);
  },
};

async function isReadBack(file, wanted) {
  const answer = await get(file.url());
  assert.strictEqual(answer.status, 200);
  assert.strictEqual(answer.headers["content-length"], `${wanted.length}`);
  assert(answer.body.equals(wanted), "other bytes");
}

async function refused(code, saving) {
  const error = await saving.then(
    () => undefined,
    (reason) => reason,
  );
  assert(error, `saved, where code ${code} was to be told`);
  assert.strictEqual(error.code, code, `${error.code} ${error.message}`);
}

function* chunksOf(whole) {
  for (let at = 0; at < whole.length; at += 50000) yield whole.slice(at, at + 50000);
}

function get(url, headers) {
  return new Promise((resolve, reject) => {
    const request = http.get(url, { headers, agent: false }, (response) => {
      const chunks = [];
      response.on("data", (chunk) => chunks.push(chunk));
      response.on("error", reject);
      response.on("end", () => {
        const { statusCode: status, headers: fields } = response;
        resolve({ status, headers: fields, body: Buffer.concat(chunks) });
      });
    });
    request.on("error", reject);
  });
}

async function main() {
  const encodes = isNew || plug;
  const all = Object.assign({}, cases, encodes ? casesOfEncodedNames : {}, isNew ? casesOfNew : {});
  for (const name of Object.keys(all)) {
    let error;
    try {
      await all[name]();
    } catch (reason) {
      error = `${reason.stack || JSON.stringify(reason)} ${reason.code || ""}`;
    }
    console.log(JSON.stringify({ name, error }));
  }
  console.log(JSON.stringify({ ran: Object.keys(all).length, node: process.version }));
  process.exit(0);
}

void main();
