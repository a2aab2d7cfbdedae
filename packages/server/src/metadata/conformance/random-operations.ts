/** Random calls that change what buckets hold, reserve and have in the trash; the same for the same seed. */
import type { MetadataStore } from "../../core/ports/metadata-store.ts";
import {
  at,
  author,
  blob,
  deletedAt,
  garbageDueAt,
  object,
  take,
  upload,
} from "../conformance-samples.ts";

const keysCount = 12;

/** Each call of the answer makes one operation in the buckets `b` and `c`, which may be refused. */
export function randomOperation(store: MetadataStore, seed: number): () => Promise<unknown> {
  const below = generator(seed);
  const bucketName = () => (below(2) === 0 ? "b" : "c");
  const keyName = () => `k${below(keysCount)}`;
  const open: string[] = [];
  let count = 0;
  const anyOpen = () => open[below(open.length)] ?? "none";
  const newName = (kind: string) => `${kind}${count++}`;

  const put = () => {
    const version = newName("v");
    const made = object(keyName(), { bucket: bucketName(), version });
    return store.commitObject(made, blob(version, { length: below(100) }), {
      author,
      garbageDueAt,
    });
  };
  const copy = async () => {
    const [from, source, version] = [bucketName(), keyName(), newName("v")];
    const to = object(keyName(), { bucket: bucketName(), version });
    const deleteSource = below(2) === 0;
    const found = await store.headObject(from, source);
    if (found !== undefined)
      await store.copyObject(found, to, { author, garbageDueAt, deleteSource });
  };
  const create = async () => {
    const id = newName("u");
    const isPartial = below(4) === 0;
    await store.createUpload(
      upload(id, {
        bucket: bucketName(),
        key: isPartial ? null : keyName(),
        kind: isPartial ? "partial" : "object",
        reservedBytes: below(100),
      }),
      { openMax: 50 },
    );
    open.push(id);
  };
  const reserve = async () => {
    const [id, reservedBytes] = [anyOpen(), below(120)];
    const { upload: taken } = await take(store, id);
    await store.checkpointUpload(taken, { reservedBytes });
  };
  const complete = async () => {
    const [id, version, length] = [anyOpen(), newName("v"), below(100)];
    const { upload: taken } = await take(store, id);
    const options = { garbageDueAt, expiresAt: at(1), version };
    const { bucket, key } = taken;
    const whole = blob(version, { length });
    if (key === null) await store.completePartial(taken, whole, options);
    else
      await store.completeUpload(taken, object(key, { bucket, version }), whole, {
        ...options,
        author,
      });
  };
  const cancel = async () => {
    const id = anyOpen();
    await store.cancelUpload(id);
    if (below(2) === 0) await store.forgetUpload(id, { garbageDueAt });
  };
  const remove = () =>
    store.deleteObject(bucketName(), keyName(), { author, deletedAt, garbageDueAt });
  const removeMany = () =>
    store.deleteObjects(bucketName(), [keyName(), keyName(), keyName()], {
      author,
      deletedAt,
      garbageDueAt,
    });

  const page = () => ({
    bucket: bucketName(),
    prefix: below(3) === 0 ? `k${below(2)}` : "",
    limit: 1 + below(5),
  });
  const ids = () => ({ bucket: bucketName(), ids: [1 + below(count + 1), 1 + below(count + 1)] });
  const selection = () => (below(2) === 0 ? page() : ids());
  const restore = () => {
    const ifExists = below(2) === 0 ? "skip" : "replace";
    return store.restoreTrash(selection(), { ifExists, author, now: deletedAt, garbageDueAt });
  };
  const purge = () => store.purgeTrash(selection(), { author, now: deletedAt, garbageDueAt });
  const purgeDue = () =>
    store.purgeTrashDue({
      author,
      dueBefore: at(4_000_000_000),
      garbageDueAt,
      limit: 1 + below(3),
    });
  const changeTrash = () =>
    store.changeBucket(bucketName(), { trashMs: below(3) === 0 ? null : 1000 }, { author });

  // The more often one stands here, the more often it is done.
  const operations: readonly (() => Promise<unknown>)[] = [
    ...[put, put, put, copy, copy, remove, removeMany],
    ...[create, create, reserve, complete, complete, cancel],
    ...[restore, restore, restore, purge, purgeDue, changeTrash],
  ];
  return () => (operations[below(operations.length)] ?? put)();
}

/** Marsaglia's xorshift: integers from 0 to one less than the limit. */
function generator(seed: number): (limit: number) => number {
  let state = seed;
  return (limit) => {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    return limit === 0 ? 0 : (state >>> 0) % limit;
  };
}
