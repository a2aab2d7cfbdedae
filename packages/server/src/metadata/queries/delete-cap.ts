/**
 * How many objects requests may delete of a bucket in any hour: counted by minutes, in the transactions that
 * delete, so that a script that lists everything and deletes it is stopped at exactly the cap. Buckets without
 * a cap are not counted.
 */
import type { Database } from "../schema.ts";
import { prepared } from "./prepared.ts";

const minuteMs = 60_000;
const windowMinutes = 60;

interface MinuteOfBucket {
  readonly bucket: string;
  readonly minute: number;
}

const sumSince = prepared<MinuteOfBucket, { readonly deletes: number | null }>(
  (db, { bucket, minute }) =>
    db
      .selectFrom("delete_counts")
      .select((eb) => eb.fn.sum<number | null>("deletes").as("deletes"))
      .where("bucket", "=", bucket)
      .where("minute", ">", minute),
);

const addDeletes = prepared<MinuteOfBucket & { deletes: number }, never>(
  (db, { bucket, minute, deletes }) =>
    db
      .insertInto("delete_counts")
      .values({ bucket, minute, deletes })
      .onConflict((conflict) =>
        conflict.columns(["bucket", "minute"]).doUpdateSet((eb) => ({
          deletes: eb("delete_counts.deletes", "+", eb.ref("excluded.deletes")),
        })),
      ),
);

const forgetUntil = prepared<MinuteOfBucket, never>((db, { bucket, minute }) =>
  db.deleteFrom("delete_counts").where("bucket", "=", bucket).where("minute", "<=", minute),
);

/** How many more objects may be deleted now; `cap` null: any number. */
export async function deletesLeft(
  db: Database,
  bucket: string,
  { cap, now }: { readonly cap: number | null; readonly now: Date },
): Promise<number> {
  if (cap === null) return Number.POSITIVE_INFINITY;
  // Minutes ahead of now, from before the clock was set back, count too.
  const [sum] = await sumSince(db, { bucket, minute: minuteOf(now) - windowMinutes });
  return Math.max(0, cap - (sum?.deletes ?? 0));
}

/** To be called in the transaction that deletes so many. */
export async function countDeletes(
  db: Database,
  bucket: string,
  { deletes, now }: { readonly deletes: number; readonly now: Date },
): Promise<void> {
  const minute = minuteOf(now);
  await forgetUntil(db, { bucket, minute: minute - windowMinutes });
  await addDeletes(db, { bucket, minute, deletes });
}

/** Of a bucket that is deleted. */
export async function forgetDeletes(db: Database, bucket: string): Promise<void> {
  await forgetUntil(db, { bucket, minute: Number.MAX_SAFE_INTEGER });
}

function minuteOf(at: Date): number {
  return Math.floor(at.getTime() / minuteMs);
}
