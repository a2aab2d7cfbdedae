/**
 * One of several processes that change the same things of one store at the same time, for `contend.test.ts`. `node
 * contend.child.ts PATH SERVER NAME`: opens the store, says `open`, waits for a line on stdin, does all
 * `tasks` side by side, and prints what came of them as one line of JSON.
 */
import { strict as assert } from "node:assert";
import { randomUUID } from "node:crypto";
import { once } from "node:events";
import { isOperationalError } from "../../core/errors.ts";
import { silentLog } from "../../core/ports/log.ts";
import type { MetadataStore } from "../../core/ports/metadata-store.ts";
import {
  at,
  author,
  blob,
  checks,
  deletedAt,
  garbageDueAt,
  object,
  partBlob,
  upload,
} from "../conformance-samples.ts";
import { type Limits, limits, type Outcome } from "./contend-limits.ts";
import { openSqliteStore } from "./store.ts";

const [path = "", server = "", name = ""] = process.argv.slice(2);
assert(path !== "" && name !== "", "contend.child.ts PATH SERVER NAME");

/** What was done, and what was refused with which code. */
const done: string[] = [];
const refused: Record<string, number> = {};
const replaced: [before: string, after: string][] = [];

/** Counts a refusal by its code; answers whether it was done. */
async function attempt(what: string, run: () => Promise<unknown>): Promise<boolean> {
  try {
    await run();
    done.push(what);
    return true;
  } catch (error) {
    const code = isOperationalError(error) ? error.code : String(error);
    const counted = `${what.split(" ")[0]} ${code}`;
    refused[counted] = (refused[counted] ?? 0) + 1;
    return false;
  }
}

const each = (count: number): readonly number[] => Array.from({ length: count }, (_, i) => i);
const options = { author, garbageDueAt };

/** Each replaces what it has read, or reads again. */
async function chain(store: MetadataStore, { swaps }: Limits): Promise<void> {
  for (let own = 0; own < swaps; ) {
    const before = await store.headObject("b", "chain");
    assert(before !== undefined);
    const version = `${name}-${randomUUID()}`;
    const made = object("chain", { version });
    const swap = { ...options, ifMatch: [before.etag] };
    if (!(await attempt("swap", () => store.commitObject(made, blob(version), swap)))) continue;
    replaced.push([before.version, version]);
    own += 1;
  }
}

/** Each takes the upload when nobody writes it, adds 10 bytes, and gives it back. */
async function append(store: MetadataStore, { uploadBytes }: Limits): Promise<void> {
  for (;;) {
    const lease = { holder: name, now: at(0), until: at(100), ended: null };
    const taken = await store.takeUpload("shared", lease);
    if (taken === undefined) continue;
    const { fence, offset } = taken.upload;
    const writer = { id: "shared", fence };
    if (offset >= uploadBytes) return await store.releaseUpload(writer);
    const next = offset + 10;
    const step = { offset: next, checks: checks(next), reservedBytes: next, release: true };
    await attempt(`append ${next}`, () => store.checkpointUpload(writer, step));
    // A fence that is not the newest records nothing.
    await attempt("stale", () => store.checkpointUpload({ id: "shared", fence: fence - 1 }, step));
  }
}

function tasks(store: MetadataStore): readonly Promise<unknown>[] {
  const own = (label: string, index: number) => `${label} ${name}-${index}`;
  const put = (bucket: string, version: string, more: object = {}) =>
    store.commitObject(object(version, { bucket, version }), blob(version), {
      ...options,
      ...more,
    });
  const { grantUses, quotaBytes, deletesPerHour, uploadsOpenMax } = limits;
  const grantUse = { id: "K/g", usesMax: grantUses, expiresAt: new Date("2027-01-01") };
  const now = new Date("2026-03-01T00:00:00.000Z");
  return [
    ...each(limits.rounds).map((index) =>
      attempt(`create ${index}`, () => {
        const version = `${name}-once-${index}`;
        const made = object(`once-${index}`, { version });
        return store.commitObject(made, blob(version), { ...options, ifAbsent: true });
      }),
    ),
    chain(store, limits),
    append(store, limits),
    ...each(grantUses).map((i) => attempt("grant", () => put("b", own("grant", i), { grantUse }))),
    ...each(quotaBytes / 5).map((i) => attempt("quota", () => put("quota", own("quota", i)))),
    ...each(deletesPerHour).map((index) =>
      attempt("delete", async () => {
        await put("capped", own("doomed", index));
        const cap = { ...options, deletedAt, deletesPerHour };
        await store.deleteObject("capped", own("doomed", index), cap);
      }),
    ),
    ...each(uploadsOpenMax).map((index) =>
      attempt("open", () =>
        store.createUpload(upload(own("open", index), { owner: "counted" }), {
          openMax: uploadsOpenMax,
        }),
      ),
    ),
    ...each(limits.rounds).map(async (index) => {
      const request = { id: `key-${index}`, owner: `${name}.${index}`, actor: "k" };
      const until = new Date(now.getTime() + 60_000);
      const taking = { ...request, fingerprint: "f", now, leaseUntil: until, expiresAt: until };
      const found = await store.takeIdempotencyKey({ ...taking, keysMax: 10_000 });
      await attempt(`key ${index}`, async () => assert.equal(found.state, "taken"));
    }),
    ...each(limits.rounds).map((index) =>
      attempt("part", () =>
        store.putUploadPart("parts", partBlob((index % 10) + 1, { blobKey: own("part", index) }), {
          ...{ now: at(0), expiresAt: at(100), garbageDueAt },
        }),
      ),
    ),
  ];
}

const store = await openSqliteStore({ path, log: silentLog, server });
await store.share();
console.log("open");
await once(process.stdin, "data");
await Promise.all(tasks(store));
console.log(JSON.stringify({ done, refused, replaced } satisfies Outcome));
process.stdin.destroy();
await store[Symbol.asyncDispose]();
