import assert from "node:assert/strict";
import { createHmac } from "node:crypto";
import { once } from "node:events";
import { request as httpRequest } from "node:http";
import type { AddressInfo } from "node:net";
import { Readable } from "node:stream";
import { describe, type TestContext, test } from "node:test";
import { HeadObjectCommand, PutObjectCommand, S3Client } from "@aws-sdk/client-s3";
import { signGrant } from "../core/grants.ts";
import { type Clock, systemClock } from "../core/ports/clock.ts";
import { silentLog } from "../core/ports/log.ts";
import { closeHttp, createHttp, httpConfig, receiveBody, renderProblem } from "../http/index.ts";
import { decodeAwsChunked } from "./aws-chunked.ts";
import { S3Refusal } from "./s3-refusal.ts";
import { authenticateS3, type S3Gate } from "./s3-request.ts";
import { temporarySecret } from "./signer.ts";
import {
  clockAt,
  exampleKey,
  exampleNow,
  frame,
  openKeys,
  presign,
  type SignerOptions,
  sha256,
  signHeaders,
} from "./testing.ts";

interface Answer {
  readonly actor?: string;
  readonly payload?: string;
  readonly hoisted?: Readonly<Record<string, string>>;
  readonly body?: string;
  readonly trailers?: Readonly<Record<string, string>>;
  readonly reason?: string;
  readonly fields?: Readonly<Record<string, string>>;
  readonly code?: string;
}

interface Sent {
  readonly method?: string;
  readonly target: string;
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: Buffer | string;
}

/** A server that tells whom it sees and what came; its clock stands at AWS's examples, if not told. */
async function startGate(
  t: TestContext,
  options: Partial<S3Gate> & { readonly clock?: Clock; readonly trustedProxies?: string[] } = {},
) {
  const { clock = clockAt(exampleNow), trustedProxies = [], ...rest } = options;
  const accessKeys = await openKeys(t, clock);
  const defaults = { region: "us-east-1", domains: [], signatureV2: true };
  const gate: S3Gate = { accessKeys, clock, ...defaults, ...rest };
  const place = { basePath: "", subResources: new Set(["acl"]) };
  const seen: Answer[] = [];
  const app = createHttp({
    log: silentLog,
    config: httpConfig.parse({ trustedProxies }),
    renderError: (error, { id }) => {
      const { reason, fields } = error instanceof S3Refusal ? error : {};
      seen.push({ code: error.code, ...(reason && { reason }), ...(fields && { fields }) });
      return renderProblem(error, { status: 400, title: error.code, requestId: id });
    },
  });
  t.after(() => closeHttp(app, { drainMs: 0 }));
  app.all("*", async (request, reply) => {
    const { actor, payload, hoisted } = await authenticateS3(gate, request, place);
    const received = receiveBody(request, reply, { contentEncodings: "any" });
    const length = Number(request.headers["x-amz-decoded-content-length"]);
    const trailer = request.headers["x-amz-trailer"];
    const { body, trailers } =
      payload.kind === "streaming"
        ? decodeAwsChunked(received.body, {
            ...{ payload, length },
            ...(typeof trailer === "string" ? { trailer } : {}),
          })
        : { body: received.body, trailers: () => new Map<string, string>() };
    const chunks: Uint8Array[] = [];
    for await (const chunk of body) chunks.push(Buffer.from(chunk));
    seen.push({
      actor: actor.kind,
      payload: payload.kind,
      hoisted: Object.fromEntries(hoisted),
      body: Buffer.concat(chunks).toString(),
      trailers: Object.fromEntries(trailers()),
    });
    return reply.header("etag", '"x"').send("");
  });
  await app.listen({ port: 0, host: "127.0.0.1" });
  const { port } = app.server.address() as AddressInfo;
  const ask = async ({ method = "GET", target, headers = {}, body }: Sent): Promise<Answer> => {
    const sent = httpRequest({ host: "127.0.0.1", port, method, path: target, headers });
    sent.end(body);
    const [response] = await once(sent, "response");
    response.resume();
    await once(response, "end");
    return seen.pop() ?? {};
  };
  return { ask, seen, endpoint: `http://127.0.0.1:${port}` };
}

const host = "s3.example";
const request = { method: "GET", path: "/demo/k", headers: { host } };

test("nobody, a header's signature and a presigned URL are told apart", async (t) => {
  const { ask } = await startGate(t);
  const nobody = await ask({ target: "/demo/k", headers: { host } });
  assert.deepEqual([nobody.actor, nobody.payload], ["anonymous", "unsigned"]);
  for (const region of ["us-east-1", "auto", "US"]) {
    const { headers } = signHeaders(request, { region });
    assert.equal((await ask({ target: "/demo/k", headers })).actor, "key");
  }
  assert.equal((await ask({ target: presign(request), headers: { host } })).actor, "key");
});

test("each kind of body is told, and framed ones are decoded", async (t) => {
  const { ask } = await startGate(t);
  const put = { method: "PUT", path: "/demo/k" };
  const framed = (hash: string, trailer?: string, length = "5") =>
    signHeaders(
      {
        ...put,
        headers: {
          ...{ host, "x-amz-decoded-content-length": length },
          ...(trailer === undefined ? {} : { "x-amz-trailer": trailer }),
        },
      },
      { hash },
    );
  const plain = signHeaders({ ...put, headers: { host } }, { hash: sha256("hello") });
  const send = (headers: Readonly<Record<string, string>>, body: Buffer | string) =>
    ask({ method: "PUT", target: "/demo/k", headers, body });
  const whole = await send(plain.headers, "hello");
  assert.deepEqual([whole.payload, whole.body], ["sha256", "hello"]);

  const crc = "x-amz-checksum-crc32";
  const trailer = `${crc}:NhCmhg==`;
  const signed = framed("STREAMING-AWS4-HMAC-SHA256-PAYLOAD");
  const withTrailer = framed("STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER", crc);
  const unsigned = framed("STREAMING-UNSIGNED-PAYLOAD-TRAILER", crc);
  const forms: readonly (readonly [typeof signed, Buffer])[] = [
    [signed, frame(["hel", "lo"], { seed: signed.signature })],
    [withTrailer, frame(["hel", "lo"], { seed: withTrailer.signature, trailer })],
    [unsigned, frame(["hel", "lo"], { trailer })],
  ];
  for (const [{ headers }, body] of forms) {
    const answer = await send(headers, body);
    assert.deepEqual([answer.payload, answer.body], ["streaming", "hello"]);
    assert.deepEqual(answer.trailers, headers["x-amz-trailer"] ? { [crc]: "NhCmhg==" } : {});
  }
  const replayed = await send(withTrailer.headers, frame(["hello"], { seed: signed.signature }));
  assert.equal(replayed.reason, "SignatureDoesNotMatch");
  const forged = await send({ ...unsigned.headers, "x-amz-date": "20130524T000001Z" }, "");
  assert.equal(forged.reason, "SignatureDoesNotMatch");
});

test("a presigned PUT carries metadata in its query, and no checksum", async (t) => {
  const { ask } = await startGate(t);
  const query = {
    "x-amz-meta-a": "1",
    "x-amz-tagging": "a=b",
    "x-amz-checksum-crc32": "AAAAAA==",
    "x-amz-sdk-checksum-algorithm": "CRC32",
    "X-Amz-Content-Sha256": "UNSIGNED-PAYLOAD",
  };
  const target = presign({ ...request, method: "PUT", query });
  const { hoisted } = await ask({ method: "PUT", target, headers: { host }, body: "x" });
  assert.deepEqual(hoisted, { "x-amz-meta-a": "1", "x-amz-tagging": "a=b" });
});

test("a copy whose source is in the query alone is no plain put: it is refused", async (t) => {
  const { ask } = await startGate(t);
  for (const name of ["x-amz-copy-source", "x-amz-copy-source-if-match", "x-amz-rename-source"]) {
    const query = { [name]: "demo/x" };
    const target = presign({ ...request, method: "PUT", query });
    const refused = await ask({ method: "PUT", target, headers: { host }, body: "" });
    assert.deepEqual([refused.reason, refused.fields], ["NotImplemented", { Header: name }]);
    const headers = { host, [name]: "demo/x" };
    const both = presign({ ...request, method: "PUT", query, headers });
    assert.equal((await ask({ method: "PUT", target: both, headers })).actor, "key");
  }
});

describe("version 2 of the signature", () => {
  const expires = exampleNow.getTime() / 1000 + 60;
  const signedV2 = (text: string, query = "", secret: string = exampleKey.secret): Sent => {
    const [method = ""] = text.split("\n", 1);
    const signature = createHmac("sha1", secret).update(text).digest("base64");
    const by = new URLSearchParams({
      AWSAccessKeyId: exampleKey.id,
      Signature: signature,
      Expires: `${expires}`,
    });
    return { method, target: `/demo/k?${query}${by}`, headers: { host } };
  };
  const get = signedV2(`GET\n\n\n${expires}\n/demo/k`);

  test("is taken from the query, with what that carries for the object", async (t) => {
    const { ask } = await startGate(t);
    assert.equal((await ask(get)).actor, "key");
    const lines = "x-amz-checksum-crc32:AAAAAA==\nx-amz-meta-a:1\n";
    const put = signedV2(
      `PUT\n\n\n${expires}\n${lines}/demo/k`,
      "x-amz-meta-a=1&x-amz-checksum-crc32=AAAAAA==&",
    );
    const answer = await ask({ ...put, body: "hello" });
    assert.deepEqual([answer.payload, answer.body], ["unsigned", "hello"]);
    assert.deepEqual(answer.hoisted, { "x-amz-meta-a": "1" });
    const added = await ask({ ...get, target: `${get.target}&acl` });
    assert.equal(added.reason, "SignatureDoesNotMatch");
  });

  test("is that of a temporary key with its token", async (t) => {
    const { ask } = await startGate(t);
    const token = signGrant(
      { bucket: "demo", prefix: "", actions: ["object:read"] },
      { keyId: exampleKey.id, secret: exampleKey.secret },
      new Date("2013-05-24T01:00:00Z"),
    );
    const text = `GET\n\n\n${expires}\nx-amz-security-token:${token}\n/demo/k`;
    const query = `x-amz-security-token=${token}&`;
    const good = signedV2(text, query, temporarySecret(token, exampleKey.secret));
    assert.equal((await ask(good)).actor, "grant");
    const long = signedV2(text, query);
    assert.equal((await ask(long)).reason, "SignatureDoesNotMatch");
    const plain = `GET\n\n\n${expires}\n/demo/k`;
    const without = signedV2(plain, "", temporarySecret(token, exampleKey.secret));
    assert.equal((await ask(without)).reason, "SignatureDoesNotMatch");
  });

  test("is refused in AWS's words where it is turned off, and beside another credential", async (t) => {
    const off = await startGate(t, { signatureV2: false });
    assert.equal((await off.ask(get)).reason, "InvalidRequest");
    assert.equal((await off.ask({ target: presign(request), headers: { host } })).actor, "key");
    const { ask } = await startGate(t);
    const { headers } = signHeaders(request);
    const v4 = presign(request).replace("/demo/k?", "&");
    assert.equal((await ask({ ...get, headers })).reason, "InvalidArgument");
    assert.equal((await ask({ ...get, target: `${get.target}${v4}` })).reason, "InvalidArgument");
    const half = await ask({ target: "/demo/k?Signature=x", headers });
    assert.equal(half.reason, "InvalidArgument");
  });
});

describe("refused with S3's own reason", () => {
  const sign = (
    extra: Readonly<Record<string, string>>,
    options: SignerOptions & { readonly hash?: string } = {},
  ) => signHeaders({ ...request, headers: { host, ...extra } }, options).headers;
  const good = sign({});
  const authorization = good.authorization ?? "";
  const cases: readonly (readonly [string, Sent, string])[] = [
    [
      "an unknown key",
      { target: "/demo/k", headers: sign({}, { id: "NOBODY" }) },
      "InvalidAccessKeyId",
    ],
    [
      "a wrong secret",
      { target: "/demo/k", headers: sign({}, { secret: "another" }) },
      "SignatureDoesNotMatch",
    ],
    [
      "another region",
      { target: "/demo/k", headers: sign({}, { region: "mars" }) },
      "AuthorizationHeaderMalformed",
    ],
    [
      "16 minutes late",
      { target: "/demo/k", headers: sign({}, { date: "20130523T234359Z" }) },
      "RequestTimeTooSkewed",
    ],
    [
      "a header that is not signed",
      { target: "/demo/k", headers: { ...good, "x-amz-acl": "private" } },
      "AccessDenied",
    ],
    [
      "a copy's source that is not signed",
      { target: presign(request), headers: { host, "x-amz-copy-source": "demo/x" } },
      "AccessDenied",
    ],
    ["header and query at once", { target: presign(request), headers: good }, "InvalidArgument"],
    [
      "header and half a query",
      { target: "/demo/k?X-Amz-Credential=x", headers: good },
      "InvalidArgument",
    ],
    [
      "no payload hash",
      {
        target: "/demo/k",
        headers: {
          host,
          "x-amz-date": "20130524T000000Z",
          authorization: authorization.replace("x-amz-content-sha256;", ""),
        },
      },
      "InvalidRequest",
    ],
    [
      "an unknown payload hash",
      { target: "/demo/k", headers: sign({}, { hash: "STREAMING-X" }) },
      "InvalidArgument",
    ],
    [
      "SigV4A's chunks",
      {
        target: "/demo/k",
        headers: sign({}, { hash: "STREAMING-AWS4-ECDSA-P256-SHA256-PAYLOAD" }),
      },
      "NotImplemented",
    ],
    [
      "aws-chunked that is not framed",
      { target: "/demo/k", headers: sign({ "content-encoding": "gzip, aws-chunked" }) },
      "InvalidArgument",
    ],
    [
      "V2 in the header",
      { target: "/demo/k", headers: { host, authorization: "AWS a:b" } },
      "InvalidRequest",
    ],
    [
      "V2 in the query, that has expired",
      { target: "/demo/k?AWSAccessKeyId=a&Expires=1&Signature=b", headers: { host } },
      "AccessDenied",
    ],
    [
      "SigV4A",
      {
        target: "/demo/k",
        headers: { host, authorization: authorization.replace("HMAC", "ECDSA-P256") },
      },
      "InvalidRequest",
    ],
    [
      "another scheme",
      { target: "/demo/k", headers: { host, authorization: "Basic eDp5" } },
      "InvalidArgument",
    ],
    [
      "an empty Authorization",
      { target: "/demo/k", headers: { host, authorization: "" } },
      "AccessDenied",
    ],
    [
      "signed chunks of nobody",
      {
        target: "/demo/k",
        headers: { host, "x-amz-content-sha256": "STREAMING-AWS4-HMAC-SHA256-PAYLOAD" },
      },
      "AccessDenied",
    ],
    [
      "a session token of nobody",
      { target: "/demo/k", headers: sign({ "x-amz-security-token": "x" }) },
      "InvalidToken",
    ],
  ];
  test("each of them, and the same request unchanged is not", async (t) => {
    const { ask } = await startGate(t);
    for (const [name, sent, reason] of cases) {
      assert.equal((await ask({ target: "/demo/k", headers: good })).actor, "key");
      assert.equal((await ask(sent)).reason, reason, name);
    }
  });

  test("with the region to sign for, and the headers that were not signed", async (t) => {
    const { ask } = await startGate(t);
    const moved = await ask({ target: "/demo/k", headers: sign({}, { region: "mars" }) });
    assert.deepEqual(moved.fields, { Region: "us-east-1" });
    const extra = { ...good, "x-amz-acl": "private", "x-amz-meta-a": "1" };
    const unsigned = await ask({ target: "/demo/k", headers: extra });
    assert.deepEqual(unsigned.fields, { HeadersNotSigned: "x-amz-acl, x-amz-meta-a" });
  });
});

describe("behind a proxy that changes the address", () => {
  const signedFor = (signedHost: string, path = "/demo/k") =>
    signHeaders({ method: "GET", path, headers: { host: signedHost } }).headers;

  test("the configured URL counts, with its prefix, and no other", async (t) => {
    const { ask } = await startGate(t, { publicUrl: "https://files.example/roma" });
    const good = signedFor("files.example", "/roma/demo/k");
    assert.equal((await ask({ target: "/demo/k", headers: { ...good, host } })).actor, "key");
    const other = signedFor("other.example");
    const refused = await ask({ target: "/demo/k", headers: { ...other, host } });
    assert.equal(refused.reason, "SignatureDoesNotMatch");
  });

  test("what a proxy forwards counts only if the proxy is trusted", async (t) => {
    const headers = { ...signedFor("files.example"), host, "x-forwarded-host": "files.example" };
    const trusted = await startGate(t, { trustedProxies: ["127.0.0.1"] });
    assert.equal((await trusted.ask({ target: "/demo/k", headers })).actor, "key");
    const untrusted = await startGate(t);
    const { reason } = await untrusted.ask({ target: "/demo/k", headers });
    assert.equal(reason, "SignatureDoesNotMatch");
  });

  test("a signature for one bucket's host opens no other's", async (t) => {
    const { ask } = await startGate(t, {
      domains: ["s3.example"],
      publicUrl: "https://files.example",
    });
    const headers = signedFor("files.example");
    const send = (received: string) =>
      ask({ target: "/demo/k", headers: { ...headers, host: received } });
    assert.equal((await send("inner:9000")).actor, "key");
    assert.equal((await send("s3.example")).actor, "key");
    assert.equal((await send("secret.s3.example")).reason, "SignatureDoesNotMatch");
  });
});

describe("temporary keys", () => {
  const scope = {
    bucket: "demo",
    prefix: "in/",
    actions: ["object:write"],
    methods: ["PUT"],
  } as const;
  const signer = { keyId: exampleKey.id, secret: exampleKey.secret };
  const mint = (expires: Date) => {
    const token = signGrant(scope, signer, expires);
    return { token, secret: temporarySecret(token, exampleKey.secret) };
  };
  const put = (token: string, secret: string) => ({
    method: "PUT",
    target: "/demo/k",
    headers: signHeaders(
      { method: "PUT", path: "/demo/k", headers: { host, "x-amz-security-token": token } },
      { secret },
    ).headers,
  });

  test("may do what the grant in their session token says", async (t) => {
    const { ask } = await startGate(t);
    const { token, secret } = mint(new Date("2013-05-24T01:00:00Z"));
    assert.equal((await ask(put(token, secret))).actor, "grant");
    const query = { "X-Amz-Security-Token": token };
    const presigned = { ...request, method: "PUT", query };
    const sent = { method: "PUT", target: presign(presigned, { secret }), headers: { host } };
    const answer = await ask(sent);
    assert.deepEqual([answer.actor, answer.hoisted], ["grant", {}]);
    const reading = { target: presign({ ...request, query }, { secret }), headers: { host } };
    assert.equal((await ask(reading)).code, "access_denied");
  });

  test("are refused once they expire, and with another's token or secret", async (t) => {
    const { ask } = await startGate(t);
    const old = mint(new Date("2013-05-23T23:59:00Z"));
    assert.equal((await ask(put(old.token, old.secret))).reason, "ExpiredToken");
    const { token, secret } = mint(new Date("2013-05-24T01:00:00Z"));
    const { reason } = await ask(put(token, exampleKey.secret));
    assert.equal(reason, "SignatureDoesNotMatch");
    assert.equal((await ask(put(old.token, secret))).reason, "SignatureDoesNotMatch");
    const foreign = signGrant(
      scope,
      { ...signer, keyId: "OTHER" },
      new Date("2013-05-24T01:00:00Z"),
    );
    assert.equal((await ask(put(foreign, secret))).reason, "InvalidToken");
  });
});

test("the AWS SDK signs what is verified: hashes, framed streams, odd keys, session tokens", async (t) => {
  const { seen, endpoint } = await startGate(t, { clock: systemClock });
  const grant = signGrant(
    { bucket: "demo", prefix: "", actions: ["object:write"] },
    { keyId: exampleKey.id, secret: exampleKey.secret },
    new Date(Date.now() + 60_000),
  );
  const ids = { accessKeyId: exampleKey.id };
  const credentials = [
    { ...ids, secretAccessKey: exampleKey.secret },
    { ...ids, secretAccessKey: temporarySecret(grant, exampleKey.secret), sessionToken: grant },
  ];
  for (const credential of credentials) {
    const client = new S3Client({
      ...{ endpoint, region: "us-east-1", forcePathStyle: true, credentials: credential },
      maxAttempts: 1,
    });
    t.after(() => client.destroy());
    const actor = "sessionToken" in credential ? "grant" : "key";
    for (const Key of ["k", "a//b/", "ü +&=?#%25", "a/../b", "!'()*~"]) {
      await client.send(new PutObjectCommand({ Bucket: "demo", Key, Body: "hello" }));
      const answer = seen.pop();
      assert.deepEqual([answer?.actor, answer?.payload, answer?.body], [actor, "sha256", "hello"]);
    }
    const Body = Readable.from([Buffer.from("hel"), Buffer.from("lo")]);
    await client.send(new PutObjectCommand({ Bucket: "demo", Key: "k", Body, ContentLength: 5 }));
    const framed = seen.pop();
    assert.deepEqual([framed?.actor, framed?.payload, framed?.body], [actor, "streaming", "hello"]);
    assert.deepEqual(framed?.trailers, { "x-amz-checksum-crc32": "NhCmhg==" });
    await client.send(new HeadObjectCommand({ Bucket: "demo", Key: "k" }));
    assert.equal(seen.pop()?.actor, actor);
  }
});
