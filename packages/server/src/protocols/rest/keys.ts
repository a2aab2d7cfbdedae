/** Access keys. A secret is answered once, by the request that made it. */
import type { NewAccessKeyJson } from "@roma/contract";
import { basePath, idOf } from "./address.ts";
import { receiveJson } from "./json-body.ts";
import { present } from "./present.ts";
import { keyChanges, newKey } from "./schemas.ts";
import type { Handler, RestServices } from "./services.ts";
import { accessKeyJson } from "./wire.ts";

export const createKey =
  ({ accessKeys }: RestServices): Handler =>
  async (exchange): Promise<NewAccessKeyJson> => {
    const { name, policy } = await receiveJson(exchange, newKey);
    const { actor } = exchange.caller;
    const made = await accessKeys.create(actor, { name, policy: policy.map(present) });
    exchange.reply.code(201).header("location", `${basePath}/keys/${made.record.id}`);
    return { ...accessKeyJson(made.record), secret: made.secret };
  };

export const listKeys =
  ({ accessKeys }: RestServices): Handler =>
  async ({ caller }) => ({ keys: (await accessKeys.list(caller.actor)).map(accessKeyJson) });

export const getKey =
  ({ accessKeys }: RestServices): Handler =>
  async ({ request, caller }) =>
    accessKeyJson(await accessKeys.get(caller.actor, idOf(request)));

export const changeKey =
  ({ accessKeys }: RestServices): Handler =>
  async (exchange) => {
    const id = idOf(exchange.request);
    const { policy, ...rest } = await receiveJson(exchange, keyChanges);
    const changes = present({ ...rest, policy: policy?.map(present) });
    return accessKeyJson(await accessKeys.change(exchange.caller.actor, id, changes));
  };

export const deleteKey =
  ({ accessKeys }: RestServices): Handler =>
  async ({ request, reply, caller }) => {
    await accessKeys.delete(caller.actor, idOf(request));
    reply.code(204);
    return null;
  };
