/** The runbook has a section for every alert that can reach somebody, and none for others. */
import assert from "node:assert/strict";
import { existsSync } from "node:fs";
import { readFile } from "node:fs/promises";
import { resolve } from "node:path";
import { test } from "node:test";
import { alertDefinitions } from "../../packages/server/src/operations/alerts/definitions.ts";

const root = resolve(import.meta.dirname, "../..");

test("docs/operations.md says of each alert what it means and what to do", async () => {
  const runbook = await readFile(resolve(root, "docs/operations.md"), "utf8");
  const rules = await readFile(resolve(root, "deploy/prometheus/roma-alerts.yml"), "utf8");
  const ofRules = [...rules.matchAll(/- alert: (\w+)/g)].map(([, name = ""]) => name);
  const names = [...Object.keys(alertDefinitions), ...ofRules].sort();
  const sections = new Map(
    runbook
      .split(/^### /m)
      .slice(1)
      .map((section) => {
        const [name = "", ...text] = section.split("\n");
        return [name, text.join("\n").split(/^## /m)[0] ?? ""];
      }),
  );
  const written = [...sections.keys()]
    .filter((name) => /^(Roma[A-Z]\w+|[a-z_]+)$/.test(name))
    .sort();
  assert.deepEqual(written, names);
  for (const name of names) assert.ok((sections.get(name) ?? "").trim().length > 20, name);
  const targets = [...runbook.matchAll(/\]\(#([\w-]+)\)/g)].map(([, target = ""]) => target);
  const headings = new Set(
    [...runbook.matchAll(/^#+ (.*)$/gm)].map(([, text = ""]) =>
      text
        .toLowerCase()
        .replaceAll(/[^\w -]/g, "")
        .replaceAll(" ", "-"),
    ),
  );
  for (const target of targets) assert.ok(headings.has(target), `#${target}`);
});

test("each incident of docs/incidents.md has a command, and what it runs is there", async () => {
  const text = await readFile(resolve(root, "docs/incidents.md"), "utf8");
  const rows = (text.split("\n## ")[0] ?? "")
    .split("\n")
    .filter((line) => /^\| (?!What|-)/.test(line));
  assert.ok(rows.length >= 13);
  for (const row of rows) {
    const paths = [...row.matchAll(/`npm test -- ([\w./-]+)`/g)].map(([, path = ""]) => path);
    assert.ok(paths.length > 0, row);
    for (const path of paths) assert.ok(existsSync(resolve(root, path)), path);
  }
});
