// What a browser would make of a page of another origin that sends a part to the bucket: the preflight of a
// signed request, and that request itself, for an upload that is not there, so that nothing is stored.
// Fetch §3.2.5 and §4.10 are the judge.

import { isOperationalError } from "../../core/errors.ts";
import type { Call } from "../../core/ports/storage-driver.ts";
import type { S3Context } from "./context.ts";
import { presign } from "./presign.ts";

/** Below the canary's folder: no key of an object's blob begins so. */
const trialKey = "roma/canary/cors";
/** As long as those of most vendors. */
const trialToken = "roma0cors0trial0upload0that0is0not0there";
const expiresMs = 60_000;
/** What the SDK sends besides headers that need no permission. */
const headersSent = ["content-md5", "content-type"];

type Headers = Readonly<Record<string, string>>;

/** The first thing that would stop the page. */
export async function tryOrigin(
  context: S3Context,
  origin: string,
  { signal }: Call,
): Promise<string | undefined> {
  const { client } = context;
  const expiresAt = new Date(client.now().getTime() + expiresMs);
  const grant = {
    ...({ verb: "writePart", key: trialKey, token: trialToken } as const),
    ...{ partNumber: 1, length: 1, expiresAt },
  };
  let url: string;
  try {
    ({ url } = await presign(context, grant, { signal }));
  } catch (error) {
    if (!isOperationalError(error, "unsupported")) throw error;
    return `no page sends anything to this storage itself: ${error.message}`;
  }
  const asked = {
    "access-control-request-method": "PUT",
    "access-control-request-headers": headersSent.join(","),
  };
  try {
    const sent = { origin, ...asked };
    const preflight = await client.sendAsPage({ method: "OPTIONS", url, headers: sent, signal });
    const refusal = ofPreflight(preflight, origin);
    if (refusal !== undefined) return refusal;
    const headers = { origin, "content-type": "application/octet-stream" };
    const body = Buffer.from("x");
    const answer = await client.sendAsPage({ method: "PUT", url, headers, body, signal });
    return ofAnswer(answer.headers, origin);
  } catch (error) {
    // The address is one for clients, which this server may not reach.
    if (!isOperationalError(error, "unavailable")) throw error;
    return `this server has no answer from where pages send to (${error.context.connection})`;
  }
}

/** Of the preflight's answer: status, origin, method, headers. */
function ofPreflight(
  { status, headers }: { readonly status: number; readonly headers: Headers },
  origin: string,
): string | undefined {
  if (!allowsOrigin(headers, origin)) {
    return `the preflight was answered ${status} without the origin in Access-Control-Allow-Origin`;
  }
  if (status < 200 || status > 299) return `the preflight was answered ${status}`;
  if (!lists(headers, "access-control-allow-methods", "put")) {
    return "PUT is not in Access-Control-Allow-Methods";
  }
  const missing = headersSent.find((name) => !lists(headers, "access-control-allow-headers", name));
  return missing === undefined ? undefined : `${missing} is not in Access-Control-Allow-Headers`;
}

function ofAnswer(headers: Headers, origin: string): string | undefined {
  if (!allowsOrigin(headers, origin)) {
    return "the answer to a PUT does not have the origin in Access-Control-Allow-Origin";
  }
  if (!lists(headers, "access-control-expose-headers", "etag")) {
    return "ETag is not in Access-Control-Expose-Headers: pages cannot name the parts they sent";
  }
  return undefined;
}

function allowsOrigin(headers: Headers, origin: string): boolean {
  const allowed = headers["access-control-allow-origin"];
  return allowed === "*" || allowed === origin;
}

/** A `*` stands for all where no credentials of a browser's own are sent. */
function lists(headers: Headers, field: string, name: string): boolean {
  const names = (headers[field] ?? "").toLowerCase().split(",");
  return names.some((one) => one.trim() === name || one.trim() === "*");
}
