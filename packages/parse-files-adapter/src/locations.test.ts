import assert from "node:assert/strict";
import { test } from "node:test";
import { verifyGrant } from "@roma/sdk/server";
import { locationOf } from "./locations.ts";
import { parseOptions } from "./options.ts";

const key = "reader.a-secret-of-enough-length";
const at = new Date("2026-03-04T05:06:07Z");
const hour = 3600;

test("a signed URL reads the one file, and for half of its lifetime at least", () => {
  const options = parseOptions(
    { key, bucket: "b", prefix: "p/", urlLifetimeSeconds: 2 * hour },
    {},
  );
  for (let minutes = 0; minutes < 300; minutes += 7) {
    const now = new Date(at.getTime() + minutes * 60_000);
    const url = new URL(locationOf(options, "dir/a b.png", now));
    assert.equal(url.pathname, "/v1/objects/b/p/dir/a%20b.png");
    const grant = url.searchParams.get("grant") ?? "";
    const claims = verifyGrant(grant, { keyId: "reader", secret: options.credential.secret, now });
    assert.equal(claims.bucket, "b");
    assert.equal(claims.key, "p/dir/a b.png");
    assert.deepEqual(claims.actions, ["object:read"]);
    assert.deepEqual(claims.methods, ["GET", "HEAD"]);
    const left = claims.expiresAt.getTime() / 1000 - now.getTime() / 1000;
    assert.ok(left >= hour && left <= 2 * hour, `${left} s are left`);
  }
});

test("the URL stays the same for half of the lifetime, so that caches find it again", () => {
  const options = parseOptions({ key, urlLifetimeSeconds: 2 * hour }, {});
  const urls = new Set<string>();
  for (let minutes = 0; minutes < 10 * 60; minutes += 1) {
    urls.add(locationOf(options, "a.png", new Date(at.getTime() + minutes * 60_000)));
  }
  assert.ok(urls.size <= 11, `${urls.size} URLs in 10 hours`);
});

test("names are encoded so that they are read back as they are", () => {
  const options = parseOptions({ key, signed: false, baseUrl: "https://cdn.example.com/x/" }, {});
  const names = ["报告.pdf", "a b+c%20d.txt", "R&D?#.pdf", "👍🏽.gif"];
  for (const name of names) {
    const url = locationOf(options, name, at);
    assert.match(url, /^https:\/\/cdn\.example\.com\/x\/[\x21-\x7e]+$/);
    assert.equal(decodeURIComponent(new URL(url).pathname.slice("/x/".length)), name);
    assert.equal(new URL(url).search, "");
  }
});

test("a location costs microseconds", () => {
  const options = parseOptions({ key }, {});
  const count = 2_000;
  // Of this process alone, whatever else the machine does.
  const before = process.cpuUsage();
  for (let index = 0; index < count; index += 1) locationOf(options, `${index}.png`, at);
  const { user, system } = process.cpuUsage(before);
  const each = (user + system) / count;
  assert.ok(each < 1000, `${each} µs each`);
});
