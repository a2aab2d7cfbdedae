/**
 * A small server of the REST protocol for tests of clients: real sockets, objects in memory, and a
 * hook that can answer a request wrongly, late or not at all. It checks what clients declare.
 */
import { createHash, randomUUID } from "node:crypto";
import http from "node:http";
import type {
  AccessKeyJson,
  BucketJson,
  BucketSettingsJson,
  ErrorCode,
  ObjectJson,
} from "@roma/contract";
import { formatReprDigest, parseCrc64NvmeField } from "../digest-fields.ts";
import { crc64Nvme } from "../digests/crc64-nvme.ts";
import { parseMetadataFields } from "../metadata-fields.ts";
import { parseMetadata } from "../parse.ts";
import { createDirect, type DirectServer, Refused } from "./testing-direct.ts";

export interface MemoryServer {
  readonly url: string;
  readonly credential: string;
  /** Of another origin: where direct uploads go. */
  readonly storageUrl: string;
  readonly direct: DirectServer;
  /** Those that are good now. */
  readonly tokens: Set<string>;
  /** `METHOD path`, in the order of arrival. */
  readonly requests: string[];
  readonly objects: Map<string, StoredObject>;
  /** Sees each request first; true means it has dealt with it. */
  intercept: (request: http.IncomingMessage, response: http.ServerResponse) => boolean;
  /** Connections that are open now. */
  connectionCount(): Promise<number>;
  close(): Promise<void>;
}

export interface StoredObject {
  readonly json: ObjectJson;
  readonly bytes: Buffer;
}

interface State {
  readonly objects: Map<string, StoredObject>;
  readonly buckets: Map<string, BucketJson>;
  readonly keys: Map<string, AccessKeyJson>;
}

interface Call {
  readonly method: string;
  readonly url: URL;
  readonly segments: readonly string[];
  readonly request: http.IncomingMessage;
  readonly response: http.ServerResponse;
}

/** Starts one on free ports, with the bucket `test`. */
export async function startMemoryServer(): Promise<MemoryServer> {
  const state: State = { objects: new Map(), buckets: new Map(), keys: new Map() };
  putBucket(state, "test", {});
  const credential = "root.secret";
  const tokens = new Set([credential]);
  const requests: string[] = [];
  const direct = createDirect({
    serverUrl: () => server.url,
    storageUrl: () => server.storageUrl,
    exists: (bucket, key) => state.objects.has(`${bucket}/${key}`),
    publish: (object, bytes) => {
      const name = `${object.bucket}/${object.key}`;
      const created = !state.objects.has(name);
      state.objects.set(name, { json: object, bytes });
      return created;
    },
    findSha256: (sha256) =>
      [...state.objects.values()].find(({ bytes }) => {
        return createHash("sha256").update(bytes).digest("hex") === sha256;
      })?.bytes,
  });
  const handle = async (request: http.IncomingMessage, response: http.ServerResponse) => {
    // What breaks off is the client's to notice.
    request.on("error", () => {});
    const ofStorage = request.socket.localPort !== portOf(listener);
    if (!ofStorage || direct.settings.storageCors) allowPages(response);
    if (request.method === "OPTIONS") {
      response.writeHead(204).end();
      return;
    }
    requests.push(`${request.method} ${request.url}`);
    if (server.intercept(request, response)) return;
    try {
      const url = new URL(request.url ?? "/", "http://server");
      if (url.pathname.startsWith("/signed/")) return await direct.receive(request, response);
      if (!tokens.has(request.headers.authorization?.replace("Bearer ", "") ?? "")) {
        if (url.searchParams.get("grant") === null) {
          throw new Refused(401, "unauthenticated", "the key is not known");
        }
      }
      const segments = (request.url ?? "").split("?")[0]?.split("/").map(decodeURIComponent) ?? [];
      const call: Call = { method: request.method ?? "", url, segments, request, response };
      if (request.headers.expect !== undefined) response.writeContinue();
      if (segments[2] === "uploads") await uploadsRoute(direct, call);
      else await route(state, call);
    } catch (error) {
      if (!request.destroyed || request.complete) refuse(response, error);
    }
  };
  const listener = await listen((request, response) => void handle(request, response));
  const storage = await listen((request, response) => void handle(request, response));
  const count = (one: http.Server) =>
    new Promise<number>((resolve, reject) => {
      one.getConnections((error, found) => (error ? reject(error) : resolve(found)));
    });
  const close = (one: http.Server) =>
    new Promise<void>((resolve) => {
      one.close(() => resolve());
      one.closeAllConnections();
    });
  const server: MemoryServer = {
    url: `http://127.0.0.1:${portOf(listener)}`,
    storageUrl: `http://127.0.0.1:${portOf(storage)}`,
    credential,
    tokens,
    direct,
    requests,
    objects: state.objects,
    intercept: () => false,
    connectionCount: async () => (await count(listener)) + (await count(storage)),
    close: async () => {
      await Promise.all([close(listener), close(storage)]);
    },
  };
  return server;
}

async function listen(handle: http.RequestListener): Promise<http.Server> {
  const listener = http.createServer(handle);
  listener.on("checkContinue", handle);
  await new Promise<void>((resolve) => listener.listen(0, "127.0.0.1", resolve));
  return listener;
}

function portOf(listener: http.Server): number {
  const address = listener.address();
  return typeof address === "object" && address !== null ? address.port : 0;
}

function allowPages(response: http.ServerResponse): void {
  response.setHeader("access-control-allow-origin", "*");
  response.setHeader("access-control-allow-methods", "GET, HEAD, PUT, POST, PATCH, DELETE");
  response.setHeader("access-control-allow-headers", "*, Authorization");
  response.setHeader("access-control-expose-headers", "*");
}

async function uploadsRoute(direct: DirectServer, call: Call): Promise<void> {
  const read = async (): Promise<unknown> => JSON.parse((await readAll(call.request)).toString());
  const { method, url, segments } = call;
  const answer = await direct.route({ method, url, segments, json: read });
  if (answer === undefined) throw new Refused(404, "unsupported", "no such route");
  if (answer.value === undefined) call.response.writeHead(answer.status).end();
  else json(call, answer.status, answer.value);
}

function refuse(response: http.ServerResponse, error: unknown): void {
  const refused =
    error instanceof Refused ? error : new Refused(500, "internal", `defect: ${String(error)}`);
  const { status, code, message, members } = refused;
  answerProblem(response, status, code, message, members);
}

/** Answers with a problem document. */
export function answerProblem(
  response: http.ServerResponse,
  status: number,
  code: ErrorCode,
  detail: string,
  members: object = {},
): void {
  if (response.headersSent) {
    response.destroy();
    return;
  }
  const retryable = status === 503 || status === 429;
  const type = `urn:roma:error:${code}`;
  const facts = { type, title: code, status, detail, code, requestId: "request-1", retryable };
  const problem = { ...members, ...facts };
  response.writeHead(status, { "content-type": "application/problem+json" });
  response.end(JSON.stringify(problem));
}

async function route(state: State, call: Call): Promise<void> {
  const [, version, kind, name, ...rest] = call.segments;
  if (version !== "v1") throw new Refused(404, "invalid_request", "no such route");
  if (kind === "buckets") return await bucketRoute(state, call, name);
  if (kind === "keys") return await keyRoute(state, call, name);
  if (kind === "grants") {
    const wish: unknown = JSON.parse((await readAll(call.request)).toString());
    const { bucket, key } = parseMetadata(pick(wish, ["bucket", "key"]));
    const url = key === undefined ? null : `/v1/objects/${bucket}/${encodeURI(key)}?grant=g.h.i`;
    return json(call, 201, { grant: "g.h.i", url, expiresAt: "2030-01-01T00:00:00Z" });
  }
  if (kind === "copy" || kind === "move") return await transferRoute(state, call, kind);
  if (kind !== "objects" || name === undefined) {
    throw new Refused(404, "invalid_request", "no such route");
  }
  if (!state.buckets.has(name)) throw new Refused(404, "bucket_not_found", `no bucket ${name}`);
  if (rest.length === 0) return await listRoute(state, call, name);
  return await objectRoute(state, call, { bucket: name, key: rest.join("/") });
}

function putBucket(state: State, name: string, settings: BucketSettingsJson): BucketJson {
  const known = state.buckets.get(name);
  const bucket: BucketJson = {
    name,
    visibility: settings.visibility ?? known?.visibility ?? "private",
    maxObjectBytes: Number(settings.maxObjectBytes ?? 0) || null,
    contentTypes: settings.contentTypes ?? null,
    uploadExpiry: settings.uploadExpiry ?? "24 h",
    quotaBytes: Number(settings.quotaBytes ?? 0) || null,
    placement: settings.placement ?? "default",
    trash: settings.trash === undefined ? "7 days" : settings.trash,
    environment: settings.environment ?? null,
    deletesPerHour: settings.deletesPerHour ?? null,
    retention: settings.retention ?? null,
    bulkDeleteApprovals: settings.bulkDeleteApprovals ?? 1,
    createdAt: "2026-01-01T00:00:00Z",
  };
  state.buckets.set(name, bucket);
  return bucket;
}

async function bucketRoute(state: State, call: Call, name: string | undefined): Promise<void> {
  if (name === undefined) return json(call, 200, { buckets: [...state.buckets.values()] });
  const known = state.buckets.get(name);
  if (call.method === "PUT" && known !== undefined) {
    throw new Refused(409, "already_exists", `bucket ${name} exists`);
  }
  if (call.method !== "PUT" && known === undefined) {
    throw new Refused(404, "bucket_not_found", `no bucket ${name}`);
  }
  if (call.method === "GET") return json(call, 200, known);
  if (call.method === "DELETE") {
    const held = [...state.objects.values()].some(({ json: object }) => object.bucket === name);
    if (held) throw new Refused(409, "not_empty", `bucket ${name} holds objects`);
    state.buckets.delete(name);
    call.response.writeHead(204).end();
    return;
  }
  const settings: BucketSettingsJson = JSON.parse((await readAll(call.request)).toString());
  json(call, call.method === "PUT" ? 201 : 200, putBucket(state, name, settings));
}

async function keyRoute(state: State, call: Call, id: string | undefined): Promise<void> {
  if (id === undefined && call.method === "GET") {
    return json(call, 200, { keys: [...state.keys.values()] });
  }
  if (id === undefined) {
    const wish: Pick<AccessKeyJson, "name" | "policy"> = JSON.parse(
      (await readAll(call.request)).toString(),
    );
    const key: AccessKeyJson = {
      id: randomUUID(),
      name: wish.name,
      policy: wish.policy,
      createdAt: "2026-01-01T00:00:00Z",
      enabled: true,
    };
    state.keys.set(key.id, key);
    return json(call, 201, { ...key, secret: "s3cret" });
  }
  const known = state.keys.get(id);
  if (known === undefined) throw new Refused(404, "key_not_found", `no key ${id}`);
  if (call.method === "DELETE") {
    state.keys.delete(id);
    call.response.writeHead(204).end();
    return;
  }
  if (call.method === "PATCH") {
    const changes: Partial<AccessKeyJson> = JSON.parse((await readAll(call.request)).toString());
    state.keys.set(id, { ...known, ...changes });
  }
  json(call, 200, state.keys.get(id));
}

async function listRoute(state: State, call: Call, bucket: string): Promise<void> {
  const { searchParams } = call.url;
  if (call.method === "POST") {
    const { keys }: { keys: string[] } = JSON.parse((await readAll(call.request)).toString());
    for (const key of keys) state.objects.delete(`${bucket}/${key}`);
    return json(call, 200, { deleted: keys, failed: [] });
  }
  const prefix = searchParams.get("prefix") ?? "";
  const delimiter = searchParams.get("delimiter") ?? "";
  const limit = Number(searchParams.get("limit") ?? 1000);
  const after = searchParams.get("cursor") ?? "";
  const entries = new Map<string, ObjectJson | null>();
  for (const { json: object } of state.objects.values()) {
    if (object.bucket !== bucket || !object.key.startsWith(prefix)) continue;
    const cut = delimiter === "" ? -1 : object.key.indexOf(delimiter, prefix.length);
    const name = cut === -1 ? object.key : object.key.slice(0, cut + delimiter.length);
    entries.set(name, cut === -1 ? object : null);
  }
  const all = [...entries].filter(([name]) => name > after).sort(([a], [b]) => (a < b ? -1 : 1));
  const page = all.slice(0, limit);
  json(call, 200, {
    objects: page.flatMap(([, object]) => (object === null ? [] : [object])),
    prefixes: page.flatMap(([name, object]) => (object === null ? [name] : [])),
    cursor: all.length > limit ? (page.at(-1)?.[0] ?? null) : null,
  });
}

interface Target {
  readonly bucket: string;
  readonly key: string;
}

async function objectRoute(state: State, call: Call, target: Target): Promise<void> {
  const { method, request, response } = call;
  const name = `${target.bucket}/${target.key}`;
  if (method === "PUT") return await putRoute(state, call, target);
  const stored = state.objects.get(name);
  if (stored === undefined) {
    const message = `no object ${target.key} in bucket ${target.bucket}`;
    throw new Refused(404, "object_not_found", message);
  }
  const { "if-match": ifMatch } = request.headers;
  if (ifMatch !== undefined && ifMatch !== "*" && ifMatch !== stored.json.etag) {
    throw new Refused(412, "precondition_failed", "If-Match does not hold");
  }
  if (method === "DELETE") {
    state.objects.delete(name);
    response.writeHead(204).end();
    return;
  }
  const range = request.headers.range?.match(/^bytes=(\d+)-(\d*)$/);
  const first = Number(range?.[1] ?? 0);
  const end = range?.[2] ? Number(range[2]) + 1 : stored.bytes.length;
  const part = stored.bytes.subarray(first, end);
  const total = stored.bytes.length;
  if (range && part.length === 0) {
    throw new Refused(416, "range_unsatisfiable", `${total} bytes, asked from ${first}`);
  }
  response.writeHead(range ? 206 : 200, {
    "content-type": stored.json.contentType,
    "content-length": part.length,
    etag: stored.json.etag,
    "last-modified": new Date(stored.json.createdAt).toUTCString(),
    ...formatReprDigest({ crc64nvme: stored.json.checksums.crc64nvme }),
    ...(range ? { "content-range": `bytes ${first}-${first + part.length - 1}/${total}` } : {}),
    ...Object.fromEntries(
      Object.entries(stored.json.metadata).map(([field, value]) => [
        `roma-meta-${field}`,
        encodeURIComponent(value),
      ]),
    ),
  });
  response.end(method === "HEAD" ? undefined : part);
}

async function putRoute(state: State, call: Call, { bucket, key }: Target): Promise<void> {
  const { headers } = call.request;
  const known = state.objects.get(`${bucket}/${key}`);
  if (headers["if-none-match"] === "*" && known !== undefined) {
    throw new Refused(412, "precondition_failed", `${key} exists`);
  }
  if (headers["if-match"] !== undefined && headers["if-match"] !== known?.json.etag) {
    throw new Refused(412, "precondition_failed", "If-Match does not hold");
  }
  const bytes = await readAll(call.request);
  const crc64nvme = crc64Nvme(bytes);
  const declared = parseCrc64NvmeField(String(headers["repr-digest"] ?? ""));
  if (declared !== undefined && declared !== crc64nvme) {
    throw new Refused(400, "checksum_mismatch", "Repr-Digest does not match the bytes");
  }
  const fields = Object.fromEntries(
    Object.entries(headers).map(([name, value]) => [name, String(value)]),
  );
  const etag = `"${createHash("md5").update(bytes).digest("hex")}"`;
  const object: ObjectJson = {
    bucket,
    key,
    version: randomUUID(),
    size: bytes.length,
    etag,
    contentType: headers["content-type"] ?? "application/octet-stream",
    createdAt: "2026-01-01T00:00:00Z",
    metadata: parseMetadataFields(fields),
    checksums: { crc64nvme },
    storage: "default",
    url: `/v1/objects/${bucket}/${key}`,
  };
  state.objects.set(`${bucket}/${key}`, { json: object, bytes });
  json(call, known === undefined ? 201 : 200, object);
}

async function transferRoute(state: State, call: Call, kind: "copy" | "move"): Promise<void> {
  const wish: { from: Target; to: Target; createOnly?: boolean } = JSON.parse(
    (await readAll(call.request)).toString(),
  );
  const from = `${wish.from.bucket}/${wish.from.key}`;
  const to = `${wish.to.bucket}/${wish.to.key}`;
  const stored = state.objects.get(from);
  if (stored === undefined) throw new Refused(404, "object_not_found", `no object ${from}`);
  if (wish.createOnly === true && state.objects.has(to)) {
    throw new Refused(412, "precondition_failed", `${to} exists`);
  }
  const object: ObjectJson = { ...stored.json, ...wish.to };
  state.objects.set(to, { ...stored, json: object });
  if (kind === "move") state.objects.delete(from);
  json(call, 201, object);
}

function pick(value: unknown, names: readonly string[]): Record<string, unknown> {
  const fields: Record<string, unknown> =
    typeof value === "object" && value !== null ? { ...value } : {};
  return Object.fromEntries(
    names.flatMap((name) => (name in fields ? [[name, fields[name]]] : [])),
  );
}

async function readAll(request: http.IncomingMessage): Promise<Buffer> {
  const chunks: Buffer[] = [];
  for await (const chunk of request) chunks.push(chunk);
  return Buffer.concat(chunks);
}

function json({ response }: Call, status: number, value: unknown): void {
  response.writeHead(status, { "content-type": "application/json" }).end(JSON.stringify(value));
}
