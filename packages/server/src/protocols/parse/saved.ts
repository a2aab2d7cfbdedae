/** The answer to an upload. */
import { publicOrigin } from "../../http/index.ts";
import { basePath, filePath } from "./address.ts";
import type { Caller } from "./admit.ts";
import type { Exchange, ParseServices } from "./services.ts";

/** 201 with the two members that SDKs read. */
export function renderSaved(
  { publicUrl }: ParseServices,
  { request, reply }: Exchange,
  { caller, key }: { readonly caller: Caller; readonly key: string },
) {
  const { id, config } = caller.application;
  const mount =
    config.publicServerURL?.replace(/\/+$/, "") ??
    `${publicOrigin(request, { publicUrl })}${basePath}`;
  const url = `${mount}${filePath(id, key)}`;
  return reply.code(201).header("location", url).send({ url, name: key });
}
