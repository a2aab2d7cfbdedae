/** Settings: small texts by name; the last one put stays. */
import type { Authored } from "../../core/ports/metadata-store.ts";
import type { Database } from "../schema.ts";

export async function getSetting(db: Database, name: string): Promise<string | undefined> {
  const row = await db
    .selectFrom("settings")
    .select("value")
    .where("name", "=", name)
    .executeTakeFirst();
  return row?.value;
}

export async function putSetting(
  db: Database,
  name: string,
  value: string,
  _options?: Authored,
): Promise<void> {
  await db
    .insertInto("settings")
    .values({ name, value })
    .onConflict((conflict) => conflict.column("name").doUpdateSet({ value }))
    .execute();
}
