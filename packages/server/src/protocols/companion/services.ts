/** What the protocol needs of the server, and what each of its handlers is given. */
import type { FastifyReply, FastifyRequest } from "fastify";
import type { Gate, TemporaryKey } from "../../authentication/index.ts";
import type { Actor, GrantScope } from "../../core/access.ts";
import type { Buckets } from "../../core/buckets.ts";
import type { DataEnvironment } from "../../core/environment.ts";
import type { Multipart } from "../../core/multipart/index.ts";

export interface CompanionServices extends Gate {
  readonly multipart: Multipart;
  readonly buckets: Buckets;
  readonly environment: DataEnvironment;
  /** That signatures are made for. */
  readonly region: string;
  /** Where the S3 interface is under the public address: `/s3`. */
  readonly s3Path: string;
  /** Where clients reach the server; left out: as the request came. */
  readonly publicUrl?: string;
}

/** Everybody comes with a grant: it says the bucket, the keys and the limits. */
export type GrantActor = Extract<Actor, { readonly kind: "grant" }>;

/** One request on its way through a handler. */
export interface Exchange {
  readonly request: FastifyRequest;
  readonly reply: FastifyReply;
  readonly actor: GrantActor;
  readonly scope: GrantScope;
  readonly key: TemporaryKey;
  /** Of the S3 interface as the client reaches it: `https://files.example/s3`. */
  readonly s3Url: string;
}

/** Parses, acts in core, renders. What it resolves to is the answer's JSON. */
export type Handler = (exchange: Exchange) => Promise<object>;
