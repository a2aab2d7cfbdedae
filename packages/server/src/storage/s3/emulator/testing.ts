// For tests: a storage of the S3 family in this process. It proves signatures and enforces the quirks of
// the vendor's row: address style, no aws-chunked, upper-case ETags, CRC headers, list versions, error
// bodies. What a vendor refuses, it refuses; a fault can be put before any request.

import { createHash, randomUUID } from "node:crypto";
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import type { AddressInfo, LookupFunction } from "node:net";
import { Crc64Ecma } from "../crc64-ecma.ts";
import { type Dialect, dialectOf, providers, type Vendor } from "../providers.ts";
import { encode, type QueryPair } from "../signatures/encode.ts";
import { childrenOf, escapeXml, parseXml, textOf } from "../xml.ts";
import { type Key, refusalOf } from "./authorization/testing.ts";

export interface EmulatorOptions extends Partial<Key> {
  readonly vendor?: Vendor;
  readonly signature?: "s3" | "native";
  readonly bucket?: string;
  readonly region?: string;
  /** Added to this machine's time. */
  readonly clockSkewMs?: number;
  readonly partBytesMin?: number;
}

export interface Fault {
  /** Answered instead; the body is an Error document with that code unless `body` is given. */
  readonly status?: number;
  readonly code?: string;
  readonly body?: string | Buffer;
  readonly headers?: Readonly<Record<string, string>>;
  /** The request is carried out, and its answer never sent. */
  readonly loseAnswer?: boolean;
  /** Called when the request is carried out, which is answered after it. */
  readonly answerAfter?: (() => Promise<void>) | undefined;
  readonly reset?: boolean;
  readonly hang?: boolean;
  /** Changes the ETag that is told. */
  readonly etag?: string;
  /** The connection ends after so many bytes of the body. */
  readonly cutAt?: number;
}

interface StoredObject {
  readonly bytes: Buffer;
  readonly etag: string;
  readonly crc: string;
  readonly modifiedAt: Date;
  readonly contentType: string;
}

interface StoredUpload {
  readonly key: string;
  readonly createdAt: Date;
  readonly contentType: string;
  readonly parts: Map<number, { readonly bytes: Buffer; readonly etag: string }>;
}

interface Turn {
  readonly method: string;
  readonly key: string | undefined;
  readonly query: ReadonlyMap<string, string>;
  readonly request: IncomingMessage;
  readonly response: ServerResponse;
  readonly body: Buffer;
  readonly fault: Fault;
}

export type Answered = {
  readonly method: string;
  readonly operation: string;
  readonly key: string;
};

export class Emulator implements AsyncDisposable {
  readonly objects = new Map<string, StoredObject>();
  readonly uploads = new Map<string, StoredUpload>();
  /** Every request that arrived, as `PUT object`, `POST uploads`, … */
  readonly requests: string[] = [];
  /** Headers of that name, of the requests that had one. */
  readonly traceparents: string[] = [];
  /** Asked before each request is carried out. */
  fault: (request: Answered) => Fault | undefined = () => undefined;
  /** Waited for once a request has arrived, before it is carried out. */
  delayMs: (request: Answered) => number = () => 0;
  sockets = 0;
  /** Keys, as stored, that a delete of many does not delete. */
  readonly undeletable = new Set<string>();
  /** Told instead of the right one. */
  crcTold: string | undefined;
  /** The document of the bucket's CORS rules, as it was written. */
  cors: string | undefined;
  /** Added to every answer. */
  headers: Readonly<Record<string, string>> = {};
  readonly bucket: string;
  readonly key: Key;
  readonly region: string;
  readonly #dialect: Dialect;
  readonly #options: EmulatorOptions;
  readonly #server: Server;

  constructor(options: EmulatorOptions = {}) {
    const {
      vendor = "aws-s3",
      signature = "s3",
      bucket = "bucket",
      region = "eu-test-1",
    } = options;
    const { accessKeyId = "AKTEST", secretAccessKey = "secret", sessionToken } = options;
    this.bucket = bucket;
    this.region = region;
    this.key = {
      accessKeyId,
      secretAccessKey,
      ...(sessionToken !== undefined && { sessionToken }),
    };
    this.#options = options;
    this.#dialect = dialectOf(providers[vendor], signature);
    this.#server = createServer((request, response) => void this.#serve(request, response));
    // It is the client that lets idle connections go: no request meets one that is just being closed.
    this.#server.keepAliveTimeout = 0;
    this.#server.on("connection", (socket) => {
      this.sockets += 1;
      socket.on("close", () => {
        this.sockets -= 1;
      });
    });
  }

  async listen(): Promise<this> {
    await new Promise<void>((resolve) => this.#server.listen(0, "127.0.0.1", resolve));
    return this;
  }

  /** Without the bucket; every name resolves here with `lookup`. */
  get endpoint(): string {
    const { port } = this.#server.address() as AddressInfo;
    return `http://storage.test:${port}`;
  }

  readonly lookup: LookupFunction = (_name, options, done) => {
    if (options.all === true) done(null, [{ address: "127.0.0.1", family: 4 }]);
    else done(null, "127.0.0.1", 4);
  };

  async [Symbol.asyncDispose](): Promise<undefined> {
    this.#server.closeAllConnections();
    await new Promise((resolve) => this.#server.close(resolve));
  }

  async #serve(request: IncomingMessage, response: ServerResponse): Promise<undefined> {
    const [path = "", search = ""] = splitOnce(request.url ?? "", "?");
    const query = search === "" ? [] : search.split("&").map(pairOf);
    const virtual = (request.headers.host ?? "").startsWith(`${this.bucket}.`);
    const plain = decodeURIComponent(path.slice(1));
    const [named, rest] = virtual ? [this.bucket, plain] : splitOnce(plain, "/");
    const key = rest === "" ? undefined : rest;
    const values = new Map(query.map(([name, value = ""]) => [name, value]));
    const method = request.method ?? "";
    const operation = operationOf(key, values);
    this.requests.push(`${method} ${operation}`);
    const { traceparent } = request.headers;
    if (typeof traceparent === "string") this.traceparents.push(traceparent);
    response.on("error", () => undefined);
    request.on("error", () => undefined);
    const fault = this.fault({ method, operation, key: key ?? "" }) ?? {};
    if (fault.hang === true) return void request.resume();
    if (fault.reset === true) return void request.socket.destroy();
    if (method === "OPTIONS") return void response.writeHead(200, this.headers).end();
    const refused = { request, response, method, key, query: values, body: Buffer.alloc(0), fault };
    if (fault.status !== undefined) {
      request.resume();
      return this.#refuse(refused, fault.status, fault.code ?? "InternalError");
    }
    const wrongStyle = this.#dialect.addressStyleOnly && !virtual;
    const rules = { key: this.key, region: this.region, now: this.#now() };
    const arrived = { request, bucket: named, key, path, query };
    const refusal = this.#wrongFraming(request) ?? refusalOf(arrived, rules);
    let body: Buffer;
    try {
      body = await readAll(request);
    } catch {
      return;
    }
    const turn = { ...refused, body };
    const waitMs = this.delayMs({ method, operation, key: key ?? "" });
    if (waitMs > 0) await new Promise((resolve) => setTimeout(resolve, waitMs));
    if (wrongStyle) return this.#refuseStyle(turn);
    if (refusal !== undefined)
      return this.#refuse(turn, refusal.startsWith("Auth") ? 400 : 403, refusal);
    if (named !== this.bucket) return this.#refuse(turn, 404, "NoSuchBucket");
    const wrong = wrongDigest(turn);
    if (wrong !== undefined) return this.#refuse(turn, 400, wrong);
    if (key === undefined) return this.#onBucket(turn);
    if (values.has("uploads") || values.has("uploadId")) return this.#onUpload(turn, key);
    this.#onObject(turn, key);
  }

  #onObject(turn: Turn, key: string): undefined {
    const { method, request, body } = turn;
    const stored = this.objects.get(key);
    if (method === "DELETE") {
      this.objects.delete(key);
      return this.#answer(turn, 204);
    }
    if (method === "PUT") {
      if (this.#isTaken(turn, key)) return;
      const prefix = this.#dialect.headerPrefix;
      const source = decodeURIComponent(String(request.headers[`${prefix}copy-source`] ?? ""));
      const from = this.objects.get(source.slice(this.bucket.length + 2));
      if (source !== "" && from === undefined) return this.#refuse(turn, 404, "NoSuchKey");
      const made = this.#store(key, from?.bytes ?? body, { turn });
      const text = `<CopyObjectResult><ETag>"${made.etag}"</ETag></CopyObjectResult>`;
      return this.#answer(turn, 200, {
        text: source === "" ? "" : text,
        headers: this.#told(made, turn),
      });
    }
    if (stored === undefined) return this.#refuse(turn, 404, "NoSuchKey");
    const match = request.headers["if-match"];
    if (match !== undefined && match !== `"${stored.etag}"`) {
      return this.#refuse(turn, 412, "PreconditionFailed");
    }
    const headers = {
      ...this.#told(stored, turn),
      "last-modified": stored.modifiedAt.toUTCString(),
    };
    const range = /^bytes=(\d+)-(\d*)$/.exec(request.headers.range ?? "");
    const { length } = stored.bytes;
    if (range === null) return this.#answer(turn, 200, { text: stored.bytes, headers });
    const first = Number(range[1]);
    const last = Math.min(range[2] === "" ? length - 1 : Number(range[2]), length - 1);
    if (first > last) return this.#refuse(turn, 416, "InvalidRange");
    const part = stored.bytes.subarray(first, last + 1);
    const ranged = { ...headers, "content-range": `bytes ${first}-${last}/${length}` };
    this.#answer(turn, 206, { text: part, headers: ranged });
  }

  #onUpload(turn: Turn, key: string): undefined {
    const { method, query, request, body } = turn;
    if (query.has("uploads")) {
      const id = randomUUID();
      const contentType = request.headers["content-type"] ?? "";
      this.uploads.set(id, { key, createdAt: new Date(), contentType, parts: new Map() });
      const text = `<InitiateMultipartUploadResult><UploadId>${id}</UploadId></InitiateMultipartUploadResult>`;
      return this.#answer(turn, 200, { text });
    }
    const id = query.get("uploadId") ?? "";
    const upload = this.uploads.get(id);
    if (upload === undefined || upload.key !== key) return this.#refuse(turn, 404, "NoSuchUpload");
    if (method === "DELETE") {
      this.uploads.delete(id);
      return this.#answer(turn, 204);
    }
    if (method === "GET") return this.#listParts(turn, upload);
    if (method === "PUT") {
      const copied = request.headers[`${this.#dialect.headerPrefix}copy-source`] !== undefined;
      const bytes = copied ? this.#copiedRange(turn) : body;
      if (bytes === undefined) return;
      const own = this.#dialect.partEtagIsMd5
        ? this.#etag(bytes)
        : randomUUID().replaceAll("-", "");
      const etag = turn.fault.etag ?? own;
      upload.parts.set(Number(query.get("partNumber")), { bytes, etag });
      const text = `<CopyPartResult><ETag>"${etag}"</ETag></CopyPartResult>`;
      if (copied) return this.#answer(turn, 200, { text });
      return this.#answer(turn, 200, { headers: this.#told({ etag, crc: crcOf(body) }, turn) });
    }
    this.#complete(turn, upload, id);
  }

  #complete(turn: Turn, upload: StoredUpload, id: string): undefined {
    const listed = childrenOf(parseXml(turn.body.toString()), "Part").map((part) => ({
      number: Number(textOf(part, "PartNumber")),
      etag: (textOf(part, "ETag") ?? "").replaceAll('"', ""),
    }));
    const parts = listed.map(({ number, etag }) => {
      const part = upload.parts.get(number);
      return part?.etag === etag ? part : undefined;
    });
    const found = parts.filter((part) => part !== undefined);
    if (found.length !== listed.length || found.length === 0) {
      return this.#refuse(turn, 400, "InvalidPart");
    }
    const { partBytesMin = this.#dialect.partBytesMin } = this.#options;
    const [first] = found;
    for (const { bytes } of found.slice(0, -1)) {
      if (bytes.length < partBytesMin) return this.#refuse(turn, 400, "EntityTooSmall");
      const unequal = this.#dialect.equalParts && bytes.length !== first?.bytes.length;
      if (unequal) return this.#refuse(turn, 400, "InvalidPart");
    }
    if (this.#isTaken(turn, upload.key)) return;
    const md5s = Buffer.concat(found.map(({ etag }) => Buffer.from(etag, "hex")));
    const aws = this.#dialect.multipartEtagForm === "aws";
    const etag = aws
      ? `${md5(md5s)}-${found.length}`
      : `${randomUUID().toUpperCase()}-${found.length}`;
    const whole = Buffer.concat(found.map(({ bytes }) => bytes));
    const made = this.#store(upload.key, whole, { turn, etag, contentType: upload.contentType });
    this.uploads.delete(id);
    const told = turn.fault.etag ?? made.etag;
    const text = `<CompleteMultipartUploadResult><ETag>&quot;${told}&quot;</ETag></CompleteMultipartUploadResult>`;
    this.#answer(turn, 200, { text, headers: this.#crcHeader(made.crc) });
  }

  #onBucket(turn: Turn): undefined {
    const { query, method } = turn;
    if (method === "HEAD") return this.#answer(turn, 200);
    if (method === "POST" && query.has("delete")) return this.#deleteMany(turn);
    if (query.has("cors")) return this.#onCors(turn);
    const keyOf =
      this.#dialect.listUrlEncode && query.get("encoding-type") === "url" ? encode : escapeXml;
    const encoding = keyOf === encode ? "<EncodingType>url</EncodingType>" : "";
    const prefix = query.get("prefix") ?? "";
    if (query.has("uploads")) {
      const rows = [...this.uploads]
        .filter(([, { key }]) => key.startsWith(prefix))
        .map(
          ([id, { key, createdAt }]) =>
            `<Upload><Key>${keyOf(key)}</Key><UploadId>${id}</UploadId><Initiated>${createdAt.toISOString()}</Initiated></Upload>`,
        );
      const text = `<ListMultipartUploadsResult>${encoding}<IsTruncated>false</IsTruncated>${rows.join("")}</ListMultipartUploadsResult>`;
      return this.#answer(turn, 200, { text });
    }
    const v2 = query.get("list-type") === "2" && this.#dialect.listVersion === 2;
    const token = Buffer.from(query.get("continuation-token") ?? "", "hex").toString();
    const after = v2 ? token || (query.get("start-after") ?? "") : (query.get("marker") ?? "");
    const floor = Buffer.from(after);
    const keys = [...this.objects.keys()]
      .filter(
        (key) => key.startsWith(prefix) && (after === "" || Buffer.from(key).compare(floor) > 0),
      )
      .map((key) => Buffer.from(key))
      .sort(Buffer.compare)
      .map(String);
    const page = keys.slice(0, Number(query.get("max-keys") ?? 1000));
    const rows = page.map((key) => {
      const { bytes, etag, modifiedAt } = this.objects.get(key) ?? missing();
      return `<Contents><Key>${keyOf(key)}</Key><LastModified>${modifiedAt.toISOString()}</LastModified><ETag>&quot;${etag}&quot;</ETag><Size>${bytes.length}</Size></Contents>`;
    });
    const next = Buffer.from(page.at(-1) ?? "").toString("hex");
    const more = page.length < keys.length;
    const tokenText = v2 && more ? `<NextContinuationToken>${next}</NextContinuationToken>` : "";
    const text = `<?xml version="1.0" encoding="UTF-8"?>\n<ListBucketResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/">${encoding}<IsTruncated>${more}</IsTruncated>${tokenText}${rows.join("")}</ListBucketResult>`;
    this.#answer(turn, 200, { text });
  }

  #onCors(turn: Turn): undefined {
    const { method, request, body } = turn;
    if (!this.#dialect.bucketCors.kept) return this.#refuse(turn, 501, "NotImplemented");
    if (method === "PUT") {
      if (request.headers["content-md5"] === undefined) {
        return this.#refuse(turn, 400, "MissingContentMD5");
      }
      this.cors = body.toString();
      return this.#answer(turn, 200);
    }
    if (method === "DELETE") {
      this.cors = undefined;
      return this.#answer(turn, 204);
    }
    if (this.cors === undefined) return this.#refuse(turn, 404, "NoSuchCORSConfiguration");
    this.#answer(turn, 200, { text: this.cors });
  }

  #deleteMany(turn: Turn): undefined {
    const { batchDelete, contentMd5OnDelete } = this.#dialect;
    if (!batchDelete) return this.#refuse(turn, 501, "NotImplemented");
    if (contentMd5OnDelete && turn.request.headers["content-md5"] === undefined) {
      return this.#refuse(turn, 400, "MissingContentMD5");
    }
    const listed = childrenOf(parseXml(turn.body.toString()), "Object");
    if (listed.length > 1000) return this.#refuse(turn, 400, "MalformedXML");
    const keys = listed.map((item) => textOf(item, "Key") ?? "");
    const kept = keys.filter((key) => this.undeletable.has(key));
    for (const key of keys) if (!this.undeletable.has(key)) this.objects.delete(key);
    const rows = kept.map(
      (key) => `<Error><Key>${escapeXml(key)}</Key><Code>InternalError</Code></Error>`,
    );
    this.#answer(turn, 200, { text: `<DeleteResult>${rows.join("")}</DeleteResult>` });
  }

  /** The bytes of a part that is an object, or a range of it; undefined, and refused, where they are not. */
  #copiedRange(turn: Turn): Buffer | undefined {
    const prefix = this.#dialect.headerPrefix;
    const { headers } = turn.request;
    const source = decodeURIComponent(String(headers[`${prefix}copy-source`]));
    const from = this.objects.get(source.slice(this.bucket.length + 2));
    const asked = headers[`${prefix}copy-source-range`];
    const match = headers[`${prefix}copy-source-if-match`];
    if (from === undefined) return this.#refuse(turn, 404, "NoSuchKey");
    if (match !== undefined && match !== `"${from.etag}"`) {
      return this.#refuse(turn, 412, "PreconditionFailed");
    }
    if (asked === undefined) return from.bytes;
    const range = /^bytes=(\d+)-(\d+)$/.exec(String(asked));
    const last = Number(range?.[2]);
    if (range === null || last >= from.bytes.length) return this.#refuse(turn, 416, "InvalidRange");
    return from.bytes.subarray(Number(range[1]), last + 1);
  }

  #listParts(turn: Turn, { parts }: StoredUpload): undefined {
    const marker = Number(turn.query.get("part-number-marker") ?? 0);
    const rest = [...parts].filter(([number]) => number > marker).sort(([a], [b]) => a - b);
    const page = rest.slice(0, 1000);
    const rows = page.map(
      ([number, { bytes, etag }]) =>
        `<Part><PartNumber>${number}</PartNumber><ETag>"${etag}"</ETag><Size>${bytes.length}</Size></Part>`,
    );
    const more = page.length < rest.length;
    const text = `<ListPartsResult><IsTruncated>${more}</IsTruncated>${rows.join("")}</ListPartsResult>`;
    this.#answer(turn, 200, { text });
  }

  #store(
    key: string,
    bytes: Buffer,
    {
      turn,
      etag,
      contentType,
    }: { readonly turn: Turn; readonly etag?: string; readonly contentType?: string },
  ): StoredObject {
    const made = {
      bytes,
      etag: etag ?? this.#etag(bytes),
      crc: crcOf(bytes),
      modifiedAt: new Date(Math.floor(Date.now() / 1000) * 1000),
      contentType: contentType ?? turn.request.headers["content-type"] ?? "",
    };
    this.objects.set(key, made);
    return made;
  }

  #isTaken(turn: Turn, key: string): boolean {
    const [name = "", value] = this.#dialect.createOnlyHeader ?? [];
    if (turn.request.headers[name] !== value || value === undefined) return false;
    if (!this.objects.has(key)) return false;
    const native = name !== "if-none-match";
    this.#refuse(turn, native ? 409 : 412, native ? "FileAlreadyExists" : "PreconditionFailed");
    return true;
  }

  #wrongFraming({ headers, method }: IncomingMessage): string | undefined {
    const hash = headers["x-amz-content-sha256"] ?? "";
    const chunked = String(headers["content-encoding"] ?? "").includes("aws-chunked");
    const streaming = hash.toString().startsWith("STREAMING-") || chunked;
    if (streaming)
      return this.#dialect.checksContentSha256 ? "NotImplemented" : "XAmzContentSHA256Mismatch";
    const bodied = method === "PUT" || method === "POST";
    return bodied && headers["content-length"] === undefined ? "MissingContentLength" : undefined;
  }

  #refuseStyle(turn: Turn): undefined {
    if (this.#dialect.vendor !== "huawei-obs") {
      const oss = this.#dialect.vendor === "alibaba-oss";
      return this.#refuse(
        turn,
        403,
        oss ? "SecondLevelDomainForbidden" : "PathStyleDomainForbidden",
      );
    }
    if (turn.method === "PUT") return this.#refuse(turn, 404, "NoSuchKey");
    this.#answer(turn, 200);
  }

  #refuse(turn: Turn, status: number, code: string): undefined {
    const region = code === "AuthorizationHeaderMalformed" ? `<Region>${this.region}</Region>` : "";
    const text =
      turn.fault.body ??
      `<Error><Code>${code}</Code><Message>refused</Message>${region}<RequestId>1</RequestId></Error>`;
    this.#answer(turn, status, { text, headers: turn.fault.headers ?? {} });
  }

  #answer(
    turn: Turn,
    status: number,
    {
      text = "",
      headers = {},
    }: {
      readonly text?: string | Buffer;
      readonly headers?: Readonly<Record<string, string>>;
    } = {},
  ): undefined {
    const { loseAnswer, answerAfter } = turn.fault;
    if (loseAnswer === true) return void turn.request.socket.destroy();
    if (answerAfter !== undefined) {
      const later = { ...turn, fault: { ...turn.fault, answerAfter: undefined } };
      return void answerAfter().then(() => this.#answer(later, status, { text, headers }));
    }
    const length = Buffer.byteLength(text);
    turn.response.writeHead(status, {
      date: this.#now().toUTCString(),
      ...(status !== 204 && { "content-length": String(length) }),
      ...headers,
      ...this.headers,
    });
    const { cutAt } = turn.fault;
    if (cutAt !== undefined) {
      turn.response.write(Buffer.from(text).subarray(0, cutAt), () => turn.response.destroy());
      return;
    }
    turn.response.end(turn.method === "HEAD" ? undefined : text);
  }

  #told(
    { etag, crc }: Pick<StoredObject, "etag" | "crc">,
    { fault }: Turn,
  ): Record<string, string> {
    return { etag: `"${fault.etag ?? etag}"`, ...this.#crcHeader(crc) };
  }

  #crcHeader(crc: string): Record<string, string> {
    const { crc64EcmaHeader } = this.#dialect;
    return crc64EcmaHeader === undefined ? {} : { [crc64EcmaHeader]: this.crcTold ?? crc };
  }

  #etag(bytes: Buffer): string {
    const etag = md5(bytes);
    return this.#dialect.etagCase === "upper" ? etag.toUpperCase() : etag;
  }

  #now(): Date {
    return new Date(Date.now() + (this.#options.clockSkewMs ?? 0));
  }
}

function operationOf(key: string | undefined, query: ReadonlyMap<string, string>): string {
  if (query.has("uploads")) return "uploads";
  if (query.has("partNumber")) return "part";
  if (query.has("uploadId")) return "upload";
  return key === undefined ? "bucket" : "object";
}

function wrongDigest({ request, body }: Turn): string | undefined {
  const told = request.headers["content-md5"];
  if (told !== undefined && told !== createHash("md5").update(body).digest("base64"))
    return "BadDigest";
  const hash = String(request.headers["x-amz-content-sha256"] ?? "");
  if (!/^[0-9a-f]{64}$/.test(hash)) return undefined;
  const same = hash === createHash("sha256").update(body).digest("hex");
  return same ? undefined : "XAmzContentSHA256Mismatch";
}

/** Rejects where the client went away, or sent less than it announced. */
async function readAll(request: IncomingMessage): Promise<Buffer> {
  const chunks: Buffer[] = [];
  for await (const chunk of request) chunks.push(chunk);
  return Buffer.concat(chunks);
}

function crcOf(bytes: Uint8Array): string {
  return new Crc64Ecma().update(bytes).value.toString();
}

function md5(bytes: Uint8Array): string {
  return createHash("md5").update(bytes).digest("hex");
}

function pairOf(text: string): QueryPair {
  const [name, value] = splitOnce(text, "=");
  return [decodeURIComponent(name), text.includes("=") ? decodeURIComponent(value) : undefined];
}

function splitOnce(text: string, separator: string): readonly [string, string] {
  const at = text.indexOf(separator);
  return at === -1 ? [text, ""] : [text.slice(0, at), text.slice(at + 1)];
}

function missing(): never {
  throw new Error("a key without an object");
}
