/** The keys of OSS: where they are looked for, for how long, and what is no key. */
import assert from "node:assert/strict";
import { generateKeyPairSync } from "node:crypto";
import { once } from "node:events";
import { createServer, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { type TestContext, test } from "node:test";
import { isOperationalError } from "../../core/errors.ts";
import { silentLog } from "../../core/ports/log.ts";
import { OssKeys } from "./oss-keys.ts";

type Answer = (response: ServerResponse) => void;

async function start(t: TestContext, answers: Readonly<Record<string, Answer>>, msMax = 60_000) {
  const requests: string[] = [];
  const server = createServer(({ url = "" }, response) => {
    requests.push(url);
    answers[url]?.(response);
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const origin = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  let nowMs = 0;
  const clock = { now: () => new Date(), monotonicMs: () => nowMs };
  const keys = new OssKeys({ clock, log: silentLog, origin, msMax });
  t.after(async () => {
    await keys[Symbol.asyncDispose]();
    server.closeAllConnections();
    server.close();
  });
  const keyAt = (path: string, base = origin) =>
    keys.keyAt(Buffer.from(base + path).toString("base64"));
  const advance = (ms: number): void => {
    nowMs += ms;
  };
  return { requests, keyAt, origin, advance, keys };
}

const rsa = generateKeyPairSync("rsa", { modulusLength: 512 }).publicKey;
const pem = (key = rsa): string => key.export({ type: "spki", format: "pem" }).toString();
const isUnavailable = (error: unknown): boolean => isOperationalError(error, "unavailable");

test("a key is fetched once an hour, also for many at once, and from our origin whatever the scheme", async (t) => {
  const answers = { "/a.pem": (response: ServerResponse) => void response.end(pem()) };
  const { keyAt, requests, advance, origin } = await start(t, answers);
  const all = await Promise.all([keyAt("/a.pem"), keyAt("/a.pem"), keyAt("/b/../a.pem")]);
  for (const key of all) assert(key?.equals(rsa));
  assert((await keyAt("/a.pem", origin.replace("http:", "https:")))?.equals(rsa));
  assert.deepEqual(requests, ["/a.pem"]);
  advance(3_600_001);
  assert((await keyAt("/a.pem"))?.equals(rsa));
  assert.deepEqual(requests, ["/a.pem", "/a.pem"]);
});

test("what is no key is unavailable and asked for again", async (t) => {
  const elliptic = generateKeyPairSync("ec", { namedCurve: "P-256" }).publicKey;
  const { keyAt, requests } = await start(t, {
    "/404": (response) => void response.writeHead(404).end(pem()),
    "/moved": (response) => void response.writeHead(302, { location: "/404" }).end(),
    "/text": (response) => void response.end("no key"),
    "/ec": (response) => void response.end(pem(elliptic)),
    "/large": (response) => void response.end(pem() + "\n".repeat(17_000)),
  });
  const paths = ["/404", "/moved", "/text", "/ec", "/large"];
  for (const path of paths) await assert.rejects(keyAt(path), isUnavailable, path);
  await assert.rejects(keyAt("/text"), isUnavailable);
  assert.deepEqual(requests, [...paths, "/text"]);
});

test("what does not come in time is unavailable", async (t) => {
  const answers: Readonly<Record<string, Answer>> = {
    "/hangs": () => undefined,
    "/trickles": (response) => void response.writeHead(200).write(pem()),
  };
  const { keyAt } = await start(t, answers, 300);
  for (const path of Object.keys(answers)) await assert.rejects(keyAt(path), isUnavailable, path);
});

test("by itself only OSS's host is asked", async (t) => {
  const clock = { now: () => new Date(), monotonicMs: () => 0 };
  const keys = new OssKeys({ clock, log: silentLog });
  t.after(() => keys[Symbol.asyncDispose]());
  const others = [
    "http://gosspublic.alicdn.com.evil.test/a.pem",
    "http://evilgosspublic.alicdn.com/a.pem",
    "http://gosspublic.alicdn.com@evil.test/a.pem",
    "http://evil.test/gosspublic.alicdn.com/a.pem",
    "http://gosspublic.alicdn.com:8080/a.pem",
    "http://gosspublic.alicdn.com./a.pem",
    "//gosspublic.alicdn.com/a.pem",
    "ftp://gosspublic.alicdn.com/a.pem",
    "https://gosspublic.alicdn.com",
    "https://gosspublic.alicdn.com/a.pem\nx",
    "",
  ];
  for (const url of others) {
    assert.equal(await keys.keyAt(Buffer.from(url).toString("base64")), undefined, url);
  }
  assert.equal(await keys.keyAt("https://gosspublic.alicdn.com/a.pem"), undefined, "not base64");
  assert.equal(await keys.keyAt("A".repeat(2000)), undefined, "too long");
});
