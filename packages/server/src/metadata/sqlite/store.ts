/**
 * The embedded metadata store: SQLite with a thread that writes and a thread that reads, so that
 * neither disk nor SQL ever holds up the event loop, and no read waits for a long write.
 */
import { mkdir, open } from "node:fs/promises";
import { dirname, resolve } from "node:path";
import { OperationalError } from "../../core/errors.ts";
import type { CurrentBudget } from "../../core/ports/budget.ts";
import { type Clock, systemClock } from "../../core/ports/clock.ts";
import type {
  IdempotencyMark,
  IdempotencyState,
  IdempotentRequest,
  KeptAnswer,
} from "../../core/ports/idempotency-store.ts";
import type { Log } from "../../core/ports/log.ts";
import type {
  AccessKeyRecord,
  AuditPage,
  AuditQuery,
  AuditVerification,
  Authored,
  BlobAddress,
  BlobRecord,
  BucketChanges,
  BucketRecord,
  BulkDeleteProgress,
  BulkDeleteRecord,
  BulkDeleteStep,
  DeleteOptions,
  DeleteResult,
  GarbageRecord,
  GrantUse,
  ListPage,
  ListQuery,
  MetadataStore,
  NewObject,
  ObjectChanges,
  ObjectRecord,
  ObjectWithBlob,
  PurgeResult,
  Refusal,
  RestoreResult,
  StorageBlobCount,
  StorageRecord,
  TrashPage,
  TrashQuery,
  TrashRecord,
  TrashSelection,
  WriteConditions,
  WriteResult,
} from "../../core/ports/metadata-store.ts";
import { type Meter, silentMeter } from "../../core/ports/meter.ts";
import type {
  BucketUsage,
  EndedLease,
  MultipartPage,
  MultipartQuery,
  UploadCheckpoint,
  UploadPartBlob,
  UploadPartsQuery,
  UploadQuery,
  UploadRecord,
  UploadTaken,
  UploadWriter,
} from "../../core/ports/upload-store.ts";
import type { Answer, Arguments, reads, writes } from "../queries/operations.ts";
import { isEffect, isGivenUpFor, isRefusedAfter, mayBeGivenUp } from "./after-failure.ts";
import { CallPlaces } from "./call-places.ts";
import { classify } from "./errors.ts";
import { type StoreLock, takeLock } from "./lock.ts";
import { ownBlob, ownCheckpoint, ownCopy, ownDigests, ownPart } from "./own-bytes.ts";
import { startWorker, WorkerLink } from "./worker-link.ts";

/** Calls under way in each thread. At 64 KiB a call, the largest that is usual, 128 MiB. */
const callsMaxDefault = 2048;
const probeMsMax = 5000;

export interface SqliteStoreOptions {
  /** The database file; its folder is made if it is missing. */
  readonly path: string;
  readonly log: Log;
  readonly meter?: Meter;
  /** Of the moments in the audit log. */
  readonly clock?: Clock;
  /** Calls that may wait for each thread; past it `overloaded`. */
  readonly callsMax?: number;
  /** Names the server that this process is a worker of; left out: it is all of it, and shares the store with nobody. */
  readonly server?: string | undefined;
  /** Of the request that a call is made for; left out: calls wait as long as it takes. */
  readonly currentBudget?: CurrentBudget;
}

export interface OpenSqliteStore extends MetadataStore {
  /** Nobody else had it open, nor will before `share`: what a crash left may be looked for without care. */
  readonly isAlone: boolean;
  /** Lets other workers of the server open it, from here on. `locked` if another server was faster. */
  share(): Promise<void>;
  /** Closing leaves it locked for other servers until this process is gone. */
  keepLock(): void;
}

/**
 * Opens the store and brings its schema up to date. `locked` if another Roma has it open; `unsupported` if its
 * schema is newer than this code, or older while other workers use it. Dispose to close.
 */
export async function openSqliteStore(options: SqliteStoreOptions): Promise<OpenSqliteStore> {
  const { log, meter = silentMeter, clock = systemClock, callsMax = callsMaxDefault } = options;
  const { currentBudget = () => undefined } = options;
  const path = resolve(options.path);
  await using opening = new AsyncDisposableStack();
  try {
    await mkdir(dirname(path), { recursive: true, mode: 0o700 });
    const lock = opening.use(await takeLock(path, options.server));
    const { isAlone } = lock;
    const isShared = options.server !== undefined;
    // The secrets in it are sealed, and still nobody else's business; SQLite's other files copy
    // the mode of this one.
    await (await open(path, "a", 0o600)).close();
    // Disposed in the opposite order: the reader closes before the writer empties the log.
    const start = (role: "writer" | "reader"): WorkerLink => {
      const places = new CallPlaces(callsMax);
      const worker = startWorker({ role, path, isAlone, isShared }, places);
      return opening.use(new WorkerLink({ role, worker, places, log, meter, callsMax }));
    };
    const writer = start("writer");
    const reader = start("reader");
    await writer.open();
    await syncFolder(dirname(path));
    // The writer has made and migrated the file.
    await reader.open();
    return new SqliteStore({
      ...{ writer, reader, clock, currentBudget, lock },
      resources: opening.move(),
    });
  } catch (error) {
    throw classify(error, path);
  }
}

/** Makes the names of new files durable. */
async function syncFolder(path: string): Promise<void> {
  await using folder = await open(path);
  await folder.sync();
}

class SqliteStore implements OpenSqliteStore {
  readonly #writer: WorkerLink;
  readonly #reader: WorkerLink;
  readonly #resources: AsyncDisposableStack;
  readonly #clock: Clock;
  readonly #lock: StoreLock;
  readonly #currentBudget: CurrentBudget;
  #disposed: Promise<void> | undefined;

  constructor(parts: {
    readonly writer: WorkerLink;
    readonly reader: WorkerLink;
    readonly resources: AsyncDisposableStack;
    readonly clock: Clock;
    readonly lock: StoreLock;
    readonly currentBudget: CurrentBudget;
  }) {
    this.#writer = parts.writer;
    this.#reader = parts.reader;
    this.#resources = parts.resources;
    this.#clock = parts.clock;
    this.#currentBudget = parts.currentBudget;
    this.#lock = parts.lock;
  }

  get isAlone(): boolean {
    return this.#lock.isAlone;
  }

  async share(): Promise<void> {
    await this.#lock.share();
  }

  keepLock(): void {
    this.#lock.keep();
  }

  createBucket(bucket: BucketRecord, options: Authored): Promise<void> {
    return this.#write("createBucket", bucket, this.#recorded(options));
  }

  getBucket(name: string): Promise<BucketRecord | undefined> {
    return this.#read("getBucket", name);
  }

  listBuckets(): Promise<readonly BucketRecord[]> {
    return this.#read("listBuckets");
  }

  changeBucket(name: string, changes: BucketChanges, options: Authored): Promise<BucketRecord> {
    return this.#write("changeBucket", name, changes, this.#recorded(options));
  }

  deleteBucket(name: string, options: Authored): Promise<void> {
    return this.#write("deleteBucket", name, this.#recorded(options));
  }

  async commitObject(
    object: NewObject,
    blob: BlobRecord,
    options: WriteConditions &
      Authored & { readonly garbageDueAt: Date; readonly grantUse?: GrantUse },
  ): Promise<WriteResult> {
    return await this.#write("commitObject", object, ownBlob(blob), this.#recorded(options));
  }

  copyObject(
    source: { readonly bucket: string; readonly key: string; readonly version: string },
    object: NewObject,
    options: WriteConditions &
      Authored & {
        readonly garbageDueAt: Date;
        readonly deleteSource?: boolean;
        readonly grantUse?: GrantUse;
      },
  ): Promise<WriteResult> {
    return this.#write("copyObject", source, object, this.#recorded(options));
  }

  changeObject(
    bucket: string,
    key: string,
    changes: ObjectChanges,
    options: WriteConditions & Authored,
  ): Promise<ObjectRecord> {
    return this.#write("changeObject", bucket, key, changes, this.#recorded(options));
  }

  getObject(bucket: string, key: string): Promise<ObjectWithBlob | undefined> {
    return this.#read("getObject", bucket, key);
  }

  headObject(bucket: string, key: string): Promise<ObjectRecord | undefined> {
    return this.#read("headObject", bucket, key);
  }

  findObjects(bytes: {
    readonly bucket: string;
    readonly sha256: Uint8Array;
    readonly length: number;
  }): Promise<readonly ObjectRecord[]> {
    return this.#read("findObjects", { ...bytes, sha256: ownCopy(bytes.sha256) });
  }

  listObjects(query: ListQuery): Promise<ListPage> {
    return this.#read("listObjects", query);
  }

  deleteObject(
    bucket: string,
    key: string,
    options: WriteConditions & DeleteOptions,
  ): Promise<ObjectRecord | undefined> {
    return this.#write("deleteObject", bucket, key, this.#recorded(options));
  }

  deleteObjects(
    bucket: string,
    keys: readonly string[],
    options: DeleteOptions,
  ): Promise<DeleteResult> {
    return this.#write("deleteObjects", bucket, keys, this.#recorded(options));
  }

  listTrash(query: TrashQuery): Promise<TrashPage> {
    return this.#read("listTrash", query);
  }

  getTrash(bucket: string, ids: readonly number[]): Promise<readonly TrashRecord[]> {
    return this.#read("getTrash", bucket, ids);
  }

  restoreTrash(
    selection: TrashSelection,
    options: Authored & {
      readonly ifExists: "skip" | "replace";
      readonly now: Date;
      readonly garbageDueAt: Date;
    },
  ): Promise<RestoreResult> {
    return this.#write("restoreTrash", selection, this.#recorded(options));
  }

  purgeTrash(
    selection: TrashSelection,
    options: Authored & { readonly now: Date; readonly garbageDueAt: Date },
  ): Promise<PurgeResult> {
    return this.#write("purgeTrash", selection, this.#recorded(options));
  }

  purgeTrashDue(
    options: Authored & {
      readonly dueBefore: Date;
      readonly garbageDueAt: Date;
      readonly limit: number;
    },
  ): Promise<number> {
    return this.#write("purgeTrashDue", this.#recorded(options));
  }

  knownBlobs(storageId: string, blobKeys: readonly string[]): Promise<ReadonlySet<string>> {
    return this.#read("knownBlobs", storageId, blobKeys);
  }

  recordGarbage(
    blob: BlobAddress & { readonly length: number },
    options: { readonly garbageDueAt: Date },
  ): Promise<void> {
    return this.#write("recordGarbage", blob, options);
  }

  listGarbage(options: {
    readonly dueBefore: Date;
    readonly limit: number;
  }): Promise<readonly GarbageRecord[]> {
    return this.#read("listGarbage", options);
  }

  releasePieces(
    blob: BlobAddress,
    options: { readonly garbageDueAt: Date; readonly limit: number },
  ): Promise<number> {
    return this.#write("releasePieces", blob, options);
  }

  forgetGarbage(blobs: readonly BlobAddress[]): Promise<void> {
    return this.#write("forgetGarbage", blobs);
  }

  createAccessKey(key: AccessKeyRecord, options: Authored): Promise<void> {
    const owned = { ...key, sealedSecret: ownCopy(key.sealedSecret) };
    return this.#write("createAccessKey", owned, this.#recorded(options));
  }

  getAccessKey(id: string): Promise<AccessKeyRecord | undefined> {
    return this.#read("getAccessKey", id);
  }

  listAccessKeys(): Promise<readonly AccessKeyRecord[]> {
    return this.#read("listAccessKeys");
  }

  changeAccessKey(
    id: string,
    changes: Partial<Pick<AccessKeyRecord, "name" | "policy" | "enabled" | "sealedSecret">>,
    options: Authored,
  ): Promise<AccessKeyRecord> {
    const { sealedSecret } = changes;
    const owned = sealedSecret === undefined ? {} : { sealedSecret: ownCopy(sealedSecret) };
    return this.#write("changeAccessKey", id, { ...changes, ...owned }, this.#recorded(options));
  }

  deleteAccessKey(id: string, options: Authored): Promise<void> {
    return this.#write("deleteAccessKey", id, this.#recorded(options));
  }

  getSetting(name: string): Promise<string | undefined> {
    return this.#read("getSetting", name);
  }

  putSetting(name: string, value: string, options?: Authored): Promise<void> {
    const recorded = options && this.#recorded(options);
    return this.#write("putSetting", name, value, recorded);
  }

  getGrantUses(id: string): Promise<number> {
    return this.#read("getGrantUses", id);
  }

  forgetGrantUses(options: {
    readonly expiredBefore: Date;
    readonly limit: number;
  }): Promise<number> {
    return this.#write("forgetGrantUses", options);
  }

  listStorages(): Promise<readonly StorageRecord[]> {
    return this.#read("listStorages");
  }

  putStorage(storage: StorageRecord, options: Authored): Promise<void> {
    const { sealedSecrets } = storage;
    const owned = sealedSecrets === null ? null : ownCopy(sealedSecrets);
    return this.#write("putStorage", { ...storage, sealedSecrets: owned }, this.#recorded(options));
  }

  deleteStorage(id: string, options: Authored): Promise<void> {
    return this.#write("deleteStorage", id, this.#recorded(options));
  }

  countBlobsOfStorage(storageId: string): Promise<StorageBlobCount> {
    return this.#read("countBlobsOfStorage", storageId);
  }

  async createUpload(upload: UploadRecord, limits: { readonly openMax: number }): Promise<void> {
    await this.#write("createUpload", { ...upload, digests: ownDigests(upload.digests) }, limits);
  }

  getUpload(id: string): Promise<UploadRecord | undefined> {
    return this.#read("getUpload", id);
  }

  async putUploadPart(
    id: string,
    part: UploadPartBlob,
    options: { readonly now: Date; readonly expiresAt: Date; readonly garbageDueAt: Date },
  ): Promise<UploadPartBlob | undefined> {
    return await this.#write("putUploadPart", id, ownPart(part), options);
  }

  listUploadParts(id: string, query: UploadPartsQuery): Promise<readonly UploadPartBlob[]> {
    return this.#read("listUploadParts", id, query);
  }

  listMultipart(query: MultipartQuery): Promise<MultipartPage> {
    return this.#read("listMultipart", query);
  }

  listUploads(query: UploadQuery): Promise<readonly UploadRecord[]> {
    return this.#read("listUploads", query);
  }

  takeUpload(
    id: string,
    lease: {
      readonly holder: string;
      readonly now: Date;
      readonly until: Date;
      readonly ended?: EndedLease | null;
    },
  ): Promise<UploadTaken | undefined> {
    return this.#write("takeUpload", id, lease);
  }

  renewUploads(
    writers: readonly UploadWriter[],
    lease: { readonly holder: string; readonly until: Date },
  ): Promise<{ readonly kept: readonly string[]; readonly yield: readonly string[] }> {
    return this.#write("renewUploads", writers.map(plainWriter), lease);
  }

  async checkpointUpload(
    writer: UploadWriter,
    checkpoint: UploadCheckpoint,
  ): Promise<UploadRecord> {
    return await this.#write("checkpointUpload", plainWriter(writer), ownCheckpoint(checkpoint));
  }

  releaseUpload(writer: UploadWriter): Promise<void> {
    return this.#write("releaseUpload", plainWriter(writer));
  }

  async completeUpload(
    writer: UploadWriter,
    object: NewObject,
    blob: BlobRecord,
    options: WriteConditions & Authored & { readonly garbageDueAt: Date; readonly expiresAt: Date },
  ): Promise<WriteResult> {
    const owned = ownBlob(blob);
    return await this.#write(
      "completeUpload",
      plainWriter(writer),
      object,
      owned,
      this.#recorded(options),
    );
  }

  completeByReference(
    writer: UploadWriter,
    source: { readonly bucket: string; readonly key: string; readonly version: string },
    object: NewObject,
    options: WriteConditions & Authored & { readonly garbageDueAt: Date; readonly expiresAt: Date },
  ): Promise<WriteResult> {
    return this.#write(
      "completeByReference",
      plainWriter(writer),
      source,
      object,
      this.#recorded(options),
    );
  }

  async completePartial(
    writer: UploadWriter,
    blob: BlobRecord,
    options: { readonly expiresAt: Date; readonly version: string; readonly garbageDueAt: Date },
  ): Promise<UploadRecord> {
    return await this.#write("completePartial", plainWriter(writer), ownBlob(blob), options);
  }

  partialBlobs(ids: readonly string[]): Promise<ReadonlyMap<string, BlobRecord>> {
    return this.#read("partialBlobs", ids);
  }

  cancelUpload(
    id: string,
    options: { readonly expiredBefore?: Date } = {},
  ): Promise<UploadTaken | undefined> {
    return this.#write("cancelUpload", id, options);
  }

  forgetUpload(id: string, options: { readonly garbageDueAt: Date }): Promise<void> {
    return this.#write("forgetUpload", id, options);
  }

  listUploadsDue(options: {
    readonly now: Date;
    readonly limit: number;
  }): Promise<readonly UploadRecord[]> {
    return this.#read("listUploadsDue", options);
  }

  uploadsOwning(storageId: string, blobKeys: readonly string[]): Promise<ReadonlySet<string>> {
    return this.#read("uploadsOwning", storageId, blobKeys);
  }

  appendRefusals(refusals: readonly Refusal[]): Promise<void> {
    return this.#write("appendRefusals", refusals);
  }

  listAudit(query: AuditQuery): Promise<AuditPage> {
    return this.#read("listAudit", query);
  }

  verifyAudit(query: {
    readonly after: number;
    readonly limit: number;
  }): Promise<AuditVerification> {
    return this.#read("verifyAudit", query);
  }

  pruneAudit(
    options: Authored & { readonly before: Date; readonly limit: number },
  ): Promise<number> {
    return this.#write("pruneAudit", this.#recorded(options));
  }

  bucketUsage(bucket: string): Promise<BucketUsage> {
    return this.#read("bucketUsage", bucket);
  }

  putBulkDelete(record: BulkDeleteRecord, options: Authored): Promise<void> {
    return this.#write("putBulkDelete", record, this.#recorded(options));
  }

  getBulkDelete(id: string): Promise<BulkDeleteRecord | undefined> {
    return this.#read("getBulkDelete", id);
  }

  listBulkDeletes(options: { readonly limit: number }): Promise<readonly BulkDeleteRecord[]> {
    return this.#read("listBulkDeletes", options);
  }

  advanceBulkDelete(id: string, step: BulkDeleteStep): Promise<BulkDeleteProgress | undefined> {
    return this.#write("advanceBulkDelete", id, this.#recorded(step));
  }

  takeIdempotencyKey(request: IdempotentRequest): Promise<IdempotencyState> {
    return this.#write("takeIdempotencyKey", request);
  }

  renewIdempotencyKey(mark: IdempotencyMark, lease: { readonly until: Date }): Promise<void> {
    return this.#write("renewIdempotencyKey", mark, lease);
  }

  recordIdempotentAnswer(mark: IdempotencyMark, answer: KeptAnswer): Promise<void> {
    return this.#write("recordIdempotentAnswer", mark, answer);
  }

  releaseIdempotencyKey(mark: IdempotencyMark): Promise<void> {
    return this.#write("releaseIdempotencyKey", mark);
  }

  forgetIdempotencyKeys(options: {
    readonly expiredBefore: Date;
    readonly limit: number;
  }): Promise<number> {
    return this.#write("forgetIdempotencyKeys", options);
  }

  async probe(): Promise<void> {
    const late = Promise.withResolvers<never>();
    const timer = setTimeout(() => {
      late.reject(
        new OperationalError(
          "unavailable",
          `no answer from the metadata store in ${probeMsMax} ms`,
        ),
      );
    }, probeMsMax);
    try {
      await Promise.race([Promise.all([this.#write("probe"), this.#read("probe")]), late.promise]);
    } finally {
      clearTimeout(timer);
    }
  }

  /** Waits for the calls under way; later ones fail with `unavailable`. */
  [Symbol.asyncDispose](): Promise<void> {
    this.#disposed ??= this.#resources.disposeAsync();
    return this.#disposed;
  }

  #recorded<Options extends Authored>(options: Options): Options & { readonly at: Date } {
    return { ...options, at: this.#clock.now() };
  }

  // The worker runs the very function whose type this is: what it answers has that type.
  #write<Name extends keyof typeof writes>(
    name: Name,
    ...args: Arguments<(typeof writes)[Name]>
  ): Promise<Answer<(typeof writes)[Name]>> {
    const budget = mayBeGivenUp(name) ? this.#currentBudget() : undefined;
    if (budget?.failure !== undefined && isRefusedAfter(name, budget.failure)) {
      return Promise.reject(budget.failure);
    }
    const given = budget && {
      budget,
      isGivenUpFor: (failure: OperationalError) => isGivenUpFor(name, failure),
      isMarked: isEffect(name),
    };
    return this.#writer.call(name, args, given) as Promise<Answer<(typeof writes)[Name]>>;
  }

  #read<Name extends keyof typeof reads>(
    name: Name,
    ...args: Arguments<(typeof reads)[Name]>
  ): Promise<Answer<(typeof reads)[Name]>> {
    const budget = this.#currentBudget();
    // What is asked after the failure serves to tidy up.
    const given = budget !== undefined && budget.failure === undefined ? { budget } : undefined;
    return this.#reader.call(name, args, given) as Promise<Answer<(typeof reads)[Name]>>;
  }
}

/** A writer may be more than these, which a thread cannot be sent. */
function plainWriter({ id, fence }: UploadWriter): UploadWriter {
  return { id, fence };
}
