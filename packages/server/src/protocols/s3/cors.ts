/**
 * The CORS rules of a bucket: what they may say, and the operations that keep them. How a request is judged
 * by them is the HTTP layer's business, the same for every protocol.
 */
import type { FastifyRequest } from "fastify";
import { authorize } from "../../core/access.ts";
import type { CorsRule } from "../../core/ports/metadata-store.ts";
import type { CorsPolicy } from "../../http/index.ts";
import { sendXml } from "./answer.ts";
import { assertRoot } from "./buckets.ts";
import { receiveXml } from "./objects/small-body.ts";
import { refusal } from "./s3-codes.ts";
import type { Handler, OperationRow, S3Services } from "./services.ts";
import { childrenOf, childText, malformed, type XmlElement } from "./xml.ts";

const rulesMax = 100;
const valuesMax = 100;
const configurationBytesMax = 64 * 1024;
const idCharactersMax = 255;
const methods: ReadonlySet<string> = new Set(["GET", "PUT", "POST", "DELETE", "HEAD"]);

/** For buckets without rules: as on every other front end, the origins of `http.corsOrigins`. */
export const s3Cors: CorsPolicy = {
  methods: ["GET", "HEAD", "PUT", "POST", "DELETE"],
  requestHeaders: [
    ...["Authorization", "Cache-Control", "Content-Disposition", "Content-Encoding"],
    ...["Content-Language", "Content-MD5", "Content-Type", "Expires", "If-Match"],
    ...["If-Modified-Since", "If-None-Match", "If-Unmodified-Since", "Range", "X-Requested-With"],
    "Roma-Environment",
    ...["amz-sdk-invocation-id", "amz-sdk-request", "X-Amz-*"],
  ],
  exposedHeaders: [
    ...["Accept-Ranges", "Content-Disposition", "Content-Encoding", "Content-Length"],
    ...["Content-Range", "Date", "ETag", "Location", "Retry-After", "Roma-Environment"],
    "Roma-Request-Id",
    // x-amz-meta-NAME: allows all, since no answer is given to a credential of the browser's own.
    "*",
  ],
  rulesAreWhole: true,
};

/** What a request with `OPTIONS` is told that no rule answered. */
export function refusedPreflight({ headers }: FastifyRequest) {
  if (headers.origin === undefined || headers["access-control-request-method"] === undefined) {
    return refusal("BadRequest", "OPTIONS needs Origin and Access-Control-Request-Method");
  }
  return refusal("AccessForbidden", "CORSResponse: this cross-origin request is not allowed");
}

export function corsOperations(services: S3Services): readonly OperationRow[] {
  const standing = { on: "bucket", when: "cors" } as const;
  return [
    { ...standing, method: "GET", operation: "GetBucketCors", handler: getCors(services) },
    { ...standing, method: "PUT", operation: "PutBucketCors", handler: putCors(services) },
    { ...standing, method: "DELETE", operation: "DeleteBucketCors", handler: deleteCors(services) },
  ];
}

const getCors =
  ({ buckets }: S3Services): Handler =>
  async (exchange) => {
    const { cors } = await buckets.get(exchange.caller.actor, exchange.bucket);
    if (cors === null) {
      throw refusal("NoSuchCORSConfiguration", "the bucket has no rules of its own", {
        fields: { BucketName: exchange.bucket },
      });
    }
    return sendXml(exchange, "CORSConfiguration", { CORSRule: cors.map(ruleXml) });
  };

const putCors =
  ({ buckets }: S3Services): Handler =>
  async (exchange) => {
    const { caller, bucket, reply } = exchange;
    authorize(caller.actor, "bucket:write", { bucket });
    const root = await receiveXml(
      exchange,
      { bytesMax: configurationBytesMax },
      { checksumNeeded: true },
    );
    await buckets.change(caller.actor, bucket, { cors: parseRules(root) });
    return reply.code(200).send();
  };

const deleteCors =
  ({ buckets }: S3Services): Handler =>
  async ({ caller, bucket, reply }) => {
    await buckets.change(caller.actor, bucket, { cors: null });
    return reply.code(204).send();
  };

/** `MalformedXML`, and `InvalidRequest` for what a rule may not say. */
export function parseRules(root: XmlElement): readonly CorsRule[] {
  assertRoot(root, "CORSConfiguration");
  const rules = childrenOf(root, "CORSRule");
  if (rules.length === 0 || rules.length > rulesMax || rules.length < root.children.length) {
    throw malformed(`must have 1 to ${rulesMax} elements CORSRule and no others`);
  }
  return rules.map(parseRule);
}

function parseRule(element: XmlElement): CorsRule {
  const allowedOrigins = values(element, "AllowedOrigin");
  const allowedMethods = values(element, "AllowedMethod");
  const allowedHeaders = values(element, "AllowedHeader");
  const exposeHeaders = values(element, "ExposeHeader");
  const id = childText(element, "ID");
  const maxAge = childText(element, "MaxAgeSeconds");
  if (allowedOrigins.length === 0 || allowedMethods.length === 0) {
    throw malformed("has a CORSRule without AllowedOrigin or AllowedMethod");
  }
  const wrongMethod = allowedMethods.find((method) => !methods.has(method));
  if (wrongMethod !== undefined) {
    throw invalid("AllowedMethod must be one of GET, PUT, POST, DELETE and HEAD");
  }
  const wild = [...allowedOrigins, ...allowedHeaders].find((text) => text.split("*").length > 2);
  if (wild !== undefined) throw invalid("AllowedOrigin and AllowedHeader have at most one *");
  const wrongName = exposeHeaders.find((name) => !/^[!#$%&'+\-.^_`|~0-9A-Za-z]+$/.test(name));
  if (wrongName !== undefined) throw invalid("ExposeHeader must be the name of a header");
  if (id !== undefined && id.length > idCharactersMax) {
    throw invalid(`ID is longer than ${idCharactersMax} characters`);
  }
  if (maxAge !== undefined && !/^\d{1,9}$/.test(maxAge.trim())) {
    throw malformed("has a MaxAgeSeconds that is not a number");
  }
  return {
    ...(id === undefined ? {} : { id }),
    allowedOrigins,
    allowedMethods,
    allowedHeaders,
    exposeHeaders,
    ...(maxAge === undefined ? {} : { maxAgeSeconds: Number(maxAge) }),
  };
}

/** They end up in headers: nothing but printable ASCII. */
function values(element: XmlElement, name: string): readonly string[] {
  const texts = childrenOf(element, name).map(({ text }) => text.trim());
  if (texts.length > valuesMax) throw invalid(`a rule has more than ${valuesMax} of ${name}`);
  if (!texts.every((text) => /^[!-~]{1,1024}$/.test(text))) {
    throw invalid(`${name} must be printable ASCII without spaces`);
  }
  return texts;
}

function invalid(what: string) {
  return refusal("InvalidRequest", what);
}

function ruleXml(rule: CorsRule) {
  return {
    ID: rule.id,
    AllowedOrigin: rule.allowedOrigins,
    AllowedMethod: rule.allowedMethods,
    AllowedHeader: rule.allowedHeaders,
    ExposeHeader: rule.exposeHeaders,
    MaxAgeSeconds: rule.maxAgeSeconds,
  };
}
