/** What the protocol needs of the server, and what each of its handlers is given. */
import type { FastifyReply, FastifyRequest } from "fastify";
import type { Caller } from "../../authentication/index.ts";
import type { AccessKeys } from "../../core/access-keys.ts";
import type { Audit } from "../../core/audit/index.ts";
import type { Buckets } from "../../core/buckets.ts";
import type { BulkDeletes } from "../../core/bulk-deletes.ts";
import type { DirectUploads } from "../../core/direct/index.ts";
import type { DataEnvironment } from "../../core/environment.ts";
import type { Idempotency } from "../../core/idempotency.ts";
import type { Objects } from "../../core/objects.ts";
import type { Clock } from "../../core/ports/clock.ts";
import type { Log } from "../../core/ports/log.ts";
import type { ResumableUploads } from "../../core/resumable/index.ts";
import type { Trash } from "../../core/trash.ts";
import type { Uploads } from "../../core/uploads.ts";
import type { OssKeys } from "./oss-keys.ts";
import type { StorageAdministration } from "./storage-administration.ts";

export interface RestServices {
  readonly uploads: Uploads;
  readonly resumable: ResumableUploads;
  readonly direct: DirectUploads;
  readonly objects: Objects;
  readonly buckets: Buckets;
  readonly trash: Trash;
  readonly environment: DataEnvironment;
  readonly bulkDeletes: BulkDeletes;
  readonly accessKeys: AccessKeys;
  readonly storages: StorageAdministration;
  readonly audit: Audit;
  readonly idempotency: Idempotency;
  /** Who proves to be OSS. */
  readonly ossKeys: OssKeys;
  readonly clock: Clock;
  readonly log: Log;
  /** Where clients reach the server; named in the OpenAPI document. */
  readonly publicUrl?: string;
}

/** One request on its way through a handler. */
export interface Exchange {
  readonly request: FastifyRequest;
  readonly reply: FastifyReply;
  readonly caller: Caller;
}

/** Parses, makes one call to core, renders. What it resolves to is the response's JSON. */
export type Handler = (exchange: Exchange) => Promise<unknown>;
