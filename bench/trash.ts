// How long does it take to bring back 100,000 objects that a mistake deleted?

import { mkdirSync } from "node:fs";
import type { Bench, Question, Row } from "./comparison.ts";
import { loadedKey, loadObjects } from "./load-objects.ts";
import { digits, spread } from "./statistics.ts";

const bucket = "trash";
const batch = 1000;
const secondsMax = 10;

export const trash: Question = { name: "trash", peer: undefined, prepare, ask };

const countOf = ({ quick }: { readonly quick: boolean }) => (quick ? 20_000 : 100_000);

async function prepare(folder: string, options: { readonly quick: boolean }): Promise<string> {
  mkdirSync(folder, { recursive: true, mode: 0o700 });
  const count = countOf(options);
  const trashMs = 7 * 86_400_000;
  await loadObjects(`${folder}/metadata.sqlite`, { bucket, count, trashMs });
  return `trash: ${count} objects were committed before the start; no bytes stand behind them`;
}

async function ask(bench: Bench): Promise<readonly Row[]> {
  const count = countOf(bench);
  const deletes: number[] = [];
  const restores: number[] = [];
  for (let round = 0; round <= bench.rounds; round += 1) {
    const deleted = await timed(() => deleteAll(bench, count));
    const restored = await timed(() => restoreAll(bench, count));
    // The first round warms up.
    if (round === 0) continue;
    deletes.push(deleted);
    restores.push(restored);
  }
  const none = { peer: "–", ratio: "–" };
  const slowest = Math.max(...restores);
  const verdict = slowest <= secondsMax ? "met" : "missed";
  const many = count.toLocaleString("en");
  return [
    { what: `${many} deleted, 1,000 a request, s`, roma: spread(deletes), ...none, aim: "" },
    {
      what: "… restored with one call, s",
      roma: spread(restores),
      ...none,
      aim: `≤ ${secondsMax} (slowest ${digits(slowest)}): ${verdict}`,
    },
  ];
}

async function timed(work: () => Promise<void>): Promise<number> {
  const startedAt = performance.now();
  await work();
  return (performance.now() - startedAt) / 1000;
}

async function deleteAll(bench: Bench, count: number): Promise<void> {
  for (let start = 0; start < count; start += batch) {
    const keys = Array.from({ length: batch }, (_, index) => loadedKey(start + index));
    const { deleted } = await post(bench, `/v1/objects/${bucket}?delete`, { keys });
    if (!Array.isArray(deleted) || deleted.length !== batch) throw new Error("not all was deleted");
  }
}

async function restoreAll(bench: Bench, count: number): Promise<void> {
  let restored = 0;
  let cursor: unknown;
  do {
    const body = typeof cursor === "string" ? { cursor } : {};
    const answer = await post(bench, `/v1/trash/${bucket}/restore`, body);
    restored += Number(answer.restored);
    cursor = answer.cursor;
  } while (cursor !== null);
  if (restored !== count) throw new Error(`${restored} of ${count} were restored`);
}

async function post(bench: Bench, path: string, body: object): Promise<Record<string, unknown>> {
  const { host, port, headers = "" } = bench.roma.target;
  const [, authorization = ""] = /^Authorization: (.*)\r$/m.exec(headers) ?? [];
  const answer = await fetch(`http://${host}:${port}${path}`, {
    method: "POST",
    headers: { authorization, "content-type": "application/json" },
    body: JSON.stringify(body),
  });
  if (answer.status !== 200) throw new Error(`${answer.status} ${await answer.text()}`);
  return Object.assign({}, await answer.json());
}
