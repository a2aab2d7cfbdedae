/**
 * Uploads while they run: made, taken by one writer after the other, and told how far they are. As in
 * `objects.ts`, each function is one transaction's work. Every write of a writer's begins with its fence.
 */
import { strict as assert } from "node:assert";
import { sql } from "kysely";
import { OperationalError } from "../../core/errors.ts";
import type {
  EndedLease,
  UploadCheckpoint,
  UploadRecord,
  UploadSegment,
  UploadTaken,
  UploadWriter,
} from "../../core/ports/upload-store.ts";
import type { Database } from "../schema.ts";
import { checksToRow, segmentToRow, uploadToRow } from "../upload-records.ts";
import { takeGrantUse } from "./grant-uses.ts";
import { prepared } from "./prepared.ts";
import { tailsToGarbage } from "./upload-garbage.ts";
import {
  assertWriter,
  findUpload,
  findWritable,
  insertUpload,
  segmentsOf,
  statements,
  withSegments,
} from "./upload-rows.ts";
import { changeReservation } from "./usage.ts";

/** Nobody reads tails but the writer, who drops them when it has. */
const atOnce = new Date(0);

// Reads as many entries of the index of running uploads as the owner may have.
const selectLastAllowed = prepared<{ owner: string; skipped: number }, { owner: string }>(
  (db, { owner, skipped }) =>
    db
      .selectFrom("uploads")
      .select("owner")
      .where("owner", "=", owner)
      .where("phase", "<>", sql.lit("complete"))
      .where("phase", "<>", sql.lit("cancelling"))
      .limit(1)
      .offset(skipped),
);

export async function createUpload(
  db: Database,
  upload: UploadRecord,
  { openMax }: { readonly openMax: number },
): Promise<void> {
  const { id, owner, phase } = upload;
  assert(phase === "receiving" || phase === "completing", `a new upload is ${phase}`);
  await changeReservation(db, upload.bucket, upload.reservedBytes);
  const isFull =
    openMax < 1 || (await selectLastAllowed(db, { owner, skipped: openMax - 1 })).length > 0;
  if (isFull) {
    throw new OperationalError(
      "rate_limited",
      `${openMax} uploads are open already: complete or cancel some first`,
      { context: { openMax, uploadId: id } },
    );
  }
  await takeGrantUse(db, upload.grant?.use);
  await insertUpload(db, upload);
}

export async function getUpload(db: Database, id: string): Promise<UploadRecord | undefined> {
  return await findUpload(db, id);
}

export async function takeUpload(
  db: Database,
  id: string,
  lease: {
    readonly holder: string;
    readonly now: Date;
    readonly until: Date;
    readonly ended?: EndedLease | null;
  },
): Promise<UploadTaken | undefined> {
  const { holder, until } = lease;
  const upload = await findWritable(db, id);
  // Nothing is left to write, so nobody needs a lease.
  if (upload.phase === "complete") return { upload, segments: [] };
  if (!isFree(upload, lease)) {
    await statements.askToYield(db, { id });
    return undefined;
  }
  const taken = { ...upload, fence: upload.fence + 1, holder, leaseUntil: until };
  await statements.updateLease(db, uploadToRow(taken));
  return await withSegments(db, taken);
}

function isFree(
  upload: UploadRecord,
  lease: { readonly holder: string; readonly now: Date; readonly ended?: EndedLease | null },
): boolean {
  const { holder, now, ended } = lease;
  if (ended === undefined) return upload.holder === holder || !isLeased(upload, now);
  if (upload.holder === null) return true;
  return upload.holder === ended?.holder && upload.fence === ended.fence;
}

/** Whether somebody is believed to write it. */
export function isLeased({ leaseUntil }: UploadRecord, now: Date): boolean {
  return leaseUntil !== null && leaseUntil > now;
}

export async function renewUploads(
  db: Database,
  writers: readonly UploadWriter[],
  { holder, until }: { readonly holder: string; readonly until: Date },
): Promise<{ readonly kept: readonly string[]; readonly yield: readonly string[] }> {
  const kept: string[] = [];
  const asked: string[] = [];
  for (const { id, fence } of writers) {
    const lease = { id, fence, holder, leaseUntil: until.getTime() };
    const [row] = await statements.renewLease(db, lease);
    if (row === undefined) continue;
    kept.push(id);
    if (row.yield_requested === 1) asked.push(id);
  }
  return { kept, yield: asked };
}

export async function releaseUpload(db: Database, writer: UploadWriter): Promise<void> {
  await statements.releaseLease(db, writer);
}

export async function checkpointUpload(
  db: Database,
  writer: UploadWriter,
  checkpoint: UploadCheckpoint,
): Promise<UploadRecord> {
  const before = await findWritable(db, writer.id);
  assertWriter(before, writer);
  const { add = [], dropTails = false, release = false } = checkpoint;
  const after = changed(before, checkpoint);
  const moreReserved = after.reservedBytes - before.reservedBytes;
  if (moreReserved !== 0) await changeReservation(db, before.bucket, moreReserved);
  if (dropTails) await tailsToGarbage(db, writer.id, checkpoint.garbageDueAt ?? atOnce);
  if (before.place !== null && before.place.storageId !== after.place?.storageId) {
    const segments = await segmentsOf(db, writer.id);
    assert(segments.length === 0, "an upload with bytes does not move to another storage");
  }
  await addSegments(db, after, add);
  if (checkpoint.checks !== undefined) {
    await statements.upsertChecks(db, checksToRow(writer.id, checkpoint.checks));
  }
  const row = uploadToRow(after);
  await statements.updateProgress(db, row);
  if (release) await statements.updateLease(db, row);
  return after;
}

function changed(before: UploadRecord, checkpoint: UploadCheckpoint): UploadRecord {
  const { offset, length, place, checks, phase, expiresAt, reservedBytes, release } = checkpoint;
  assert((offset ?? before.offset) >= before.offset, `offset ${offset} goes back`);
  assert(length === undefined || length === (before.length ?? length), "the length is known");
  return {
    ...before,
    offset: offset ?? before.offset,
    length: length ?? before.length,
    place: place ?? before.place,
    checks: checks ?? before.checks,
    phase: phase ?? before.phase,
    expiresAt: expiresAt ?? before.expiresAt,
    reservedBytes: reservedBytes ?? before.reservedBytes,
    ...(release === true ? { holder: null, leaseUntil: null } : {}),
  };
}

async function addSegments(
  db: Database,
  { id, place }: UploadRecord,
  segments: readonly UploadSegment[],
): Promise<void> {
  for (const segment of segments) {
    assert(place !== null, "segments are at a place");
    const written = await statements.upsertSegment(db, segmentToRow(id, segment, place.storageId));
    assert(written.length === 1, `tail ${segment.number} is there already`);
  }
}
