/** Buckets: settings, their validation, and a small cache for the hot path. */
import {
  type BucketVisibility,
  objectBytesMax,
  type PlacementJson,
  type PlacementRuleJson,
} from "@roma/contract";
import { type Actor, authorize, isAllowed } from "./access.ts";
import { authorOf } from "./author.ts";
import { isContentTypeRange } from "./content-type.ts";
import { OperationalError } from "./errors.ts";
import { bucketNamePattern, parseNewBucketName } from "./object-key.ts";
import type { Clock } from "./ports/clock.ts";
import type {
  BucketRecord,
  BulkDeleteApprovals,
  CorsRule,
  MetadataStore,
} from "./ports/metadata-store.ts";
import { noSiblings, type Siblings } from "./ports/siblings.ts";
import type { Storages } from "./ports/storages.ts";
import { RecordCache } from "./record-cache.ts";
import { assertSafetySettings, weekMs } from "./safety-settings.ts";

/** What a caller may set; what is left out keeps its default or its value. */
export interface BucketSettings {
  readonly visibility?: BucketVisibility;
  readonly maxObjectBytes?: number | null;
  readonly contentTypes?: readonly string[] | null;
  readonly uploadExpiryMs?: number;
  readonly quotaBytes?: number | null;
  readonly placement?: PlacementJson;
  /** Judged by who takes it from the client. */
  readonly cors?: readonly CorsRule[] | null;
  /** 1 s to ten years. */
  readonly trashMs?: number | null;
  /** `[a-z][a-z0-9-]{0,31}`. */
  readonly environment?: string | null;
  readonly deletesPerHour?: number | null;
  /** 1 s to a hundred years. */
  readonly retentionMs?: number | null;
  readonly bulkDeleteApprovals?: BulkDeleteApprovals;
}

/** How long the bucket is kept that every request asks for. */
const cacheMs = 2_000;
const cachedBucketsMax = 10_000;

const contentTypesMax = 100;
const placementRulesMax = 100;
const uploadExpiryMsMin = 1_000;
const uploadExpiryMsMax = 30 * 24 * 60 * 60 * 1000;

export class Buckets {
  readonly #metadata: MetadataStore;
  readonly #storages: Storages;
  readonly #clock: Clock;
  readonly #trashMsDefault: number | null;
  readonly #cache: RecordCache<BucketRecord>;

  constructor(options: {
    readonly metadata: MetadataStore;
    readonly storages: Storages;
    readonly clock: Clock;
    /** Of new buckets; left out: a week. */
    readonly trashMs?: number | null;
    readonly siblings?: Siblings;
  }) {
    const { clock, siblings = noSiblings() } = options;
    this.#cache = new RecordCache({
      ...{ clock, siblings, name: "buckets", msMax: cacheMs, recordsMax: cachedBucketsMax },
    });
    this.#metadata = options.metadata;
    this.#storages = options.storages;
    this.#clock = options.clock;
    this.#trashMsDefault = options.trashMs === undefined ? weekMs : options.trashMs;
  }

  /** `already_exists`; `invalid_request` names the setting, or says what is wrong with the name. */
  async create(actor: Actor, name: string, settings: BucketSettings): Promise<BucketRecord> {
    parseNewBucketName(name);
    authorize(actor, "bucket:write", { bucket: name });
    const checked = this.#check(settings);
    const bucket: BucketRecord = {
      name,
      visibility: checked.visibility ?? "private",
      maxObjectBytes: checked.maxObjectBytes ?? null,
      contentTypes: checked.contentTypes ?? null,
      uploadExpiryMs: checked.uploadExpiryMs ?? 24 * 60 * 60 * 1000,
      quotaBytes: checked.quotaBytes ?? null,
      placement: checked.placement ?? this.#storages.defaultId,
      cors: checked.cors ?? null,
      trashMs: checked.trashMs === undefined ? this.#trashMsDefault : checked.trashMs,
      environment: checked.environment ?? null,
      deletesPerHour: checked.deletesPerHour ?? null,
      retentionMs: checked.retentionMs ?? null,
      bulkDeleteApprovals: checked.bulkDeleteApprovals ?? 1,
      createdAt: this.#clock.now(),
    };
    await this.#metadata.createBucket(bucket, { author: authorOf(actor) });
    return bucket;
  }

  async get(actor: Actor, name: string): Promise<BucketRecord> {
    authorize(actor, "bucket:read", { bucket: name });
    return this.require(name);
  }

  /** Those the actor may read. */
  async list(actor: Actor): Promise<readonly BucketRecord[]> {
    // Nobody at all is told so, instead of being shown an empty list.
    if (actor.kind === "anonymous") authorize(actor, "bucket:read", {});
    const buckets = await this.#metadata.listBuckets();
    return buckets.filter((bucket) => isAllowed(actor, "bucket:read", { bucket: bucket.name }));
  }

  async change(actor: Actor, name: string, settings: BucketSettings): Promise<BucketRecord> {
    authorize(actor, "bucket:write", { bucket: name });
    const changes = this.#check(settings);
    const author = authorOf(actor);
    return await this.#cache.changing(name, () =>
      this.#metadata.changeBucket(name, changes, { author }),
    );
  }

  /** `not_empty` while it holds an object. */
  async delete(actor: Actor, name: string): Promise<void> {
    authorize(actor, "bucket:delete", { bucket: name });
    const author = authorOf(actor);
    await this.#cache.changing(name, () => this.#metadata.deleteBucket(name, { author }));
  }

  /** `bucket_not_found`. For the hot path. */
  async require(name: string): Promise<BucketRecord> {
    const bucket = await this.find(name);
    if (bucket === undefined) {
      throw new OperationalError("bucket_not_found", "there is no such bucket", {
        context: bucketNamePattern.test(name) ? { bucket: name } : {},
      });
    }
    return bucket;
  }

  /** As it is now. `bucket_not_found`. */
  async reread(name: string): Promise<BucketRecord> {
    this.#cache.forget(name);
    return this.require(name);
  }

  async find(name: string): Promise<BucketRecord | undefined> {
    return await this.#cache.get(name, () => this.#metadata.getBucket(name));
  }

  #check(settings: BucketSettings): BucketSettings {
    const { maxObjectBytes, contentTypes, uploadExpiryMs, quotaBytes, placement } = settings;
    if (typeof maxObjectBytes === "number") {
      if (
        !Number.isSafeInteger(maxObjectBytes) ||
        maxObjectBytes < 0 ||
        maxObjectBytes > objectBytesMax
      ) {
        throw wrongSetting("maxObjectBytes", `must be 0 to ${objectBytesMax} bytes`);
      }
    }
    if (contentTypes != null) {
      if (contentTypes.length > contentTypesMax) {
        throw wrongSetting("contentTypes", `has more than ${contentTypesMax} entries`);
      }
      const wrong = contentTypes.findIndex((range) => !isContentTypeRange(range));
      if (wrong !== -1)
        throw wrongSetting(`contentTypes[${wrong}]`, "is not a type or a range like image/*");
    }
    if (
      uploadExpiryMs !== undefined &&
      !(uploadExpiryMs >= uploadExpiryMsMin && uploadExpiryMs <= uploadExpiryMsMax)
    ) {
      throw wrongSetting("uploadExpiry", "must be 1 s to 30 days");
    }
    if (quotaBytes != null && !(Number.isSafeInteger(quotaBytes) && quotaBytes >= 0)) {
      throw wrongSetting("quotaBytes", `must be 0 to ${Number.MAX_SAFE_INTEGER} bytes`);
    }
    if (placement !== undefined) this.#checkPlacement(placement);
    assertSafetySettings(settings);
    return settings;
  }

  #checkPlacement(placement: PlacementJson): void {
    if (typeof placement === "string") {
      this.#checkStorage(placement, "placement");
      return;
    }
    if (placement.length > placementRulesMax) {
      throw wrongSetting("placement", `has more than ${placementRulesMax} rules`);
    }
    for (const [index, rule] of placement.entries()) {
      this.#checkRule(rule, `placement[${index}]`);
    }
  }

  #checkRule(rule: PlacementRuleJson, path: string): void {
    this.#checkStorage(rule.storage, `${path}.storage`);
    if (rule.fallback !== undefined) {
      this.#checkStorage(rule.fallback, `${path}.fallback`);
      if (rule.fallback === rule.storage) {
        throw wrongSetting(`${path}.fallback`, "is the rule's own storage");
      }
    }
    if (rule.contentType !== undefined && !isContentTypeRange(rule.contentType)) {
      throw wrongSetting(`${path}.contentType`, "is not a type or a range like image/*");
    }
    if ((rule.minBytes ?? 0) > (rule.maxBytes ?? Number.MAX_SAFE_INTEGER)) {
      throw wrongSetting(`${path}.minBytes`, "is greater than maxBytes");
    }
    if (rule.mirrors !== undefined) {
      throw new OperationalError("unsupported", `${path}: mirrors are not offered yet`);
    }
  }

  /** `storage_not_found`. One that fails at the moment may be named, one that takes nothing not. */
  #checkStorage(id: string, path: string): void {
    if (this.#storages.readiness(id) !== "closed") return;
    throw wrongSetting(path, "names a storage that takes no new uploads");
  }
}

function wrongSetting(field: string, what: string): OperationalError {
  return new OperationalError("invalid_request", `${field} ${what}`, { context: { field } });
}
