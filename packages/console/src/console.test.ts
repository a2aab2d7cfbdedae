/** The console's pages: what a strict Content-Security-Policy and screen readers need is there. */
import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { test } from "node:test";
import { consoleFolder } from "./index.ts";

const read = (name: string) => readFile(new URL(name, consoleFolder), "utf8");

test("the page has no inline script, style or handler, and loads nothing from elsewhere", async () => {
  const html = await read("index.html");
  assert.doesNotMatch(html, /<style|\sstyle=|\son[a-z]+=|https?:|<script(?![^>]*\ssrc=)/i);
  const script = await read("app.js");
  assert.doesNotMatch(script, /innerHTML|outerHTML|insertAdjacentHTML|eval\(|https?:\/\//);
});

test("each element that the script asks for by id is in the page, once", async () => {
  const html = await read("index.html");
  const ids = [...html.matchAll(/\sid="([^"]+)"/g)].map((match) => match[1]);
  assert.equal(new Set(ids).size, ids.length);
  const asked = [...(await read("app.js")).matchAll(/element\("([^"]+)"\)/g)];
  assert.ok(asked.length > 10);
  for (const [, id] of asked) assert.ok(ids.includes(id), `${id} is not in the page`);
});

test("each field has a label, and the status is announced", async () => {
  const html = await read("index.html");
  for (const [, before] of html.matchAll(/([\s\S]{0,80})<input/g))
    assert.match(before ?? "", /<label>/);
  assert.match(html, /aria-live="polite"/);
});
