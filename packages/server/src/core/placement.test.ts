import assert from "node:assert/strict";
import { test } from "node:test";
import { placeObject, possiblePlaces } from "./placement.ts";

const rules = [
  { prefix: "tmp/", storage: "scratch", fallback: "main" },
  { contentType: "image/*", maxBytes: 100, storage: "small-images" },
  { minBytes: 1000, storage: "large" },
];

const choice = (...failing: readonly string[]) => ({
  defaultId: "main",
  isReady: (id: string) => !failing.includes(id),
});

test("the first rule that fits names the storage, else the default", () => {
  const at = (key: string, contentType: string, length?: number) =>
    placeObject(rules, { key, contentType, ...(length === undefined ? {} : { length }) }, choice());
  assert.equal(at("tmp/a", "image/png", 10), "scratch");
  assert.equal(at("a", "image/png", 100), "small-images");
  assert.equal(at("a", "image/png", 101), "main");
  assert.equal(at("a", "text/plain", 1000), "large");
  assert.equal(at("a", "text/plain"), "main", "rules with sizes do not fit an unknown length");
  assert.equal(placeObject("other", { key: "a", contentType: "x/y" }, choice()), "other");
});

test("the fallback is taken exactly while the first choice is not ready and the fallback is", () => {
  const at = (key: string, ...failing: readonly string[]) =>
    placeObject(rules, { key, contentType: "image/png", length: 10 }, choice(...failing));
  assert.equal(at("tmp/a"), "scratch");
  assert.equal(at("tmp/a", "scratch"), "main");
  assert.equal(at("tmp/a", "main"), "scratch");
  assert.equal(at("tmp/a", "scratch", "main"), "scratch");
  assert.equal(at("a", "small-images"), "small-images", "a rule without a fallback has none");
});

test("as long as nobody knows the content type, every rule that may fit counts, up to the first that does", () => {
  const rules = [
    { prefix: "video/", storage: "far" },
    { contentType: "image/*", storage: "images", fallback: "spare" },
    { maxBytes: 10, storage: "small" },
    { storage: "rest" },
    { storage: "never" },
  ];
  const places = (key: string, length?: number) =>
    possiblePlaces(rules, { key, ...(length === undefined ? {} : { length }) }, "local");
  assert.deepEqual(places("video/a"), ["far"]);
  assert.deepEqual(places("a", 5), ["images", "spare", "small"]);
  assert.deepEqual(places("a"), ["images", "spare", "rest"]);
  assert.deepEqual(possiblePlaces([], { key: "a" }, "local"), ["local"]);
  assert.deepEqual(possiblePlaces("one", { key: "a" }, "local"), ["one"]);
});
