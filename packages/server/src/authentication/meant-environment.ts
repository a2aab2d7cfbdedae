/**
 * The environment that a request means, and whether it may change anything: asked by every protocol once the
 * credential of the request is known, and before its handler runs.
 */
import { environmentHeader } from "@roma/contract";
import type { FastifyReply, FastifyRequest } from "fastify";
import type { Actor } from "../core/access.ts";
import type { Buckets } from "../core/buckets.ts";
import { type DataEnvironment, parseEnvironment } from "../core/environment.ts";

export interface MeantServices {
  readonly environment: DataEnvironment;
  readonly buckets: Pick<Buckets, "find">;
}

export interface MeantRequest {
  readonly request: FastifyRequest;
  /** Left out where it names the server's environment whatever comes. */
  readonly reply?: FastifyReply;
  readonly actor: Actor;
  /** That the request is about; it may not exist. */
  readonly bucket: string | undefined;
  /** Whether it would change anything. */
  readonly changes: boolean;
}

/**
 * `environment_mismatch`, `read_only`; `invalid_request` for a header that is no label. The answer names the
 * bucket's environment where that has one of its own.
 */
export async function assertMeant(services: MeantServices, asked: MeantRequest): Promise<void> {
  const { environment } = services;
  const { request, reply, changes } = asked;
  const ofBucket = await ownEnvironment(services, asked);
  if (ofBucket !== undefined) reply?.header(environmentHeader, ofBucket);
  const field = request.headers[environmentHeader];
  const stated =
    field === undefined ? undefined : parseEnvironment(String(field), "Roma-Environment");
  environment.assertMeant({ stated, ofBucket, changes });
}

/** Nobody is told of a bucket that is not for everybody. */
async function ownEnvironment(
  { buckets }: MeantServices,
  { actor, bucket }: MeantRequest,
): Promise<string | undefined> {
  if (bucket === undefined) return undefined;
  const record = await buckets.find(bucket);
  if (actor.kind === "anonymous" && record?.visibility !== "public-read") return undefined;
  return record?.environment ?? undefined;
}

/** Whether a request with this method is one that changes something. */
export function isChange(method: string): boolean {
  return method !== "GET" && method !== "HEAD";
}
