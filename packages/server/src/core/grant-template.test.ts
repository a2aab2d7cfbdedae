import assert from "node:assert/strict";
import { test } from "node:test";
import {
  fitsTemplate,
  isCreateOnly,
  keyName,
  keyOfTemplate,
  templateHead,
  templateProblem,
} from "./grant-template.ts";

const now = new Date("2026-01-31T23:59:59.999Z");
const uuid = /^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/;

test("each placeholder stands for what it says, in UTC", () => {
  const cases: readonly [string, string | undefined, string][] = [
    ["a/{date}/b", undefined, "a/2026-01-31/b"],
    ["{year}/{month}-{day}", undefined, "2026/01-31"],
    ["x{ext}", "IMG.JPG", "x.jpg"],
    ["x{ext}", "archive.tar.gz", "x.gz"],
    ["x{ext}", "C:\\photos\\cat.Png", "x.png"],
    ["x{ext}", undefined, "x"],
    ["x{ext}", "README", "x"],
    ["x{ext}", ".htaccess", "x"],
    ["x{ext}", "a.b/c", "x"],
    ["x{ext}", "a.é", "x"],
    ["x{ext}", "a.php?x", "x"],
    ["x{ext}", `a.${"z".repeat(17)}`, "x"],
    ["d/{filename}", "../../etc/passwd", "d/passwd"],
    ["d/{filename}", "日本 1.png", "d/日本 1.png"],
    ["d/{filename}", "a%2Fb?c#d<e>.txt", "d/a_2Fb_c_d_e_.txt"],
    ["d/{filename}", "e\u0301\u202egpj.exe", "d/égpj.exe"],
    ["d/{filename}", "..", "d/file"],
    ["d/{filename}", undefined, "d/file"],
    ["no placeholder", "a.b", "no placeholder"],
  ];
  for (const [template, filename, key] of cases) {
    assert.equal(keyOfTemplate(template, { filename, now }), key, `${template} of ${filename}`);
  }
  const made = keyOfTemplate("{uuid}", { now });
  assert.match(made, uuid);
  assert.notEqual(keyOfTemplate("{uuid}", { now }), made);
});

test("a file's name is cut at 200 bytes, between characters, and keeps its ending", () => {
  const name = keyName(`${"日".repeat(100)}.JPEG`);
  assert.equal(name, `${"日".repeat(65)}.JPEG`);
  assert.equal(Buffer.byteLength(keyName("x".repeat(500))), 200);
});

test("what a template makes fits it, and nothing else does", () => {
  const template = "u+1/{date}/{uuid}{ext}";
  const made = keyOfTemplate(template, { filename: "a.jpg", now });
  const id = made.slice("u+1/2026-01-31/".length, -".jpg".length);
  for (const key of [made, `u+1/2025-12-01/${id}`, `u+1/2026-01-31/${id}.tar`]) {
    assert.equal(fitsTemplate(template, key), true, key);
  }
  for (const key of [
    ...["", id, `u1/2026-01-31/${id}.jpg`, `uu1/2026-01-31/${id}.jpg`, `${made}/x`, `x${made}`],
    ...[`u+1/2026-13-01/${id}`, `u+1/2026-01-31/${id.toUpperCase()}`, `u+1/2026-01-31/${id}.JPG`],
    ...[`u+1/2026-01-31/${id}.j/g`, `u+1/2026-01-31/x${id}`, `${made}\n`, `u+1/2026-01-31/.jpg`],
  ]) {
    assert.equal(fitsTemplate(template, key), false, key);
  }
  assert.equal(fitsTemplate("d/{filename}", "d/日本 1.png"), true);
  for (const key of ["d/", "d/a/b", "d/a\\b", "d/a\u202eb", `d/${"x".repeat(256)}`]) {
    assert.equal(fitsTemplate("d/{filename}", key), false, key);
  }
  assert.equal(fitsTemplate("a.b", "axb"), false);
});

test("what is no template is told with its fault", () => {
  const cases: readonly [string, string, RegExp][] = [
    ["{name}", "", /unknown placeholder \{name\}/],
    ["{constructor}", "", /unknown placeholder/],
    ["{}", "", /unknown placeholder/],
    ["a{date", "", /brace/],
    ["a}", "", /brace/],
    ["{{date}}", "", /brace/],
    ["{filename}/{filename}", "", /\{filename\} twice/],
    ["{ext}{uuid}{ext}", "", /\{ext\} twice/],
    ["{day}".repeat(17), "", /more than 16/],
    ["x".repeat(513), "", /longer than 512/],
    ["", "", /makes no key/],
    ["a/../{uuid}", "", /makes no key/],
    ["a\0{uuid}", "", /makes no key/],
    ["{uuid}", "in/", /within prefix/],
    ["in{uuid}", "in/", /within prefix/],
    ["{date}/x", "2026", /within prefix/],
  ];
  for (const [template, prefix, why] of cases) {
    assert.match(String(templateProblem(template, prefix)), why, template);
  }
  assert.equal(templateProblem("in/{date}/{uuid}{ext}", "in/"), undefined);
});

test("with a UUID nothing is replaced; the head is what every key begins with", () => {
  assert.equal(isCreateOnly("a/{uuid}"), true);
  assert.equal(isCreateOnly("a/{filename}"), false);
  assert.equal(templateHead("a/{uuid}"), "a/");
  assert.equal(templateHead("{uuid}"), "");
  assert.equal(templateHead("a"), "a");
});
