/**
 * Every way by which bytes become an object, each as a client uses it, with a grant and nothing else. A way
 * answers whether the client was told that its bytes are stored.
 */
import {
  CompleteMultipartUploadCommand,
  CopyObjectCommand,
  CreateMultipartUploadCommand,
  PutObjectCommand,
  S3Client,
  S3ServiceException,
  UploadPartCommand,
  UploadPartCopyCommand,
} from "@aws-sdk/client-s3";
import type { DirectUploadJson } from "@roma/contract";
import { presignForm } from "../../packages/server/src/authentication/presign.ts";
import { temporarySecret } from "../../packages/server/src/authentication/signer.ts";

export interface Given {
  readonly url: string;
  /** The secret of the key that signed the grant. */
  readonly secret: string;
  readonly keyId: string;
  readonly token: string;
  readonly bucket: string;
  /** Left out: the server makes it. A way that must name one is given one. */
  readonly key?: string;
  readonly text: string;
}

export interface Way {
  readonly name: string;
  /** `names`: every request names its key. `may`: a request may leave it to the server. `made`: it always does. */
  readonly keys: "names" | "may" | "made";
  /** Whether it writes what is there already, at `copied`, which anybody may read. */
  readonly copies?: boolean;
  readonly write: (given: Given) => Promise<boolean>;
}

/** What copies are of: the test puts it there. */
export const source = { bucket: "open", key: "source" };

const json = { "content-type": "application/json" };

async function call(
  given: Given,
  method: string,
  target: string,
  init: RequestInit = {},
): Promise<Response> {
  const headers = { authorization: `Bearer ${given.token}`, ...init.headers };
  return await fetch(new URL(target, given.url), { ...init, method, headers });
}

async function chunked(given: Given, target: string): Promise<boolean> {
  const body = new Blob([given.text]).stream();
  const answer = await call(given, "PUT", target, { body, duplex: "half" } as RequestInit);
  return answer.ok;
}

async function form(given: Given, target: string, fields: object): Promise<boolean> {
  const body = new FormData();
  for (const [name, value] of Object.entries(fields)) body.set(name, String(value));
  body.set("file", new File([given.text], "a.txt"));
  return (await fetch(new URL(target, given.url), { method: "POST", body })).ok;
}

async function tus(given: Given, deferred: boolean): Promise<boolean> {
  const { bucket, key, text } = given;
  const pair = (name: string, value: string) => `${name} ${Buffer.from(value).toString("base64")}`;
  const named = key === undefined ? [] : [pair("key", key)];
  const version = { "tus-resumable": "1.0.0" };
  const length = String(Buffer.byteLength(text));
  const made = await call(given, "POST", `/tus/${bucket}`, {
    headers: {
      ...version,
      ...(deferred ? { "upload-defer-length": "1" } : { "upload-length": length }),
      "upload-metadata": [...named, pair("filename", "a.txt")].join(","),
    },
  });
  const location = made.headers.get("location");
  if (location === null) return false;
  const sent = await call(given, "PATCH", location, {
    headers: {
      ...version,
      "upload-offset": "0",
      "content-type": "application/offset+octet-stream",
      ...(deferred ? { "upload-length": length } : {}),
    },
    body: text,
  });
  return sent.ok && sent.headers.has("roma-object");
}

/** By a request that the server signs. */
async function direct(given: Given): Promise<boolean> {
  const { bucket, key, text } = given;
  const length = Buffer.byteLength(text);
  const named = key === undefined ? { filename: "a.txt" } : { key };
  const body = JSON.stringify({ bucket, length, ...named });
  const begun = await call(given, "POST", "/v1/uploads", { headers: json, body });
  if (!begun.ok) return false;
  const { id, transfer } = (await begun.json()) as DirectUploadJson;
  if (transfer.kind !== "put")
    throw new Error(`a short body goes in one request: ${transfer.kind}`);
  const { method, url, headers } = transfer.request;
  if (!(await fetch(url, { method, headers, body: text })).ok) return false;
  const complete = { headers: json, body: "{}" };
  return (await call(given, "POST", `/v1/uploads/${id}/complete`, complete)).ok;
}

/** By a form that the server signs. */
async function directForm(given: Given): Promise<boolean> {
  const { bucket, key, text } = given;
  const named = key === undefined ? { filename: "a.txt" } : { key };
  const body = JSON.stringify({ bucket, length: Buffer.byteLength(text), form: true, ...named });
  const begun = await call(given, "POST", "/v1/uploads", { headers: json, body });
  if (!begun.ok) return false;
  const { id, transfer } = (await begun.json()) as DirectUploadJson;
  if (transfer.kind !== "form") throw new Error(`a form was asked for: ${transfer.kind}`);
  if (!(await form(given, transfer.form.url, transfer.form.fields))) return false;
  const complete = { headers: json, body: "{}" };
  return (await call(given, "POST", `/v1/uploads/${id}/complete`, complete)).ok;
}

/** As a client does that uploads pieces in parallel. */
async function tusInPartials(given: Given): Promise<boolean> {
  const { bucket, key, text } = given;
  const version = { "tus-resumable": "1.0.0" };
  const urls: string[] = [];
  for (const piece of [text.slice(0, 1), text.slice(1)]) {
    const made = await call(given, "POST", `/tus/${bucket}`, {
      headers: {
        ...version,
        "upload-length": String(Buffer.byteLength(piece)),
        "upload-concat": "partial",
        "content-type": "application/offset+octet-stream",
      },
      body: piece,
    });
    if (!made.ok) return false;
    urls.push(made.headers.get("location") ?? "");
  }
  const name = key === undefined ? "filename" : "key";
  const value = Buffer.from(key ?? "a.txt").toString("base64");
  const joined = await call(given, "POST", `/tus/${bucket}`, {
    headers: {
      ...version,
      "upload-concat": `final;${urls.join(" ")}`,
      "upload-metadata": `${name} ${value}`,
    },
  });
  return joined.ok;
}

/** In two requests, of which the first says neither the length nor that it is all. */
async function resumable(given: Given): Promise<boolean> {
  const { bucket, key, text } = given;
  const target = key === undefined ? "?filename=a.txt" : `?key=${encodeURIComponent(key)}`;
  const made = await call(given, "POST", `/v1/objects/${bucket}${target}`, {
    headers: { "upload-complete": "?0", "content-type": "text/plain" },
    body: text.slice(0, 1),
  });
  const location = made.headers.get("location");
  if (!made.ok || location === null) return false;
  const rest = await call(given, "PATCH", location, {
    headers: {
      "upload-complete": "?1",
      "upload-offset": "1",
      "content-type": "application/partial-upload",
    },
    body: text.slice(1),
  });
  return rest.ok;
}

function s3Of({ url, keyId, secret, token }: Given): S3Client {
  return new S3Client({
    endpoint: `${url}/s3`,
    region: "us-east-1",
    forcePathStyle: true,
    maxAttempts: 1,
    credentials: {
      accessKeyId: keyId,
      secretAccessKey: temporarySecret(token, secret),
      sessionToken: token,
    },
  });
}

async function throughS3(
  given: Given,
  act: (
    client: S3Client,
    at: { readonly Bucket: string; readonly Key: string },
  ) => Promise<unknown>,
): Promise<boolean> {
  const client = s3Of(given);
  try {
    await act(client, { Bucket: given.bucket, Key: given.key ?? "" });
    return true;
  } catch (error) {
    if (error instanceof S3ServiceException && error.$metadata.httpStatusCode !== 500) return false;
    throw error;
  } finally {
    client.destroy();
  }
}

async function inParts(
  client: S3Client,
  at: { readonly Bucket: string; readonly Key: string },
  part: (upload: { readonly UploadId: string; readonly PartNumber: number }) => Promise<unknown>,
): Promise<void> {
  const { UploadId = "" } = await client.send(
    new CreateMultipartUploadCommand({ ...at, ContentType: "text/plain" }),
  );
  const ETag = String(await part({ UploadId, PartNumber: 1 }));
  const MultipartUpload = { Parts: [{ PartNumber: 1, ETag }] };
  await client.send(new CompleteMultipartUploadCommand({ ...at, UploadId, MultipartUpload }));
}

async function companionParts(given: Given): Promise<boolean> {
  const begun = await call(given, "POST", "/companion/s3/multipart", {
    headers: json,
    body: JSON.stringify({ filename: "a.txt", type: "text/plain" }),
  });
  if (!begun.ok) return false;
  const { key, uploadId } = (await begun.json()) as { key: string; uploadId: string };
  const at = `/companion/s3/multipart/${uploadId}`;
  const query = new URLSearchParams({ key });
  const signed = await call(given, "GET", `${at}/1?${query}`);
  if (!signed.ok) return false;
  const { url } = (await signed.json()) as { url: string };
  const put = await fetch(url, { method: "PUT", body: given.text });
  if (!put.ok) return false;
  const done = await call(given, "POST", `${at}/complete?${query}`, {
    headers: json,
    body: JSON.stringify({ parts: [{ PartNumber: 1, ETag: put.headers.get("etag") }] }),
  });
  return done.ok;
}

const objectPath = ({ bucket, key }: Given) => `/v1/objects/${bucket}/${key}`;
const copySource = `${source.bucket}/${source.key}`;

export const waysIn: readonly Way[] = [
  {
    name: "PUT",
    keys: "names",
    write: async (given) => (await call(given, "PUT", objectPath(given), { body: given.text })).ok,
  },
  {
    name: "PUT of unknown length",
    keys: "names",
    write: (given) => chunked(given, objectPath(given)),
  },
  {
    name: "PUT with the grant in the query",
    keys: "names",
    write: async (given) => {
      const target = new URL(`${objectPath(given)}?grant=${given.token}`, given.url);
      return (await fetch(target, { method: "PUT", body: given.text })).ok;
    },
  },
  {
    name: "form",
    keys: "may",
    write: (given) => {
      const fields = given.key === undefined ? {} : { key: given.key };
      return form(given, `/v1/objects/${given.bucket}?grant=${given.token}`, fields);
    },
  },
  { name: "tus", keys: "may", write: (given) => tus(given, false) },
  { name: "tus, the length told later", keys: "may", write: (given) => tus(given, true) },
  { name: "tus in partials", keys: "may", write: tusInPartials },
  { name: "IETF resumable", keys: "may", write: resumable },
  { name: "direct", keys: "may", write: direct },
  { name: "direct form", keys: "may", write: directForm },
  {
    name: "REST copy",
    keys: "names",
    copies: true,
    write: async ({ bucket, key, ...given }) => {
      const body = JSON.stringify({ from: source, to: { bucket, key } });
      return (await call({ ...given, bucket }, "POST", "/v1/copy", { headers: json, body })).ok;
    },
  },
  {
    name: "S3 PUT",
    keys: "names",
    write: (given) =>
      throughS3(given, (client, at) =>
        client.send(new PutObjectCommand({ ...at, Body: Buffer.from(given.text) })),
      ),
  },
  {
    name: "S3 form",
    keys: "names",
    write: (given) => {
      const { bucket, keyId, secret, token, key = "" } = given;
      const temporary = {
        ...{ id: keyId, secret: temporarySecret(token, secret), token, region: "us-east-1" },
        expiresAt: new Date(Date.now() + 60_000),
      };
      // The policy itself allows everything: what is refused is refused for the grant.
      const fields = presignForm(temporary, {
        ...{ bucket, fields: { key }, lengthRange: [0, 1_000_000], now: new Date() },
        expiresSeconds: 60,
      });
      return form(given, `/s3/${bucket}`, fields);
    },
  },
  {
    name: "S3 parts",
    keys: "names",
    write: (given) =>
      throughS3(given, (client, at) =>
        inParts(client, at, async (upload) => {
          const Body = Buffer.from(given.text);
          return (await client.send(new UploadPartCommand({ ...at, ...upload, Body }))).ETag;
        }),
      ),
  },
  {
    name: "S3 copy",
    keys: "names",
    copies: true,
    write: (given) =>
      throughS3(given, (client, at) =>
        client.send(new CopyObjectCommand({ ...at, CopySource: copySource })),
      ),
  },
  {
    name: "S3 copy of a part",
    keys: "names",
    copies: true,
    write: (given) =>
      throughS3(given, (client, at) =>
        inParts(client, at, async (upload) => {
          const command = new UploadPartCopyCommand({ ...at, ...upload, CopySource: copySource });
          return (await client.send(command)).CopyPartResult?.ETag;
        }),
      ),
  },
  {
    name: "companion form",
    keys: "made",
    write: async (given) => {
      const answer = await call(
        given,
        "GET",
        "/companion/s3/params?filename=a.txt&type=text/plain",
      );
      if (!answer.ok) return false;
      const { url, fields } = (await answer.json()) as { url: string; fields: object };
      return await form(given, url, fields);
    },
  },
  { name: "companion parts", keys: "made", write: companionParts },
  {
    name: "companion sign",
    keys: "may",
    write: async (given) => {
      const body = JSON.stringify({ method: "PUT", key: given.key ?? "a.txt" });
      const answer = await call(given, "POST", "/companion/sign", { headers: json, body });
      if (!answer.ok) return false;
      const { url } = (await answer.json()) as { url: string };
      return (await fetch(url, { method: "PUT", body: given.text })).ok;
    },
  },
];
