/** Requests on one upload at the same time: one at a time writes it, whatever its end comes from. */
import { strict as assert } from "node:assert";
import { randomInt } from "node:crypto";
import { describe, type TestContext, test } from "node:test";
import { setTimeout as delay } from "node:timers/promises";
import {
  assertNothingLeftOver,
  listLeftOvers,
  readUploadRows,
  readUsage,
} from "../harness/data-folder.ts";
import { type Answer, begin, get, send } from "../harness/http-client.ts";
import { eventually } from "../harness/process-usage.ts";
import { type ServerProcess, startServer } from "../harness/server-process.ts";
import { bytesFields, createTus, deleteTus, headTus, offsetOf, patchTus } from "./tus-wire.ts";

const length = 600_000;
const first = 200_000;
const rounds = 12;

const flags = [
  ...[
    "--blob-grace",
    "0 ms",
    "--trash-keep",
    "0 s",
    "--sweeper-interval",
    "200 ms",
    "--sweeper-age",
    "0 ms",
  ],
  ...["--uploads-tidy-interval", "100 ms"],
];
const start = (t: TestContext): Promise<ServerProcess> => startServer(t, { flags });

const filled = (letter: string, count: number): Buffer => Buffer.alloc(count, letter);

/** An upload of which the first bytes are there. */
async function begun(server: ServerProcess, key: string): Promise<string> {
  return await withFirst(server, await createTus(server, { length, key }));
}

async function withFirst(server: ServerProcess, path: string): Promise<string> {
  assert.equal((await patchTus(server, path, 0, filled("0", first))).status, 204);
  return path;
}

/** A `PATCH` whose body is the caller's to write; the server cuts it, or answers. */
function openPatch(server: ServerProcess, path: string, offset: number, bodyLength: number) {
  const headers = {
    ...bytesFields,
    "upload-offset": `${offset}`,
    "content-length": `${bodyLength}`,
  };
  const { request, answer } = begin(server, "PATCH", path, { headers });
  answer.catch(() => undefined);
  return { request, status: answer.then((got) => got.status).catch(() => 0) };
}

/** A request writes an upload. */
async function held(server: ServerProcess): Promise<void> {
  await eventually("it is being received", () =>
    readUploadRows(server.data).some(({ isHeld }) => isHeld),
  );
}

async function assertClean(server: ServerProcess): Promise<void> {
  await eventually(
    "nothing is left of uploads",
    async () => (await listLeftOvers(server.data)).length === 0,
  );
  await eventually("no garbage is left", async () => {
    return await assertNothingLeftOver(server.data).then(
      () => true,
      () => false,
    );
  });
  assert.equal(readUsage(server.data)[0]?.reservedBytes, 0, "nothing is reserved");
}

describe("requests on one upload at once", { concurrency: 2 }, () => {
  test("of two appends one wins, the other is told 409 or 423, and no bytes mix", async (t) => {
    const server = await start(t);
    for (let round = 0; round < rounds; round += 1) {
      const key = `two-${round}`;
      const path = await begun(server, key);
      // Not the end in half of the rounds.
      const count = round % 2 === 0 ? length - first : 150_000;
      const answers = await Promise.all(
        ["A", "B"].map((letter) => patchTus(server, path, first, filled(letter, count))),
      );
      const statuses = answers.map(({ status }) => status).sort();
      assert.equal(statuses[0], 204, statuses.join());
      assert.ok(statuses[1] === 409 || statuses[1] === 423, statuses.join());
      const winner = answers[0]?.status === 204 ? "A" : "B";
      const offset = first + count;
      assert.equal(await offsetOf(server, path), offset);
      if (offset < length) {
        const rest = await patchTus(server, path, offset, filled("9", length - offset));
        assert.equal(rest.status, 204);
      }
      const expected = [filled("0", first), filled(winner, count), filled("9", length - offset)];
      assert.ok((await get(server, key)).body.equals(Buffer.concat(expected)), key);
    }
    await assertClean(server);
  });

  test("a second append does not disturb a lively one", async (t) => {
    const server = await start(t);
    const pieces = 40;
    const piece = filled("A", (length - first) / pieces);
    // A machine that halts for half a second makes the lively client a silent one, which is told to yield: the other
    // appends then, or comes too late for the bytes that it had sent. Then once more.
    for (let attempt = 1; ; attempt += 1) {
      const key = `lively-${attempt}`;
      const path = await begun(server, key);
      const lively = openPatch(server, path, first, length - first);
      const sending = (async () => {
        for (let index = 0; index < pieces; index += 1) {
          lively.request.write(piece);
          await delay(75);
        }
        lively.request.end();
      })();
      await held(server);
      const other = await patchTus(server, path, first, filled("B", 1_000));
      await sending;
      const status = await lively.status;
      if ((other.status === 204 || status !== 204) && attempt < 6) continue;
      assert.ok(other.status === 423 || other.status === 409, `${other.status}`);
      assert.equal(status, 204);
      await assertWholeOrAbsent(server, key, status);
      break;
    }
  });

  test("HEAD takes over from a silent client, whose bytes are kept", async (t) => {
    const server = await start(t);
    const path = await begun(server, "silent");
    const silent = openPatch(server, path, first, length - first);
    silent.request.write(filled("A", 100_000));
    await held(server);
    await delay(200);
    const since = performance.now();
    const { status, headers } = await headTus(server, path);
    const ms = performance.now() - since;
    assert.equal(status, 200);
    const offset = Number(headers["upload-offset"]);
    assert.ok(offset > first && offset <= first + 100_000, `${offset}`);
    // Whoever is not asked to yield goes on for ever.
    assert.ok(ms < 20_000, `it took ${ms} ms`);
    assert.ok([0, 423].includes(await silent.status), "the silent one is told, or cut");
    silent.request.destroy();
    const rest = await patchTus(server, path, offset, filled("B", length - offset));
    assert.equal(rest.status, 204);
    const expected = [
      filled("0", first),
      filled("A", offset - first),
      filled("B", length - offset),
    ];
    assert.ok((await get(server, "silent")).body.equals(Buffer.concat(expected)));
    await assertClean(server);
  });

  test("an append and a termination at once: the object is whole or absent, the upload gone", async (t) => {
    const server = await start(t);
    const seen = new Set<number>();
    for (let round = 0; round < rounds * 2; round += 1) {
      const key = `ended-${round}`;
      const path = await begun(server, key);
      const append = (async () => {
        await delay(randomInt(3));
        return await patchTus(server, path, first, filled("A", length - first));
      })();
      const termination = (async () => {
        await delay(randomInt(20));
        return await deleteTus(server, path);
      })();
      const [{ status }, ended] = await Promise.all([append, termination]);
      seen.add(status);
      assert.equal(ended.status, 204);
      assert.equal(await offsetOf(server, path), undefined);
      await assertWholeOrAbsent(server, key, status);
    }
    t.diagnostic(`appends were answered ${[...seen].join(", ")}`);
    await assertClean(server);
  });

  test("a termination ends an append that is under way, with all its bytes", async (t) => {
    const server = await start(t);
    const path = await begun(server, "cut");
    const running = openPatch(server, path, first, length - first);
    running.request.write(filled("A", 100_000));
    await held(server);
    assert.equal((await deleteTus(server, path)).status, 204);
    const status = await running.status;
    assert.ok([0, 404, 410, 423].includes(status), `${status}`);
    running.request.destroy();
    assert.equal(await offsetOf(server, path), undefined);
    assert.equal((await get(server, "cut")).status, 404);
    await assertClean(server);
  });

  test("an append that lasts longer than the expiry is not cut by it", async (t) => {
    const server = await start(t);
    for (let attempt = 1; ; attempt += 1) {
      const key = `long-${attempt}`;
      await expireAfter(server, "1 h");
      const path = await createTus(server, { length, key });
      await expireAfter(server, "1 s");
      await withFirst(server, path);
      const long = openPatch(server, path, first, length - first);
      long.request.write(filled("A", (length - first) / 8));
      // A machine that halts for a second has it expire before it began: then once more.
      const early = await Promise.race([held(server).then(() => undefined), long.status]);
      if (early !== undefined && attempt < 5) {
        assert.ok([404, 410].includes(early), `${early}`);
        long.request.destroy();
        continue;
      }
      for (let index = 1; index < 8; index += 1) {
        await delay(400);
        long.request.write(filled("A", (length - first) / 8));
      }
      await delay(400);
      long.request.end();
      assert.equal(await long.status, 204);
      await assertWholeOrAbsent(server, key, 204);
      break;
    }
    await assertClean(server);
  });

  test("appends at the moment of expiry: the object is whole, or nothing is left", async (t) => {
    const server = await start(t);
    const keys = Array.from({ length: 16 }, (_, index) => `late-${index}`);
    const paths = await Promise.all(keys.map((key) => createTus(server, { length, key })));
    // From the next bytes on, so that none expires before it has its first.
    await expireAfter(server, "1 s");
    const statuses = await Promise.all(
      keys.map(async (key, index) => {
        const path = await withFirst(server, paths[index] ?? "");
        await delay(880 + 20 * index);
        const { status } = await patchTus(server, path, first, filled("A", length - first));
        await assertWholeOrAbsent(server, key, status);
        return status;
      }),
    );
    t.diagnostic(`appends were answered ${statuses.join(", ")}`);
    await assertClean(server);
  });
});

/** What the append was told is what a reader finds. */
async function assertWholeOrAbsent(
  server: ServerProcess,
  key: string,
  status: number,
): Promise<void> {
  const found: Answer = await get(server, key);
  if (status === 204) {
    const expected = Buffer.concat([filled("0", first), filled("A", length - first)]);
    assert.ok(found.body.equals(expected), `${key} is whole`);
    return;
  }
  assert.ok([404, 410, 423].includes(status), `${key}: ${status}`);
  assert.equal(found.status, 404, `${key} is absent`);
}

/** After the newest bytes, of those that come from now on. */
async function expireAfter(server: ServerProcess, uploadExpiry: string): Promise<void> {
  const body = JSON.stringify({ uploadExpiry });
  assert.equal((await send(server, "PATCH", "/v1/buckets/demo", { body })).status, 200);
}
