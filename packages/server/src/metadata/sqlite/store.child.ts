/**
 * A process with a store of its own, for tests of what must survive a process or keep one out.
 * `node store.child.ts MODE PATH [SERVER PREFIX]`: as a worker of that server, with keys of its own. Says what it does in
 * lines on stdout, after they are true.
 */
import { strict as assert } from "node:assert";
import { silentLog } from "../../core/ports/log.ts";
import type { MetadataStore } from "../../core/ports/metadata-store.ts";
import {
  at,
  author,
  blob,
  bucket,
  checks,
  garbageDueAt,
  object,
  part,
  place,
  tail,
  take,
  upload,
} from "../conformance-samples.ts";
import { openSqliteStore } from "./store.ts";

const callersCount = 64;

const modes: Readonly<Record<string, (store: MetadataStore) => Promise<void>>> = {
  /** Holds the store until it is killed. */
  hold: () => new Promise(() => setInterval(() => {}, 60_000)),
  /** Opens and closes, and then has nothing left to do. */
  close: async (store) => {
    await store.getBucket("b");
    await store[Symbol.asyncDispose]();
  },
  /** Commits until it is killed; a line for each acknowledged commit. Every third replaces. */
  commit: async (store) => {
    await store.createBucket(bucket("b"), { author }).catch((error: unknown) => {
      if (prefix === "") throw error;
    });
    const caller = async (number: number) => {
      for (let index = 0; ; index += 1) {
        const key = `${prefix}${number}/${index - (index % 3 === 2 ? 1 : 0)}`;
        const version = `${prefix}${number}-${index}`;
        await store.commitObject(object(key, { version }), blob(version), { author, garbageDueAt });
        console.log(`acknowledged ${key} ${version}`);
      }
    };
    await Promise.all(Array.from({ length: callersCount }, (_, number) => caller(number)));
  },
  /**
   * Uploads until it is killed, each in steps of 10 bytes with a tail for each, half of them to their end;
   * a line for each acknowledged step.
   */
  upload: async (store) => {
    await store.createBucket(bucket("b"), { author });
    const caller = async (number: number) => {
      for (let index = 0; ; index += 1)
        await uploadOne(store, `${number}-${index}`, index % 2 === 0);
    };
    await Promise.all(Array.from({ length: 16 }, (_, number) => caller(number)));
  },
  /** Commits and lists much; says by how many MiB memory grew after a first part of it. */
  load: async (store) => {
    await store.createBucket(bucket("b"), { author });
    let index = 0;
    const rounds = async (count: number) => {
      for (let round = 0; round < count; round += 1) {
        const commits = Array.from({ length: 500 }, () => {
          const version = `v${index++}`;
          return store.commitObject(object(version, { version }), blob(version), {
            author,
            garbageDueAt,
          });
        });
        await Promise.all(commits);
        await store.listObjects({ bucket: "b", prefix: "", delimiter: "", limit: 1000 });
      }
    };
    await rounds(40);
    const before = process.memoryUsage.rss();
    await rounds(40);
    console.log(`grew ${(process.memoryUsage.rss() - before) >> 20}`);
    await store[Symbol.asyncDispose]();
  },
};

async function uploadOne(store: MetadataStore, id: string, toItsEnd: boolean): Promise<void> {
  await store.createUpload(upload(id), { openMax: 1_000_000 });
  const { upload: taken } = await take(store, id);
  for (let offset = 10; offset <= 30; offset += 10) {
    await store.checkpointUpload(taken, {
      offset,
      checks: checks(offset),
      reservedBytes: offset,
      place: place(id),
      dropTails: true,
      add: [part(offset / 10), tail(1, { blobKey: `${id}/tail ${offset}` })],
    });
    console.log(`at ${id} ${offset}`);
  }
  if (!toItsEnd) return;
  const made = object(`key of ${id}`, { version: id });
  const options = { garbageDueAt, expiresAt: at(2000) };
  await store.completeUpload(taken, made, blob(id, { length: 30 }), { ...options, author });
  console.log(`complete ${id} 30`);
}

const [mode = "", path = "", server, prefix = ""] = process.argv.slice(2);
const run = modes[mode];
assert(run !== undefined && path !== "", "store.child.ts MODE PATH");
const store = await openSqliteStore({ path, log: silentLog, server });
await store.share();
console.log("open");
await run(store);
