/** Settings: small texts by name; the last one put stays. */
import type { Database } from "../schema.ts";
import { appendAudit, type Recorded } from "./audit.ts";

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
  options?: Recorded,
): Promise<void> {
  await db
    .insertInto("settings")
    .values({ name, value })
    .onConflict((conflict) => conflict.column("name").doUpdateSet({ value }))
    .execute();
  if (options === undefined) return;
  const details = { setting: name, value };
  await appendAudit(db, [{ ...options, action: "setting.changed", details }]);
}
