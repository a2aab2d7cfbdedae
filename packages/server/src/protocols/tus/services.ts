/** What the protocol needs of the server, and what each of its handlers is given. */
import type { FastifyReply, FastifyRequest } from "fastify";
import type { Caller, Gate } from "../../authentication/index.ts";
import type { Buckets } from "../../core/buckets.ts";
import type { DataEnvironment } from "../../core/environment.ts";
import type { Objects } from "../../core/objects.ts";
import type { ResumableUploads } from "../../core/resumable/index.ts";

export interface TusServices extends Gate {
  readonly resumable: ResumableUploads;
  readonly objects: Objects;
  readonly buckets: Buckets;
  readonly environment: DataEnvironment;
  /** Where a made object is read: `/v1/objects/…`, percent-encoded. */
  readonly objectPath: (bucket: string, key: string) => string;
  /** Where clients reach the server; left out: as the request came. */
  readonly publicUrl?: string;
}

/** One request on its way through a handler. */
export interface Exchange {
  readonly request: FastifyRequest;
  readonly reply: FastifyReply;
  readonly caller: Caller;
  readonly bucket: string;
}

/** Parses, acts in core, renders. */
export type Handler = (exchange: Exchange) => Promise<FastifyReply>;
