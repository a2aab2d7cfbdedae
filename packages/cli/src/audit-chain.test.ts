import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { test } from "node:test";
import { verifyChain } from "./audit-chain.ts";

/** An export of so many records. */
function exported(count: number): string[] {
  let previous = "0".repeat(64);
  return Array.from({ length: count }, (_, index) => {
    const text = JSON.stringify({ v: 1, sequence: index + 1, action: `a "${index}"\u2028`, n: {} });
    const bytes = Buffer.concat([Buffer.from(previous, "hex"), Buffer.from(text)]);
    const hash = createHash("sha256").update(bytes).digest("hex");
    const line = `${text.slice(0, -1)},"previous":"${previous}","hash":"${hash}"}`;
    previous = hash;
    return line;
  });
}

async function problemsOf(lines: readonly string[], expected?: { sequence: number; hash: string }) {
  const given = async function* () {
    yield* lines;
  };
  const { problems } = await verifyChain(given(), { expected });
  return problems.map(({ line, problem }) => `${line}: ${problem}`);
}

test("an export is whole, from its beginning or from any record on", async () => {
  const lines = exported(5);
  assert.deepEqual(await problemsOf(lines), []);
  assert.deepEqual(await problemsOf(lines.slice(2)), []);
  assert.deepEqual(await problemsOf([]), []);
});

test("removed, changed, swapped and foreign lines are found", async () => {
  const lines = exported(6);
  const [one = "", two = "", three = "", four = ""] = lines;
  const gap = "record 4 follows on 2: lines are missing, or out of order";
  assert.deepEqual(await problemsOf(lines.toSpliced(2, 1)), [`3: ${gap}`]);
  const changed = lines.with(2, three.replace('a \\"2', 'a \\"9'));
  assert.deepEqual(await problemsOf(changed), ["3: record 3 was changed"]);
  assert.ok((await problemsOf([one, three, two, four])).length > 0);
  assert.deepEqual(await problemsOf([one, "{}", two]), ["2: is not a record of an audit log"]);
  const other =
    exported(3)
      .at(2)
      ?.replace(/"n":\{\}/, '"n":{"x":1}') ?? "";
  assert.deepEqual(await problemsOf([one, two, other]), ["3: record 3 was changed"]);
});

test("an end that was cut off is found by who kept a head", async () => {
  const lines = exported(6);
  const hash = /"hash":"([0-9a-f]+)"/.exec(lines[4] ?? "")?.[1] ?? "";
  assert.deepEqual(await problemsOf(lines, { sequence: 5, hash }), []);
  const cut = await problemsOf(lines.slice(0, 3), { sequence: 5, hash });
  assert.deepEqual(cut, ["3: record 5, which is kept, is missing"]);
  const rewritten = await problemsOf(lines, { sequence: 5, hash: "f".repeat(64) });
  assert.deepEqual(rewritten, ["5: record 5 is not the one with the hash that is kept"]);
});
