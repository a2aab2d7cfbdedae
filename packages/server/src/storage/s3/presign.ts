// Addresses and forms that let somebody without credentials do one thing for a while. What a grant
// binds is signed: key, method, length, type, digest. What a vendor cannot bind is `unsupported`.

import { OperationalError } from "../../core/errors.ts";
import type {
  Call,
  Grant,
  PresignedRequest,
  StorageCallback,
} from "../../core/ports/storage-driver.ts";
import { type S3Context, storedKey } from "./context.ts";
import type { QueryPair } from "./signatures/encode.ts";
import { ossCallbackValue } from "./signatures/oss-v4.ts";

/** What all vendors take. */
const expiresSecondsMax = 7 * 86_400;

export async function presign(
  context: S3Context,
  grant: Grant,
  { signal }: Call,
): Promise<PresignedRequest> {
  signal.throwIfAborted();
  const key = storedKey(context, grant.key);
  const expiresSeconds = secondsLeft(context, grant.expiresAt);
  if (grant.verb === "post") return await presignPost(context, grant, { signal });
  const { method, query, headers, sent } = termsOf(context, grant);
  const request = { method, key, query, headers };
  const url = await context.client.presign(request, { signal, expiresSeconds });
  return { method, url, headers: sent };
}

interface Terms {
  readonly method: "GET" | "PUT";
  readonly query: readonly QueryPair[];
  /** Signed. */
  readonly headers: Readonly<Record<string, string>>;
  /** Of those, what a client has to set by itself: it sends the length of its body in any case. */
  readonly sent: Readonly<Record<string, string>>;
}

function termsOf({ dialect }: S3Context, grant: Exclude<Grant, { verb: "post" }>): Terms {
  if (grant.verb === "get") {
    const { contentDisposition } = grant;
    if (contentDisposition === undefined) {
      return { method: "GET", query: [], headers: {}, sent: {} };
    }
    if (!dialect.responseOverrides) {
      throw new OperationalError("unsupported", `contentDisposition on ${dialect.title}`);
    }
    const query = [["response-content-disposition", contentDisposition]] as const;
    return { method: "GET", query, headers: {}, sent: {} };
  }
  const { md5, ...others } = grant.digests ?? {};
  const [other] = Object.keys(others);
  if (other !== undefined) throw new OperationalError("unsupported", `${other} of a presigned put`);
  const sent = {
    ...(grant.verb === "put" && { "content-type": grant.contentType }),
    ...(md5 !== undefined && { "content-md5": Buffer.from(md5).toString("base64") }),
  };
  const length = { "content-length": String(grant.length) };
  const headers = bound(dialect.signature, { ...length, ...sent });
  return { method: "PUT", query: grant.verb === "put" ? [] : partQuery(grant), headers, sent };
}

function partQuery({
  partNumber,
  token,
}: Extract<Grant, { verb: "writePart" }>): readonly QueryPair[] {
  return [
    ["partNumber", String(partNumber)],
    ["uploadId", token],
  ];
}

/** OBS's own signature covers no length: a grant that names one would promise what nobody checks. */
function bound(
  signature: string,
  headers: Readonly<Record<string, string>>,
): Readonly<Record<string, string>> {
  if (signature !== "obs") return headers;
  throw new OperationalError("unsupported", "a bound length with the signature of Huawei OBS");
}

async function presignPost(
  context: S3Context,
  grant: Extract<Grant, { verb: "post" }>,
  { signal }: Call,
): Promise<PresignedRequest> {
  const { client, dialect } = context;
  if (!dialect.postPolicy) {
    throw new OperationalError("unsupported", `forms on ${dialect.title}`);
  }
  if (grant.callback !== undefined && dialect.formCallback !== true) {
    throw new OperationalError("unsupported", `callbacks of ${dialect.title}`);
  }
  const own = {
    key: storedKey(context, grant.key),
    "Content-Type": grant.contentType,
    // With 201 all vendors answer with a body and the headers that browsers need.
    success_action_status: "201",
    ...(grant.callback !== undefined && { callback: callbackField(grant.callback) }),
  };
  const conditions = [
    { bucket: client.bucket },
    ...Object.entries(own).map(([name, value]) => ["eq", `$${name}`, value]),
    ["content-length-range", grant.lengthMin ?? 0, grant.lengthMax],
  ];
  const policy = { expiresAt: grant.expiresAt, conditions };
  const { url, fields } = await client.presignForm(policy, signal);
  return { method: "POST", url, headers: {}, fields: { ...own, ...fields } };
}

/** OSS writes its values in as JSON: texts come with their quotes. */
function callbackField({ url, fields }: StorageCallback): string {
  const given = Object.entries(fields).map(
    ([name, value]) => `${JSON.stringify(name)}:${JSON.stringify(value)}`,
  );
  const told = ["bucket", "object", "etag", "size"].map((name) => `"${name}":\${${name}}`);
  const body = `{${[...given, ...told].join(",")}}`;
  return ossCallbackValue({ url, body, bodyType: "application/json", sni: true });
}

function secondsLeft({ client }: S3Context, expiresAt: Date): number {
  const seconds = Math.floor((expiresAt.getTime() - client.now().getTime()) / 1000);
  if (seconds < 1) throw new OperationalError("expired", "the grant has expired");
  if (seconds > expiresSecondsMax) {
    throw new OperationalError("unsupported", "a grant for more than 7 days");
  }
  return seconds;
}
