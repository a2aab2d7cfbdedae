/**
 * For the kill tests of resumable uploads: one upload of a round, and what its client may rely on
 * whatever killed the server. The offset told is never more than what is there, never less than what was
 * acknowledged, and going on from it gives exactly the object.
 */
import assert from "node:assert/strict";
import { rm, stat } from "node:fs/promises";
import { join } from "node:path";
import { listLeftOvers, readBlobRows, readUploadRows, readUsage } from "../harness/data-folder.ts";
import type { Answer } from "../harness/http-client.ts";
import { eventually } from "../harness/process-usage.ts";
import type { ServerProcess } from "../harness/server-process.ts";
import {
  createTus,
  deleteTus,
  listUploads,
  offsetOf,
  offsetWhenFree,
  patchTus,
} from "../uploads/tus-wire.ts";
import { type Round, taggedBytes } from "./kill-loop.ts";

/** The sweeper and the upkeep come soon, and nothing has to be old. */
const flags = [
  ...["--sweeper-interval", "100 ms", "--sweeper-age", "0 ms"],
  ...["--uploads-tidy-interval", "100 ms"],
];

/** The main thread never rests with these. A transaction has many writes. */
export const scenarioDefaults = { flags, threads: ["pool", "writer"] } as const;

/** Most of a round is waiting: for the lease of the process that was killed, and for the upkeep. */
export const atOnce = { concurrency: 3 };

/** An upload over tus to a key of the round. */
export class RoundUpload {
  readonly path: string;
  readonly bytes: Buffer;
  readonly #round: Round;
  readonly #key: string;
  #acknowledged = 0;

  constructor(round: Round, options: { readonly path: string; key: string; bytes: Buffer }) {
    this.#round = round;
    this.path = options.path;
    this.#key = options.key;
    this.bytes = options.bytes;
  }

  static async create(
    round: Round,
    { key, bytes }: { readonly key: string; readonly bytes: Buffer },
  ): Promise<RoundUpload> {
    const path = await createTus(round.server, { length: bytes.length, key });
    return new RoundUpload(round, { path, key, bytes });
  }

  /** The bytes up to there from where the client believes to be; rejects when the answer does not come. */
  async append(until: number): Promise<void> {
    const from = this.#acknowledged;
    const send = (): Promise<Answer> =>
      patchTus(this.#round.server, this.path, from, this.bytes.subarray(from, until));
    if (until < this.bytes.length) assert.equal((await send()).status, 204);
    else await this.#round.change({ [this.#key]: this.bytes }, send);
    this.#acknowledged = until;
  }

  /** Asks where it is, and goes on from there to the end. */
  async resume(): Promise<void> {
    const { server } = this.#round;
    const rows = readUploadRows(server.data);
    const offset = await offsetWhenFree(server, this.path);
    assert.ok(offset !== undefined, "the upload is there");
    assert.ok(offset >= this.#acknowledged, `${offset} is less than ${this.#acknowledged}`);
    assert.ok(offset <= this.bytes.length, `${offset} of ${this.bytes.length} bytes`);
    assert.ok(rows.length > 0, "it is recorded");
    this.#acknowledged = offset;
    const rest = () => patchTus(server, this.path, offset, this.bytes.subarray(offset));
    await this.#round.change({ [this.#key]: this.bytes }, rest);
  }
}

/** Each round has its own upload, which its recovery finds again. */
export function uploadOfRound(length: number): {
  /** Made, with so many bytes acknowledged. */
  readonly begin: (round: Round, acknowledged: number) => Promise<void>;
  readonly get: () => RoundUpload;
} {
  let current: RoundUpload | undefined;
  return {
    begin: async (round, acknowledged) => {
      const key = round.key("upload");
      current = await RoundUpload.create(round, { key, bytes: taggedBytes(key, length) });
      await current.append(acknowledged);
    },
    get: () => {
      assert(current !== undefined, "the round has an upload");
      return current;
    },
  };
}

/** Every upload that /v1/uploads tells of is terminated, and gone. */
export async function terminateAll(server: ServerProcess): Promise<void> {
  for (const { id } of await listUploads(server)) {
    const path = `/tus/demo/${String(id)}`;
    const { status } = await deleteTus(server, path);
    assert.ok(status === 204 || status === 404, `DELETE: ${status}`);
    assert.equal(await offsetOf(server, path), undefined, "a terminated upload is gone");
  }
}

/** The upkeep and the sweeper leave nothing but objects; the quota's sums are right. */
export async function assertOnlyObjects(server: ServerProcess): Promise<void> {
  const { data } = server;
  await forgetUnnamed(server);
  await eventually("nothing of uploads is left", async () => {
    if (!server.running) throw new Error("the server was killed");
    const unfinished = readUploadRows(data).filter(({ phase }) => phase !== "complete");
    const garbage = readBlobRows(data).filter(({ references }) => references === 0);
    const files = await listLeftOvers(data);
    return unfinished.length + garbage.length + files.length === 0;
  }).catch(async (cause: unknown) => {
    const left = { rows: readUploadRows(data), files: await listLeftOvers(data) };
    const warnings = server.log.filter(({ level }) => level >= 40).map(({ text }) => text);
    throw new Error(`${JSON.stringify(left)}\n${warnings.slice(-5).join("\n")}`, { cause });
  });
  const usage = readUsage(data).find(({ bucket }) => bucket === "demo");
  assert.equal(usage?.reservedBytes, 0, "nothing is reserved");
}

/**
 * An upload that the storage began, and whose name no row got before the kill: without a byte, and taken
 * by the sweeper after a day (test/server/sweeper-pending.test.ts), which is not waited for.
 */
async function forgetUnnamed({ data }: ServerProcess): Promise<void> {
  const named = new Set(readUploadRows(data).map(({ token }) => token));
  for (const file of await listLeftOvers(data)) {
    const [, token] = /^uploads\/([0-9a-f-]{36})\.data$/.exec(file) ?? [];
    if (token === undefined || named.has(token)) continue;
    const path = join(data, "objects", ".roma", file);
    const { size } = await stat(path).catch(() => ({ size: 0 }));
    assert.equal(size, 0, "an upload without a name has no bytes");
    await rm(path, { force: true });
  }
}
