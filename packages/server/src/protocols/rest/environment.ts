/** Which environment this is, for clients that want to know before they change anything. */
import type { EnvironmentJson } from "@roma/contract";
import type { FastifyRequest } from "fastify";
import { assertMeant } from "../../authentication/index.ts";
import { bucketNamePattern } from "../../core/object-key.ts";
import { queryValue } from "../../http/index.ts";
import { bucketOf, idOf } from "./address.ts";
import type { Exchange, Handler, RestServices } from "./services.ts";

export const getEnvironment =
  ({ environment }: RestServices): Handler =>
  async ({ reply }): Promise<EnvironmentJson> => {
    const answered = reply.getHeader("roma-environment");
    return {
      // Of the bucket in the query, if it has one of its own.
      environment: typeof answered === "string" ? answered : null,
      readOnly: environment.readOnly ?? null,
    };
  };

/** The bucket that a request is about, as far as its target says it. */
export async function bucketMeant(
  { direct }: RestServices,
  request: FastifyRequest,
  { path }: { readonly path: string },
): Promise<string | undefined> {
  if (path.includes("{bucket}")) return bucketOf(request);
  if (path.startsWith("/uploads/{id}")) return await direct.bucketOf(idOf(request));
  const named = path === "/environment" ? queryValue(request, "bucket") : undefined;
  return named !== undefined && bucketNamePattern.test(named) ? named : undefined;
}

/** For requests whose body names the bucket; whether they may change it was asked before. */
export async function assertBucketMeant(
  services: RestServices,
  { request, reply, caller }: Exchange,
  bucket: string,
): Promise<void> {
  await assertMeant(services, { request, reply, actor: caller.actor, bucket, changes: false });
}
