// The base of every layer: a driver that hands each call on, but for those that the layer answers.
// An optional operation is there if the inner driver has it, so that presence stays the capability.

import type { BucketCors, PartWrites, StorageDriver } from "../../core/ports/storage-driver.ts";

type Operations = Omit<
  StorageDriver,
  | "id"
  | "capabilities"
  | "deleteMany"
  | "space"
  | "breaker"
  | "leftOvers"
  | "parts"
  | "copy"
  | "concat"
  | "presign"
  | "bucketCors"
>;

export interface LayerChanges extends Partial<Operations> {
  /** Of the layer that sets it; the others hand it on. */
  readonly breaker?: NonNullable<StorageDriver["breaker"]>;
  readonly deleteMany?: (
    inner: NonNullable<StorageDriver["deleteMany"]>,
  ) => NonNullable<StorageDriver["deleteMany"]>;
  readonly space?: (
    inner: NonNullable<StorageDriver["space"]>,
  ) => NonNullable<StorageDriver["space"]>;
  readonly copy?: (inner: NonNullable<StorageDriver["copy"]>) => NonNullable<StorageDriver["copy"]>;
  readonly concat?: (
    inner: NonNullable<StorageDriver["concat"]>,
  ) => NonNullable<StorageDriver["concat"]>;
  readonly leftOvers?: (
    inner: NonNullable<StorageDriver["leftOvers"]>,
  ) => NonNullable<StorageDriver["leftOvers"]>;
  readonly parts?: (inner: PartWrites) => PartWrites;
  readonly bucketCors?: (inner: BucketCors) => BucketCors;
}

/** The inner driver with some operations replaced. */
export function forward(inner: StorageDriver, changes: LayerChanges): StorageDriver {
  const { copy, concat, deleteMany, presign, leftOvers, parts, bucketCors } = inner;
  const space = inner.space?.bind(inner);
  const breaker = changes.breaker ?? inner.breaker;
  return {
    id: inner.id,
    capabilities: inner.capabilities,
    put: changes.put ?? ((key, body, options) => inner.put(key, body, options)),
    get: changes.get ?? ((key, options) => inner.get(key, options)),
    head: changes.head ?? ((key, options) => inner.head(key, options)),
    list: changes.list ?? ((prefix, options) => inner.list(prefix, options)),
    delete: changes.delete ?? ((key, options) => inner.delete(key, options)),
    probe: changes.probe ?? ((options) => inner.probe(options)),
    [Symbol.asyncDispose]:
      changes[Symbol.asyncDispose] ?? (async () => await inner[Symbol.asyncDispose]()),
    ...(deleteMany && { deleteMany: changes.deleteMany?.(deleteMany) ?? deleteMany }),
    ...(space && { space: changes.space?.(space) ?? space }),
    ...(breaker && { breaker }),
    ...(copy && { copy: changes.copy?.(copy) ?? copy }),
    ...(concat && { concat: changes.concat?.(concat) ?? concat }),
    // Signing waits for credentials at most: no layer has anything to add.
    ...(presign && { presign }),
    ...(leftOvers && { leftOvers: changes.leftOvers?.(leftOvers) ?? leftOvers }),
    ...(parts && { parts: changes.parts?.(parts) ?? parts }),
    // Asked for by administrators alone: of the layers only the deadline has anything to add.
    ...(bucketCors && { bucketCors: changes.bucketCors?.(bucketCors) ?? bucketCors }),
  };
}

/** The inner part writes with some operations replaced. */
export function forwardParts(inner: PartWrites, changes: Partial<PartWrites>): PartWrites {
  const append = changes.append ?? inner.append?.bind(inner);
  const { copyPart } = inner;
  const idle = inner.idle?.bind(inner);
  return {
    partBytesMin: inner.partBytesMin,
    partBytesMax: inner.partBytesMax,
    partsMax: inner.partsMax,
    equalParts: inner.equalParts,
    create: changes.create ?? ((key, options) => inner.create(key, options)),
    writePart:
      changes.writePart ??
      ((upload, partNumber, bytes, options) => inner.writePart(upload, partNumber, bytes, options)),
    listParts: changes.listParts ?? ((upload, options) => inner.listParts(upload, options)),
    complete:
      changes.complete ?? ((upload, parts, options) => inner.complete(upload, parts, options)),
    cancel: changes.cancel ?? ((upload, options) => inner.cancel(upload, options)),
    listPending: changes.listPending ?? ((prefix, options) => inner.listPending(prefix, options)),
    ...(idle && { idle }),
    ...(copyPart && { copyPart: changes.copyPart ?? copyPart }),
    ...(inner.append && append && { append }),
  };
}
