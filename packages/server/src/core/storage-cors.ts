/**
 * What the bucket of a storage has to allow so that pages can send direct uploads to it: one rule of ours among
 * those of others, put before them, since storages go by the first that fits.
 */
import { OperationalError } from "./errors.ts";
import type { CorsRule } from "./ports/cors-rule.ts";
import type { BucketCors, Call, StorageDriver } from "./ports/storage-driver.ts";
import type { Storages } from "./ports/storages.ts";

/** Of our rule, where the storage keeps names. */
export const pageRuleId = "roma-direct-uploads";

/** Parts and forms; what is sent along is bound by the signature. */
const pageRule: Omit<CorsRule, "allowedOrigins"> = {
  allowedMethods: ["PUT", "POST"],
  allowedHeaders: ["*"],
  exposeHeaders: ["ETag"],
  maxAgeSeconds: 3600,
};

/** In one call. */
export const pageOriginsMax = 100;
const originCharactersMax = 253;

export interface StorageCors {
  /** As the storage has them; undefined where they cannot be read. */
  readonly rules?: readonly CorsRule[];
  /** Why not, or what else decides. */
  readonly note?: string;
  /** What would stop a page of that origin, if anything would. */
  readonly origins: readonly { readonly origin: string; readonly problem?: string }[];
}

/** Reads the rules and tries the origins. `unsupported` where no request of a page goes to the storage. */
export async function checkStorageCors(
  driver: StorageDriver,
  origins: readonly string[],
  call: Call,
): Promise<StorageCors> {
  assertOrigins(origins);
  const cors = bucketCorsOf(driver);
  return { ...(await rulesOf(cors, call)), origins: await tried(cors, origins, call) };
}

/**
 * Makes pages of these origins, and of no others, those of our rule; without any the rule goes. Answers as
 * `checkStorageCors`. `unsupported` where the storage lets nobody set rules.
 */
export async function setStorageCors(
  driver: StorageDriver,
  origins: readonly string[],
  call: Call,
): Promise<StorageCors> {
  assertOrigins(origins);
  const cors = bucketCorsOf(driver);
  const rules = await cors.change((before) => withPageRule(before, origins), call);
  return { rules, origins: await tried(cors, origins, call) };
}

/** Both for storages that are known by their ids. */
export function storageCorsOf(storages: Pick<Storages, "lease">) {
  const on =
    (run: typeof checkStorageCors) =>
    async (id: string, origins: readonly string[], call: Call): Promise<StorageCors> => {
      using lease = storages.lease(id, "read");
      return await run(lease.driver, origins, call);
    };
  return { cors: on(checkStorageCors), setCors: on(setStorageCors) };
}

export function withPageRule(
  rules: readonly CorsRule[],
  origins: readonly string[],
): readonly CorsRule[] {
  const others = rules.filter((rule) => !isPageRule(rule));
  if (origins.length === 0) return others;
  return [{ id: pageRuleId, allowedOrigins: origins, ...pageRule }, ...others];
}

/** Where a storage keeps no names, it is the one that says what ours says. */
function isPageRule({ id, allowedOrigins: _any, ...rule }: CorsRule): boolean {
  if (id !== undefined && id !== "") return id === pageRuleId;
  const { allowedMethods, maxAgeSeconds, ...lists } = rule;
  return (
    same(allowedMethods, pageRule.allowedMethods) &&
    same(lists.allowedHeaders, pageRule.allowedHeaders) &&
    same(lists.exposeHeaders, pageRule.exposeHeaders) &&
    maxAgeSeconds === pageRule.maxAgeSeconds
  );
}

function same(some: readonly string[], others: readonly string[]): boolean {
  const sorted = (list: readonly string[]) => list.map((one) => one.toLowerCase()).toSorted();
  return sorted(some).join() === sorted(others).join();
}

function bucketCorsOf({ id, bucketCors }: StorageDriver): BucketCors {
  if (bucketCors !== undefined) return bucketCors;
  const message =
    `CORS of the storage ${id}: no request of a page goes to it, this server answers ` +
    "(http.corsOrigins, and the rules of a bucket by PutBucketCors)";
  throw new OperationalError("unsupported", message, { context: { storageId: id } });
}

async function rulesOf(cors: BucketCors, call: Call): Promise<Pick<StorageCors, "rules" | "note">> {
  try {
    const rules = await cors.read(call);
    return { rules, ...(rules.length > 0 || cors.hint === undefined ? {} : { note: cors.hint }) };
  } catch (error) {
    call.signal.throwIfAborted();
    // Whether pages may send is found out all the same.
    if (error instanceof OperationalError && !error.retryable) return { note: error.message };
    throw error;
  }
}

async function tried(
  cors: BucketCors,
  origins: readonly string[],
  call: Call,
): Promise<StorageCors["origins"]> {
  const found: { readonly origin: string; readonly problem?: string }[] = [];
  for (const origin of origins) {
    const problem = await cors.tryOrigin(exampleOf(origin), call);
    found.push({ origin, ...(problem === undefined ? {} : { problem }) });
  }
  return found;
}

/** An origin that the pattern is meant for. */
function exampleOf(pattern: string): string {
  return pattern === "*" ? "https://page.example" : pattern.replace("*", "page");
}

/** As browsers send them, or with one `*` in the host; `invalid_request`. */
function assertOrigins(origins: readonly string[]): void {
  if (origins.length > pageOriginsMax) {
    throw wrongOrigins(`has ${origins.length} origins, more than ${pageOriginsMax}`);
  }
  for (const origin of origins) {
    if (origin === "*") continue;
    const known = origin.length <= originCharactersMax && /^https?:\/\/[^*]*\*?[^*]*$/.test(origin);
    if (known && URL.parse(exampleOf(origin))?.origin === exampleOf(origin)) continue;
    const shown = JSON.stringify(origin.slice(0, originCharactersMax));
    throw wrongOrigins(`has ${shown}, which is no origin such as https://app.example`);
  }
}

function wrongOrigins(what: string): OperationalError {
  return new OperationalError("invalid_request", `"origins" ${what}`, {
    context: { field: "origins" },
  });
}
