/**
 * Storages: add, change, retire, test. Only who may `storage:read` is shown settings, which name places
 * of the server; secrets are shown to nobody.
 */
import type {
  StorageCorsJson,
  StorageJson,
  StorageListJson,
  StorageTestJson,
} from "@roma/contract";
import type { z } from "zod";
import { authorize, isAllowed } from "../../core/access.ts";
import { authorOf } from "../../core/author.ts";
import { isOperationalError, OperationalError } from "../../core/errors.ts";
import type { Author } from "../../core/ports/author.ts";
import type { StorageInfo, StorageSettings } from "../../core/ports/storages.ts";
import { hasQuery, queryValue, requestSignal } from "../../http/index.ts";
import { basePath, idOf } from "./address.ts";
import { receiveJson } from "./json-body.ts";
import { storageCors, storageSettings } from "./schemas.ts";
import type { Exchange, Handler, RestServices } from "./services.ts";
import type { StorageAdministration } from "./storage-administration.ts";
import { storageCorsJson, storageJson, storageTestJson } from "./wire.ts";
import { writeConditions } from "./write-conditions.ts";

export const listStorages =
  ({ storages }: RestServices): Handler =>
  async ({ caller }): Promise<StorageListJson> => {
    authorize(caller.actor, "storage:read", {});
    const all = await storages.everywhere(storages.list());
    return { storages: all.map(storageJson) };
  };

export const getStorage =
  ({ storages }: RestServices): Handler =>
  async ({ request, caller }): Promise<StorageJson> => {
    authorize(caller.actor, "storage:read", {});
    const known = storages.describe(idOf(request));
    const [info = known] = await storages.everywhere([known]);
    return storageJson(info);
  };

/** Adds a storage, or changes the one that is there. */
export const putStorage =
  ({ storages }: RestServices): Handler =>
  async (exchange): Promise<StorageJson> => {
    const { request, reply } = exchange;
    const given = await receiveSettings(exchange);
    const id = idOf(request);
    const author = authorOf(exchange.caller.actor);
    const existing = find(storages, id);
    if (existing !== undefined && existing.state !== "retired") {
      if (writeConditions(request).ifAbsent === true) {
        throw new OperationalError("precondition_failed", `the storage ${id} exists`);
      }
      return shown(exchange, await change(storages, existing, { ...given, author }));
    }
    const { driver } = given;
    if (driver === undefined) throw wrongField("driver", "is needed for a new storage");
    const added = await storages.add({ id, driver, settings: given.settings }, author);
    reply.code(201).header("location", `${basePath}/storages/${encodeURIComponent(id)}`);
    return shown(exchange, await change(storages, added, { ...given, settings: {}, author }));
  };

export const changeStorage =
  ({ storages }: RestServices): Handler =>
  async (exchange): Promise<StorageJson> => {
    const given = await receiveSettings(exchange);
    const existing = storages.describe(idOf(exchange.request));
    const author = authorOf(exchange.caller.actor);
    return shown(exchange, await change(storages, existing, { ...given, author }));
  };

/** Takes it out for good; with `?forget` its id may be given again. */
export const deleteStorage =
  ({ storages }: RestServices): Handler =>
  async ({ request, reply, caller }) => {
    authorize(caller.actor, "storage:write", {});
    const id = idOf(request);
    const author = authorOf(caller.actor);
    if (storages.describe(id).state !== "retired") await storages.retire(id, author);
    if (hasQuery(request, "forget")) await storages.forget(id, author);
    reply.code(204);
    return null;
  };

/** The long canary. That the storage fails it is an answer, not an error. */
export const testStorage =
  ({ storages }: RestServices): Handler =>
  async ({ request, reply, caller }): Promise<StorageTestJson | string> => {
    authorize(caller.actor, "storage:write", {});
    authorize(caller.actor, "storage:read", {});
    const found = await storages.test(idOf(request), { signal: requestSignal(request) });
    if (!wantsMarkdown(request.headers.accept)) return storageTestJson(found);
    reply.type("text/markdown; charset=utf-8");
    return found.markdown;
  };

/** With `?origin`, which is tried as a browser would. */
export const getStorageCors =
  ({ storages }: RestServices): Handler =>
  async ({ request, caller }): Promise<StorageCorsJson> => {
    authorize(caller.actor, "storage:read", {});
    const origin = queryValue(request, "origin");
    const origins = origin === undefined ? [] : [origin];
    const id = idOf(request);
    const found = await storages.cors(id, origins, { signal: requestSignal(request) });
    return storageCorsJson(id, found);
  };

export const putStorageCors =
  ({ storages }: RestServices): Handler =>
  async (exchange): Promise<StorageCorsJson> => {
    const { request, caller } = exchange;
    authorize(caller.actor, "storage:write", {});
    authorize(caller.actor, "storage:read", {});
    const { origins } = await receiveJson(exchange, storageCors);
    const id = idOf(request);
    const found = await storages.setCors(id, origins, { signal: requestSignal(request) });
    return storageCorsJson(id, found);
  };

interface Given {
  readonly driver?: string | undefined;
  readonly settings: StorageSettings;
  readonly state?: z.output<typeof storageSettings>["state"];
  readonly isDefault?: boolean | undefined;
  readonly revision?: number | undefined;
}

async function receiveSettings(exchange: Exchange): Promise<Given> {
  const { actor } = exchange.caller;
  authorize(actor, "storage:write", {});
  const json = await receiveJson(exchange, storageSettings);
  // What an answer says of a storage beyond its settings may come back as it was sent.
  const { id, driver, state, revision, default: isDefault, ...rest } = json;
  const { status: _status, createdAt: _createdAt, changedAt: _changedAt, ...settings } = rest;
  if (id !== undefined && id !== idOf(exchange.request)) {
    throw wrongField("id", "is not the id in the path");
  }
  return { driver, settings, state, isDefault, revision };
}

async function change(
  storages: StorageAdministration,
  existing: StorageInfo,
  given: Given & { readonly author: Author },
): Promise<StorageInfo> {
  const { id } = existing;
  if (given.driver !== undefined && given.driver !== existing.driver) {
    throw new OperationalError("already_exists", `the storage ${id} is one of ${existing.driver}`, {
      context: { storageId: id, driver: existing.driver },
    });
  }
  if (given.revision !== undefined && given.revision !== existing.revision) {
    const message = `revision ${given.revision} is not the storage's, ${existing.revision}`;
    throw new OperationalError("precondition_failed", message, { context: { storageId: id } });
  }
  if (given.isDefault === false && existing.isDefault) {
    const message = `the storage ${id} is the default: choose another instead`;
    throw new OperationalError("precondition_failed", message, { context: { storageId: id } });
  }
  const settings = changed(existing, given.settings);
  const changes = {
    ...(Object.keys(settings).length === 0 ? {} : { settings }),
    ...(given.state === undefined ? {} : { state: given.state }),
  };
  let view = existing;
  if (Object.keys(changes).length > 0) {
    view = await storages.change(id, changes, given.author);
  }
  if (given.isDefault === true && !view.isDefault) {
    view = await storages.makeDefault(id, given.author);
  }
  return view;
}

/** Without what is so already: opening a storage again for nothing helps nobody. */
function changed(existing: StorageInfo, settings: StorageSettings): StorageSettings {
  if (!existing.isOpen || existing.problem !== undefined) return settings;
  const same = ([name, value]: readonly [string, unknown]): boolean =>
    JSON.stringify(existing.settings[name]) === JSON.stringify(value);
  return Object.fromEntries(Object.entries(settings).filter((entry) => !same(entry)));
}

/** Whoever may write but not read sees what he did, and no settings. */
function shown({ caller }: Exchange, view: StorageInfo): StorageJson {
  const mayRead = isAllowed(caller.actor, "storage:read", {});
  if (mayRead) return storageJson(view);
  const { problem: _problem, ...rest } = view;
  return storageJson({ ...rest, settings: {} });
}

function find(storages: StorageAdministration, id: string): StorageInfo | undefined {
  try {
    return storages.describe(id);
  } catch (error) {
    if (isOperationalError(error, "storage_not_found")) return undefined;
    throw error;
  }
}

function wantsMarkdown(accept: string | undefined): boolean {
  return accept?.split(",").some((range) => /^\s*text\/markdown\s*(;|$)/i.test(range)) ?? false;
}

function wrongField(field: string, what: string): OperationalError {
  return new OperationalError("invalid_request", `field "${field}" ${what}`, {
    context: { field },
  });
}
