/** Every route of the protocol, once: what is registered, guarded, described and tested. */
import { hasQuery } from "../../http/index.ts";
import { objectAddress } from "./address.ts";
import { listAudit, verifyAudit } from "./audit.ts";
import { changeBucket, createBucket, deleteBucket, getBucket, listBuckets } from "./buckets.ts";
import {
  confirmBulkDelete,
  getBulkDelete,
  listBulkDeletes,
  planBulkDelete,
  stopBulkDelete,
  undoBulkDelete,
} from "./bulk-deletes.ts";
import { copyObject, moveObject } from "./copy-move.ts";
import { formPath, postDirectForm } from "./direct-form.ts";
import { partPath, putDirectPart } from "./direct-parts.ts";
import { beginDirect, completeDirect, proveDirect, signDirect } from "./direct-uploads.ts";
import { getEnvironment } from "./environment.ts";
import { createGrant } from "./grants.ts";
import { holdObject } from "./hold.ts";
import { changeKey, createKey, deleteKey, getKey, listKeys } from "./keys.ts";
import { deleteObject, deleteObjects } from "./objects-batch.ts";
import { isForm, putForm } from "./objects-form.ts";
import { getObject } from "./objects-get.ts";
import { listObjects } from "./objects-list.ts";
import { putObject } from "./objects-put.ts";
import { callbackPath, ossCalls } from "./oss-callback.ts";
import { orResumable, postedAddress } from "./resumable-create.ts";
import { appendUpload, headUpload } from "./resumable-resource.ts";
import type { Handler, RestServices } from "./services.ts";
import {
  changeStorage,
  deleteStorage,
  getStorage,
  getStorageCors,
  listStorages,
  putStorage,
  putStorageCors,
  testStorage,
} from "./storages.ts";
import { cancelUpload, getUpload, listUploads } from "./uploads.ts";

export type Method = "GET" | "HEAD" | "PUT" | "POST" | "PATCH" | "DELETE";

import { listTrash, purgeFromTrash, restoreFromTrash } from "./trash.ts";

export interface Route {
  readonly method: Method;
  /** Under the prefix, as in OpenAPI; `{+key}` takes the rest of the path. */
  readonly path: string;
  /**
   * `credential`: nobody is refused before anything is read. `anyone`: core decides. `own`: no credential of ours is
   * looked for, since `Authorization` is another's; the handler judges it.
   */
  readonly access: "credential" | "anyone" | "own";
  /** Whether it changes anything; left out: as its method says. */
  readonly changes?: boolean;
  /** The body names the bucket: what is meant is judged by the handler, with `assertBucketMeant`. */
  readonly bucketInBody?: boolean;
  readonly handler: Handler;
}

export function routeTable(services: RestServices): readonly Route[] {
  const put = orResumable(services, ({ request }) => objectAddress(request), putObject(services));
  const post = postObjects(services);
  const head = headUpload(services, getUpload(services));
  return [
    ...readable("/buckets", "credential", listBuckets(services)),
    ...readable("/buckets/{bucket}", "credential", getBucket(services)),
    route("PUT", "/buckets/{bucket}", createBucket(services)),
    route("PATCH", "/buckets/{bucket}", changeBucket(services)),
    route("DELETE", "/buckets/{bucket}", deleteBucket(services)),
    ...readable("/objects/{bucket}", "credential", listObjects(services)),
    route("POST", "/objects/{bucket}", post),
    ...readable("/objects/{bucket}/{+key}", "anyone", getObject(services)),
    route("PATCH", "/objects/{bucket}/{+key}", holdObject(services)),
    route("PUT", "/objects/{bucket}/{+key}", put),
    route("DELETE", "/objects/{bucket}/{+key}", deleteObject(services)),
    ...readable("/trash/{bucket}", "credential", listTrash(services)),
    route("POST", "/trash/{bucket}/restore", restoreFromTrash(services)),
    route("POST", "/trash/{bucket}/purge", purgeFromTrash(services)),
    { ...route("POST", "/bulk-deletes", planBulkDelete(services)), bucketInBody: true },
    ...readable("/bulk-deletes", "credential", listBulkDeletes(services)),
    ...readable("/bulk-deletes/{id}", "credential", getBulkDelete(services)),
    {
      ...route("POST", "/bulk-deletes/{id}/confirm", confirmBulkDelete(services)),
      bucketInBody: true,
    },
    route("POST", "/bulk-deletes/{id}/stop", stopBulkDelete(services)),
    route("POST", "/bulk-deletes/{id}/undo", undoBulkDelete(services)),
    { ...route("POST", "/copy", copyObject(services)), bucketInBody: true },
    { ...route("POST", "/move", moveObject(services)), bucketInBody: true },
    ...readable("/keys", "credential", listKeys(services)),
    route("POST", "/keys", createKey(services)),
    ...readable("/keys/{id}", "credential", getKey(services)),
    route("PATCH", "/keys/{id}", changeKey(services)),
    route("DELETE", "/keys/{id}", deleteKey(services)),
    // A grant is signed, and written down nowhere.
    { ...route("POST", "/grants", createGrant(services)), changes: false, bucketInBody: true },
    ...readable("/environment", "credential", getEnvironment(services)),
    ...readable("/storages", "credential", listStorages(services)),
    ...readable("/storages/{id}", "credential", getStorage(services)),
    route("PUT", "/storages/{id}", putStorage(services)),
    route("PATCH", "/storages/{id}", changeStorage(services)),
    route("DELETE", "/storages/{id}", deleteStorage(services)),
    route("POST", "/storages/{id}/test", testStorage(services)),
    ...readable("/storages/{id}/cors", "credential", getStorageCors(services)),
    route("PUT", "/storages/{id}/cors", putStorageCors(services)),
    ...readable("/uploads", "credential", listUploads(services)),
    route("GET", "/uploads/{id}", getUpload(services)),
    route("HEAD", "/uploads/{id}", head),
    route("PATCH", "/uploads/{id}", appendUpload(services)),
    route("DELETE", "/uploads/{id}", cancelUpload(services)),
    { ...route("POST", "/uploads", beginDirect(services)), bucketInBody: true },
    route("POST", "/uploads/{id}/requests", signDirect(services)),
    route("POST", "/uploads/{id}/proof", proveDirect(services)),
    route("POST", "/uploads/{id}/complete", completeDirect(services)),
    { method: "POST", path: formPath, access: "anyone", handler: postDirectForm(services) },
    ...readable("/audit", "credential", listAudit(services)),
    ...readable("/audit/verify", "credential", verifyAudit(services)),
    { method: "POST", path: callbackPath, access: "own", handler: ossCalls(services) },
    { method: "PUT", path: partPath, access: "anyone", handler: putDirectPart(services) },
  ];
}

/** The methods at a raw path, sorted; none if there is no such path. */
export function methodsAt(routes: readonly Pick<Route, "method" | "path">[], path: string) {
  const found = routes.filter((route) => patternOf(route.path).test(path));
  return found.length === 0
    ? []
    : [...new Set([...found.map(({ method }) => method), "OPTIONS"])].sort();
}

function patternOf(path: string): RegExp {
  const source = path.replaceAll(/\{\+\w+\}/g, ".*").replaceAll(/\{\w+\}/g, "[^/]+");
  return new RegExp(`^${source.replaceAll(".json", "\\.json")}$`);
}

function route(method: Method, path: string, handler: Handler): Route {
  return { method, path, access: "credential", handler };
}

/** HEAD is there wherever GET is. */
function readable(path: string, access: Route["access"], handler: Handler): readonly Route[] {
  return [
    { method: "GET", path, access, handler },
    { method: "HEAD", path, access, handler },
  ];
}

/** A form, or content that asks to be resumable; with `?delete` a list of keys. */
function postObjects(services: RestServices): Handler {
  const form = putForm(services);
  const deleteMany = deleteObjects(services);
  const content = orResumable(services, postedAddress(services), form);
  return (exchange) => {
    if (hasQuery(exchange.request, "delete")) return deleteMany(exchange);
    return isForm(exchange.request) ? form(exchange) : content(exchange);
  };
}
