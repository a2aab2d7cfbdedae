/**
 * Direct uploads of the server in memory: signed requests to a second listener that stands for the
 * storage, or to the server itself. Bytes may be counted and digested without being kept.
 */
import { createHash, randomUUID } from "node:crypto";
import type http from "node:http";
import type {
  CompleteDirectUploadJson,
  DirectUploadJson,
  DirectUploadRequestJson,
  ErrorCode,
  ObjectJson,
  SignedRequestJson,
} from "@roma/contract";
import { chainCrc64Nvme, startCrc64Nvme } from "../digests/crc64-nvme.ts";

export class Refused extends Error {
  readonly status: number;
  readonly code: ErrorCode;
  /** Of the problem document, beside the usual ones. */
  readonly members: object;
  constructor(status: number, code: ErrorCode, message: string, members: object = {}) {
    super(message);
    this.status = status;
    this.code = code;
    this.members = members;
  }
}

/** How direct uploads behave; a test changes it at any time. */
export interface DirectSettings {
  /** Where bytes go when the client does not insist. */
  via: "storage" | "server";
  partBytes: number;
  /** Up to here in one request. */
  putBytesMax: number;
  /** Signed requests hold so long. */
  requestMs: number;
  /** Signed requests of numbers below are refused; each signature has the next number. */
  signaturesFrom: number;
  signatures: number;
  /** Bytes are counted and digested, not kept. */
  discard: boolean;
  /** False: the storage says nothing of other origins, so browsers may not speak to it. */
  storageCors: boolean;
}

export interface DirectPart {
  readonly bytes: Buffer;
  readonly length: number;
  readonly etag: string;
  readonly crc64nvme: string;
}

export interface DirectUpload {
  readonly id: string;
  readonly request: DirectUploadRequestJson;
  readonly key: string;
  readonly via: "storage" | "server";
  readonly partBytes: number | undefined;
  /** Part 1 of a put is all of it. */
  readonly parts: Map<number, DirectPart>;
  /** Set while the client has to prove that it has these bytes. */
  proof: { readonly nonce: string; readonly bytes: Buffer } | undefined;
  object: { readonly json: ObjectJson; readonly created: boolean } | undefined;
}

export interface DirectServer {
  readonly settings: DirectSettings;
  readonly uploads: Map<string, DirectUpload>;
  /** `/v1/uploads…`; undefined when the route is none of these. */
  route(
    call: DirectCall,
  ): Promise<{ readonly status: number; readonly value: unknown } | undefined>;
  /** `/signed/…`, on either listener. */
  receive(request: http.IncomingMessage, response: http.ServerResponse): Promise<void>;
}

export interface DirectCall {
  readonly method: string;
  readonly url: URL;
  readonly segments: readonly string[];
  readonly json: () => Promise<unknown>;
}

export interface DirectSurroundings {
  readonly serverUrl: () => string;
  readonly storageUrl: () => string;
  /** Stores the object; false when it replaced one. */
  readonly publish: (object: ObjectJson, bytes: Buffer) => boolean;
  readonly exists: (bucket: string, key: string) => boolean;
  /** The bytes of some object with this SHA-256. */
  readonly findSha256: (sha256: string) => Buffer | undefined;
}

export function createDirect(around: DirectSurroundings): DirectServer {
  const settings: DirectSettings = {
    ...{ via: "storage", partBytes: 1024 * 1024, putBytesMax: 0, requestMs: 600_000 },
    ...{ signaturesFrom: 0, signatures: 0, discard: false, storageCors: true },
  };
  const uploads = new Map<string, DirectUpload>();
  const find = (id: string): DirectUpload => {
    const upload = uploads.get(id);
    if (upload === undefined) throw new Refused(404, "upload_not_found", `no upload ${id}`);
    return upload;
  };

  const sign = ({ id, via }: DirectUpload, name: string): SignedRequestJson => {
    const number = settings.signatures++;
    const expires = Date.now() + settings.requestMs;
    const base = via === "storage" ? around.storageUrl() : around.serverUrl();
    return {
      method: "PUT",
      url: `${base}/signed/${id}/${name}?number=${number}&expires=${expires}`,
      headers: { "x-test-signed": String(number) },
      expiresAt: new Date(expires).toISOString(),
    };
  };

  const describe = (upload: DirectUpload): DirectUploadJson => {
    const { id, request, key, via, partBytes, proof } = upload;
    const facts = { id, bucket: request.bucket, key, length: request.length, via };
    const expiresAt = new Date(Date.now() + 3_600_000).toISOString();
    if (proof !== undefined) {
      const last = proof.bytes.length - 1;
      const middle = Math.floor(last / 2);
      const ranges = [
        { firstByte: 0, lastByte: Math.min(99, last) },
        { firstByte: middle, lastByte: last },
      ];
      const challenge = { nonce: proof.nonce, ranges };
      return { ...facts, expiresAt, transfer: { kind: "proof", challenge } };
    }
    if (partBytes === undefined) {
      return { ...facts, expiresAt, transfer: { kind: "put", request: sign(upload, "put") } };
    }
    const partCount = Math.max(1, Math.ceil(request.length / partBytes));
    const numbers = Array.from({ length: partCount }, (_, index) => index + 1);
    const missing = numbers.filter((number) => !upload.parts.has(number)).slice(0, 3);
    const requests = missing.map((number) => [number, sign(upload, String(number))]);
    const parts = [...upload.parts].map(([number, { length, etag }]) => ({ number, length, etag }));
    return {
      ...facts,
      expiresAt,
      transfer: {
        kind: "parts",
        partBytes,
        partCount,
        requests: Object.fromEntries(requests),
        parts,
      },
    };
  };

  const begin = (request: DirectUploadRequestJson): DirectUpload => {
    const id = randomUUID();
    const wanted = request.via ?? "auto";
    const partBytes = request.partBytes ?? settings.partBytes;
    const known =
      request.instant === true ? around.findSha256(request.checksums?.sha256 ?? "") : undefined;
    const upload: DirectUpload = {
      ...{ id, request, key: request.key ?? `made/${id}-${request.filename ?? ""}` },
      via: wanted === "auto" ? settings.via : wanted,
      partBytes: request.length <= settings.putBytesMax ? undefined : partBytes,
      parts: new Map(),
      proof: known && { nonce: createHash("sha256").update(id).digest("hex"), bytes: known },
      object: undefined,
    };
    if (request.createOnly === true && around.exists(request.bucket, upload.key)) {
      throw new Refused(412, "precondition_failed", `${upload.key} exists`);
    }
    uploads.set(id, upload);
    return upload;
  };

  const publish = (upload: DirectUpload, parts: readonly DirectPart[]) => {
    const { request, key } = upload;
    const length = parts.reduce((sum, part) => sum + part.length, 0);
    const crc64nvme = chainCrc64Nvme(parts);
    const object: ObjectJson = {
      ...{ bucket: request.bucket, key, version: randomUUID(), size: length },
      etag: `"${crc64nvme}"`,
      contentType: request.contentType ?? "application/octet-stream",
      createdAt: "2026-01-01T00:00:00Z",
      metadata: request.metadata ?? {},
      checksums: { crc64nvme },
      storage: "default",
      url: `/v1/objects/${request.bucket}/${encodeURI(key)}`,
    };
    const created = around.publish(object, Buffer.concat(parts.map(({ bytes }) => bytes)));
    upload.object = { json: object, created };
    return upload.object;
  };

  const complete = (upload: DirectUpload, wish: CompleteDirectUploadJson) => {
    if (upload.object !== undefined) return upload.object;
    const parts = [...upload.parts].sort(([a], [b]) => a - b);
    for (const { number, etag } of wish.parts ?? []) {
      if (upload.parts.get(number)?.etag !== etag) {
        throw new Refused(400, "invalid_part", `part ${number} is not there`);
      }
    }
    const length = parts.reduce((sum, [, part]) => sum + part.length, 0);
    if (length !== upload.request.length) {
      throw new Refused(400, "invalid_part", `${length} bytes of ${upload.request.length}`);
    }
    const crc64nvme = chainCrc64Nvme(parts.map(([, part]) => part));
    const declared = { ...upload.request.checksums, ...wish.checksums }.crc64nvme;
    if (declared !== undefined && declared !== crc64nvme) {
      throw new Refused(400, "checksum_mismatch", `stored ${crc64nvme}, declared ${declared}`);
    }
    return publish(
      upload,
      parts.map(([, part]) => part),
    );
  };

  const prove = (upload: DirectUpload, digests: readonly string[]) => {
    const { transfer } = describe(upload);
    if (transfer.kind !== "proof" || upload.proof === undefined) {
      throw new Refused(400, "invalid_request", "no proof was asked for");
    }
    const { bytes, nonce } = upload.proof;
    for (const [index, { firstByte, lastByte }] of transfer.challenge.ranges.entries()) {
      const range = bytes.subarray(firstByte, lastByte + 1);
      const expected = createHash("sha256").update(Buffer.from(nonce, "hex")).update(range);
      if (digests[index] !== expected.digest("hex")) {
        upload.proof = undefined;
        throw new Refused(403, "access_denied", "the proof is wrong");
      }
    }
    const crc = startCrc64Nvme();
    crc.update(bytes);
    const part = { bytes, length: bytes.length, etag: "", crc64nvme: crc.hex() };
    return publish(upload, [part]);
  };

  return {
    settings,
    uploads,
    async route({ method, url, segments, json }) {
      const [, , , id, action] = segments;
      if (method === "POST" && id === undefined) {
        return { status: 201, value: describe(begin((await json()) as DirectUploadRequestJson)) };
      }
      if (id === undefined) return undefined;
      if (method === "GET" && url.searchParams.has("parts")) {
        const upload = find(id);
        if (upload.object !== undefined) {
          throw new Refused(404, "upload_not_found", "it is complete", { phase: "complete" });
        }
        return { status: 200, value: describe(upload) };
      }
      if (method === "DELETE" && uploads.delete(id)) return { status: 204, value: undefined };
      if (method !== "POST") return undefined;
      const upload = find(id);
      if (action === "requests") {
        const { partNumbers } = (await json()) as { partNumbers?: number[] };
        const names = partNumbers?.map(String) ?? ["put"];
        const requests = Object.fromEntries(names.map((name) => [name, sign(upload, name)]));
        return { status: 200, value: { requests } };
      }
      const done =
        action === "complete"
          ? complete(upload, (await json()) as CompleteDirectUploadJson)
          : prove(upload, ((await json()) as { digests: string[] }).digests);
      return { status: done.created ? 201 : 200, value: done.json };
    },
    async receive(request, response) {
      const url = new URL(request.url ?? "/", "http://server");
      const [, , id = "", name = ""] = url.pathname.split("/");
      const number = Number(url.searchParams.get("number"));
      const expired =
        number < settings.signaturesFrom || Number(url.searchParams.get("expires")) < Date.now();
      const upload = uploads.get(id);
      if (expired || upload === undefined || request.headers["x-test-signed"] !== String(number)) {
        const status = upload === undefined ? 404 : 403;
        response.writeHead(status, { "content-type": "application/xml", connection: "close" });
        response.end("<Error><Code>AccessDenied</Code><Message>refused</Message></Error>");
        return;
      }
      if (request.headers.expect !== undefined) response.writeContinue();
      const crc = startCrc64Nvme();
      const chunks: Buffer[] = [];
      let length = 0;
      for await (const chunk of request) {
        crc.update(chunk);
        length += chunk.length;
        if (!settings.discard) chunks.push(chunk);
      }
      const crc64nvme = crc.hex();
      const etag = `etag-${crc64nvme}`;
      const part = { bytes: Buffer.concat(chunks), length, etag, crc64nvme };
      upload.parts.set(name === "put" ? 1 : Number(name), part);
      response.writeHead(200, { etag: `"${etag}"` }).end();
    },
  };
}
