/** How often a grant with a count was used. As in `objects.ts`, each function is one transaction's work. */
import { strict as assert } from "node:assert";
import { sql } from "kysely";
import { OperationalError } from "../../core/errors.ts";
import type { GrantUse } from "../../core/ports/metadata-store.ts";
import type { Database } from "../schema.ts";
import { assertCount, assertInstant, assertText } from "../values.ts";
import { expiredIds } from "./expired.ts";
import { prepared } from "./prepared.ts";

const addUse = prepared<{ id: string; usesMax: number; expiresAt: number }, { uses: number }>(
  (db, { id, usesMax, expiresAt }) =>
    db
      .insertInto("grant_uses")
      .values({ id, uses: sql.lit(1), expires_at: expiresAt })
      .onConflict((conflict) =>
        conflict
          .column("id")
          .doUpdateSet({ uses: sql<number>`grant_uses.uses + 1` })
          .where("grant_uses.uses", "<", usesMax),
      )
      .returning("uses"),
);

const removeUse = prepared<{ id: string }, never>((db, { id }) =>
  db
    .updateTable("grant_uses")
    .set({ uses: sql<number>`uses - 1` })
    .where("id", "=", id)
    .where("uses", ">", sql.lit(0)),
);

/** Part of the transaction that writes with the grant, which a refusal rolls back. `access_denied`. */
export async function takeGrantUse(db: Database, use: GrantUse | undefined): Promise<void> {
  if (use === undefined) return;
  const { id, usesMax } = use;
  assertGrantUse(use);
  const [row] = await addUse(db, { id, usesMax, expiresAt: use.expiresAt.getTime() });
  if (row !== undefined) return;
  throw new OperationalError(
    "access_denied",
    `the grant's count of ${usesMax} uploads is used up`,
    { context: { count: usesMax } },
  );
}

/** Of an upload that became nothing. */
export async function giveBackGrantUse(db: Database, use: GrantUse | undefined): Promise<void> {
  if (use !== undefined) await removeUse(db, { id: use.id });
}

export async function getGrantUses(db: Database, id: string): Promise<number> {
  const row = await db
    .selectFrom("grant_uses")
    .select("uses")
    .where("id", "=", id)
    .executeTakeFirst();
  return row?.uses ?? 0;
}

export async function forgetGrantUses(
  db: Database,
  due: { readonly expiredBefore: Date; readonly limit: number },
): Promise<number> {
  const ids = await expiredIds(db, "grant_uses", due);
  for (const id of ids) await db.deleteFrom("grant_uses").where("id", "=", id).execute();
  return ids.length;
}

export function assertGrantUse({ id, usesMax, expiresAt }: GrantUse): void {
  assertText(id, "id");
  assertCount(usesMax, "usesMax");
  assert(usesMax > 0, "a count is at least 1");
  assertInstant(expiresAt);
}
