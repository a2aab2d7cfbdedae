import type { Database } from "../schema.ts";

/** Of rows that are kept for a time only: the ids of those whose time is over, the oldest first. */
export async function expiredIds(
  db: Database,
  table: "grant_uses" | "idempotency_keys",
  { expiredBefore, limit }: { readonly expiredBefore: Date; readonly limit: number },
): Promise<readonly string[]> {
  const due = await db
    .selectFrom(table)
    .select("id")
    .where("expires_at", "<", expiredBefore.getTime())
    .orderBy("expires_at")
    .orderBy("id")
    .limit(limit)
    .execute();
  return due.map(({ id }) => id);
}
