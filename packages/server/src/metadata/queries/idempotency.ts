/** Keys that make a request take effect once. As in `objects.ts`, each function is one transaction's work. */
import { deserialize, serialize } from "node:v8";
import { sql } from "kysely";
import { OperationalError } from "../../core/errors.ts";
import type {
  IdempotencyMark,
  IdempotencyState,
  IdempotentRequest,
  KeptAnswer,
} from "../../core/ports/idempotency-store.ts";
import type { Database, IdempotencyKeyRow } from "../schema.ts";
import { assertInstant, assertText, parseJson } from "../values.ts";
import { expiredIds } from "./expired.ts";

export async function takeIdempotencyKey(
  db: Database,
  request: IdempotentRequest,
): Promise<IdempotencyState> {
  const { id, actor, owner, fingerprint, now } = request;
  for (const text of [id, actor, owner, fingerprint]) assertText(text, "idempotency key");
  for (const at of [now, request.leaseUntil, request.expiresAt]) assertInstant(at);
  const row = await db
    .selectFrom("idempotency_keys")
    .selectAll()
    .where("id", "=", id)
    .executeTakeFirst();
  const lease = { owner, lease_until: request.leaseUntil.getTime() };
  if (row !== undefined && row.expires_at > now.getTime()) {
    const found = stateOf(row, request);
    if (found !== undefined) return found;
    await db.updateTable("idempotency_keys").set(lease).where("id", "=", id).execute();
    return { state: "taken" };
  }
  if (row !== undefined) await forget(db, id);
  if ((await countOf(db, actor, now)) >= request.keysMax) return { state: "too-many" };
  await db
    .insertInto("idempotency_keys")
    .values({
      ...{ id, actor, fingerprint, ...lease },
      expires_at: request.expiresAt.getTime(),
      ...{ method: null, effect: null, answer: null },
    })
    .execute();
  return { state: "taken" };
}

/** `undefined` for one whose attempt is over and had no effect. */
function stateOf(
  row: IdempotencyKeyRow,
  { fingerprint, now, lapsed }: IdempotentRequest,
): IdempotencyState | undefined {
  if (row.fingerprint !== fingerprint) return { state: "other" };
  if (row.answer !== null) return { state: "answered", answer: parseJson<KeptAnswer>(row.answer) };
  const isRunning = row.lease_until > now.getTime() && row.owner !== lapsed;
  if (isRunning) return { state: "running", owner: row.owner };
  if (row.method === null || row.effect === null) return undefined;
  return { state: "effective", method: row.method, value: deserialize(row.effect) };
}

/** Those that are repeated still. */
async function countOf(db: Database, actor: string, now: Date): Promise<number> {
  const { count } = await db
    .selectFrom("idempotency_keys")
    .select(sql<number>`count(*)`.as("count"))
    .where("actor", "=", actor)
    .where("expires_at", ">", now.getTime())
    .executeTakeFirstOrThrow();
  return Number(count);
}

/**
 * Part of the transaction that makes the change, which a refusal rolls back. `locked` if another attempt owns the
 * key by now.
 */
export async function markEffect(
  db: Database,
  { id, owner }: IdempotencyMark,
  effect: { readonly method: string; readonly value: unknown },
): Promise<void> {
  const { numUpdatedRows } = await db
    .updateTable("idempotency_keys")
    .set({ method: effect.method, effect: serialize(effect.value) })
    .where("id", "=", id)
    .where("owner", "=", owner)
    .executeTakeFirst();
  if (numUpdatedRows === 1n) return;
  throw new OperationalError("locked", "another request with this Idempotency-Key goes on");
}

export async function renewIdempotencyKey(
  db: Database,
  { id, owner }: IdempotencyMark,
  { until }: { readonly until: Date },
): Promise<void> {
  await db
    .updateTable("idempotency_keys")
    .set({ lease_until: until.getTime() })
    .where("id", "=", id)
    .where("owner", "=", owner)
    .execute();
}

export async function recordIdempotentAnswer(
  db: Database,
  { id, owner }: IdempotencyMark,
  answer: KeptAnswer,
): Promise<void> {
  await db
    .updateTable("idempotency_keys")
    .set({ answer: JSON.stringify(answer), effect: null })
    .where("id", "=", id)
    .where("owner", "=", owner)
    .execute();
}

export async function releaseIdempotencyKey(
  db: Database,
  { id, owner }: IdempotencyMark,
): Promise<void> {
  await db
    .deleteFrom("idempotency_keys")
    .where("id", "=", id)
    .where("owner", "=", owner)
    .where("method", "is", null)
    .where("answer", "is", null)
    .execute();
  await renewIdempotencyKey(db, { id, owner }, { until: new Date(0) });
}

export async function forgetIdempotencyKeys(
  db: Database,
  due: { readonly expiredBefore: Date; readonly limit: number },
): Promise<number> {
  const ids = await expiredIds(db, "idempotency_keys", due);
  for (const id of ids) await forget(db, id);
  return ids.length;
}

async function forget(db: Database, id: string): Promise<void> {
  await db.deleteFrom("idempotency_keys").where("id", "=", id).execute();
}
