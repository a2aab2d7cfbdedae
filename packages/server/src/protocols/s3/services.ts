/** What the protocol needs of the server, what each handler is given, and what a row of operations is. */
import type { FastifyReply, FastifyRequest } from "fastify";
import type { S3Caller } from "../../authentication/index.ts";
import type { AccessKeys } from "../../core/access-keys.ts";
import type { Buckets } from "../../core/buckets.ts";
import type { DataEnvironment } from "../../core/environment.ts";
import type { Multipart } from "../../core/multipart/index.ts";
import type { ObjectKey } from "../../core/object-key.ts";
import type { Objects } from "../../core/objects.ts";
import type { Clock } from "../../core/ports/clock.ts";
import type { Log } from "../../core/ports/log.ts";
import type { ResumableUploads } from "../../core/resumable/index.ts";
import type { Uploads } from "../../core/uploads.ts";
import type { S3Query } from "./query.ts";

export interface S3Services {
  readonly uploads: Uploads;
  readonly objects: Objects;
  readonly buckets: Buckets;
  readonly environment: DataEnvironment;
  readonly resumable: ResumableUploads;
  readonly multipart: Multipart;
  readonly accessKeys: AccessKeys;
  readonly clock: Clock;
  readonly log: Log;
  /** The one region of all buckets. */
  readonly region: string;
  /** Of every bucket and object. */
  readonly owner: Owner;
  /** `s3.example`: a request to `BUCKET.s3.example` names its bucket by the host. Lower case. */
  readonly domains: readonly string[];
  /** Whether there is a listener for S3 alone. Hosts that name buckets are served there then, and not here. */
  readonly hasOwnListener: boolean;
  /** Whether what is signed by version 2 of the signature is taken. */
  readonly signatureV2: boolean;
  /** Where clients reach the server; left out: as the request came. */
  readonly publicUrl?: string;
}

export interface Owner {
  readonly id: string;
  readonly displayName: string;
}

/** One request on its way through a handler. */
export interface Exchange {
  readonly request: FastifyRequest;
  readonly reply: FastifyReply;
  readonly caller: S3Caller;
  /** Empty for an operation on the service. */
  readonly bucket: string;
  /** Of an operation on an object alone. */
  readonly key?: ObjectKey;
  readonly query: S3Query;
  /** Where the request found the S3 interface: `/s3`, or empty on a listener of its own. */
  readonly basePath: string;
}

export interface ObjectExchange extends Exchange {
  readonly key: ObjectKey;
}

/** Parses, acts in core, renders. What it resolves to is not looked at. */
export type Handler<E extends Exchange = Exchange> = (exchange: E) => Promise<unknown>;

/** What a request must carry beside its method, for the operation to be meant. */
export interface When {
  /** The one sub-resource of the request's query: of `subResources`. Left out: it has none. */
  readonly query?: string;
  /** Of `operationHeaders`. Left out: it has none of them. */
  readonly header?: string;
}

interface Row<On extends string, E extends Exchange> {
  readonly method: "GET" | "HEAD" | "PUT" | "POST" | "DELETE";
  readonly on: On;
  /** A text is the sub-resource. */
  readonly when?: string | When;
  /** As AWS names it. */
  readonly operation: string;
  /** The credential is a field of the form that is its body. */
  readonly isForm?: boolean;
  readonly handler: Handler<E>;
}

export type OperationRow =
  | Row<"service", Exchange>
  | Row<"bucket", Exchange>
  | Row<"object", ObjectExchange>;
