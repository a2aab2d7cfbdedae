/**
 * For tests: what Alibaba OSS does with a form that has a callback, as its documents say it. It takes the form by its
 * policy, keeps the file in an emulated bucket, calls as it was told, and signs the call with a key that it shows.
 * https://www.alibabacloud.com/help/en/oss/developer-reference/callback
 */
import assert from "node:assert/strict";
import { createHash, createHmac, generateKeyPairSync, type KeyObject, sign } from "node:crypto";
import { once } from "node:events";
import { createServer, type IncomingMessage, request, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import type { SignedFormJson } from "@roma/contract";
import { z } from "zod";
import { storageKind } from "../../../registry/kinds.ts";
import { s3Config } from "../../config.ts";
import { Crc64Ecma } from "../../crc64-ecma.ts";
import { openS3Storage } from "../../driver.ts";
import { Emulator } from "../testing.ts";

export interface OssCall {
  readonly url: URL;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: string;
}

/** What the one who is called answers. */
export interface CallAnswer {
  readonly status: number;
  readonly text: string;
}

/** OSS's own key is as short. */
const modulusLength = 512;
const keyPath = "/callback_pub_key_v1.pem";

export class OssStandIn implements AsyncDisposable {
  readonly emulator = new Emulator({
    vendor: "alibaba-oss",
    signature: "native",
    region: "cn-test",
  });
  readonly keys = generateKeyPairSync("rsa", { modulusLength });
  /** Every call, as it was sent. */
  readonly calls: OssCall[] = [];
  keyRequests = 0;
  /** For how long it waits for the one whom it calls: OSS itself 5 s, which a busy machine may need. */
  timeoutMs = 60_000;
  /** Sends a call to the server. */
  reach: (call: OssCall) => Promise<CallAnswer> = () => assert.fail("nobody is called");
  readonly #server = createServer((request, response) => void this.#serve(request, response));

  async listen(): Promise<this> {
    await this.emulator.listen();
    this.#server.listen(0, "127.0.0.1");
    await once(this.#server, "listening");
    return this;
  }

  /** Where the key is, in place of `https://gosspublic.alicdn.com`. */
  get keyOrigin(): string {
    return `http://127.0.0.1:${this.#port}`;
  }

  get keyUrl(): string {
    return `${this.keyOrigin}${keyPath}`;
  }

  /** A storage of a server: its bucket's requests go to the emulator, forms come here. */
  kind(settings: object = {}) {
    const { endpoint, region, bucket, key, lookup } = this.emulator;
    const publicEndpoint = `http://forms.test:${this.#port}`;
    const given = { vendor: "alibaba-oss", signature: "native", endpoint, region, bucket, ...key };
    const config = s3Config.parse({ ...given, publicEndpoint, ...settings });
    return storageKind({
      schema: z.strictObject({}),
      open: async (_settings, { id }) => ({ driver: openS3Storage({ id, ...config, lookup }) }),
    });
  }

  /** As a page posts it. */
  async post(form: SignedFormJson, file: string): Promise<CallAnswer> {
    const body = new FormData();
    for (const [name, value] of Object.entries(form.fields)) body.append(name, value);
    body.append("file", new Blob([file]), "a.txt");
    const encoded = new Response(body);
    const { host, pathname } = new URL(form.url);
    const type = encoded.headers.get("content-type") ?? "";
    const sent = request({
      ...{ host: "127.0.0.1", port: this.#port, path: pathname, method: "POST" },
      headers: { host, "content-type": type },
    });
    sent.end(Buffer.from(await encoded.arrayBuffer()));
    const [answer] = (await once(sent, "response")) as [IncomingMessage];
    return { status: answer.statusCode ?? 0, text: (await readAll(answer)).toString() };
  }

  /** Its call, signed. */
  call(url: string, body: string, key: KeyObject = this.keys.privateKey): OssCall {
    const { pathname, search } = new URL(url);
    const text = `${decodeURIComponent(pathname)}${search}\n${body}`;
    return {
      url: new URL(url),
      headers: {
        "content-type": "application/json",
        authorization: sign("RSA-MD5", Buffer.from(text), key).toString("base64"),
        "x-oss-pub-key-url": Buffer.from(this.keyUrl).toString("base64"),
      },
      body,
    };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#server.closeAllConnections();
    this.#server.close();
    await this.emulator[Symbol.asyncDispose]();
  }

  get #port(): number {
    return (this.#server.address() as AddressInfo).port;
  }

  async #serve(request: IncomingMessage, response: ServerResponse): Promise<void> {
    if (request.method === "GET") {
      this.keyRequests += 1;
      response.statusCode = request.url === keyPath ? 200 : 404;
      response.end(this.keys.publicKey.export({ type: "spki", format: "pem" }));
      return;
    }
    const bytes = await readAll(request);
    const headers = { "content-type": request.headers["content-type"] ?? "" };
    const form = await new Response(Uint8Array.from(bytes), { headers }).formData();
    const file = form.get("file");
    assert(file instanceof File);
    const fields = new Map(
      [...form].flatMap(([name, value]) => (typeof value === "string" ? [[name, value]] : [])),
    );
    const content = Buffer.from(await file.arrayBuffer());
    if (!this.#takes(fields, content.length)) {
      response.writeHead(403).end("<Error><Code>AccessDenied</Code></Error>");
      return;
    }
    const etag = this.#store(fields, content);
    const { status, text } = await this.#callBack(fields, { etag, size: content.length });
    response.writeHead(status).end(text);
  }

  /** Only what the policy names, and signed by the key of the bucket. */
  #takes(fields: ReadonlyMap<string, string>, length: number): boolean {
    const policy = fields.get("policy") ?? "";
    const { secretAccessKey } = this.emulator.key;
    const day = (fields.get("x-oss-date") ?? "").slice(0, 8);
    const words = [day, this.emulator.region, "oss", "aliyun_v4_request", policy];
    const signature = words.reduce<Buffer>(
      (key, word) => createHmac("sha256", key).update(word).digest(),
      Buffer.from(`aliyun_v4${secretAccessKey}`),
    );
    if (fields.get("x-oss-signature") !== signature.toString("hex")) return false;
    const { expiration, conditions } = JSON.parse(Buffer.from(policy, "base64").toString());
    if (Date.parse(expiration) <= Date.now()) return false;
    const own = new Map([...fields, ["bucket", this.emulator.bucket]]);
    return conditions.every((condition: object) => {
      if (!Array.isArray(condition)) {
        return Object.entries(condition).every(([name, value]) => own.get(name) === value);
      }
      const [rule, name, value] = condition;
      if (rule === "content-length-range") return length >= name && length <= value;
      return rule === "eq" && own.get(String(name).slice(1)) === value;
    });
  }

  #store(fields: ReadonlyMap<string, string>, bytes: Buffer): string {
    const etag = createHash("md5").update(bytes).digest("hex").toUpperCase();
    const crc = new Crc64Ecma().update(bytes).value.toString();
    const contentType = fields.get("Content-Type") ?? "";
    const stored = { bytes, etag, crc, contentType, modifiedAt: new Date() };
    this.emulator.objects.set(fields.get("key") ?? "", stored);
    return etag;
  }

  /** Its answer to the form: what the one who was called says, or that the call failed. */
  async #callBack(
    fields: ReadonlyMap<string, string>,
    stored: { readonly etag: string; readonly size: number },
  ): Promise<CallAnswer> {
    const callback = fields.get("callback");
    if (callback === undefined) return { status: 201, text: "" };
    const given = JSON.parse(Buffer.from(callback, "base64").toString());
    assert.equal(given.callbackBodyType, "application/json");
    const known = { ...stored, bucket: this.emulator.bucket, object: fields.get("key") };
    const body = Object.entries(known).reduce(
      (text, [name, value]) => text.replaceAll(`\${${name}}`, JSON.stringify(value)),
      String(given.callbackBody),
    );
    const call = this.call(given.callbackUrl, body);
    this.calls.push(call);
    const timeout = Promise.withResolvers<CallAnswer>();
    const giveUp = () => timeout.resolve({ status: 0, text: "timeout" });
    const timer = setTimeout(giveUp, this.timeoutMs);
    const answer = await Promise.race([this.reach(call), timeout.promise]);
    clearTimeout(timer);
    if (answer.status === 200) return answer;
    return { status: 203, text: `<Error><Code>CallbackFailed</Code>${answer.status}</Error>` };
  }
}

async function readAll(stream: IncomingMessage): Promise<Buffer> {
  const chunks: Buffer[] = [];
  for await (const chunk of stream) chunks.push(chunk);
  return Buffer.concat(chunks);
}
