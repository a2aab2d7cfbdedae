/** Headers that keep stored content from acting in a browser, and say who may keep a copy of it. */
import type { BucketRecord } from "../core/ports/metadata-store.ts";

/** No script, no form, no origin of its own; what it brings inline may still be seen. */
const sandbox =
  "sandbox; default-src 'none'; style-src 'unsafe-inline'; img-src data:; media-src data:";

/**
 * Types that a browser runs, or builds a document from, when it is led to them. Browsers show PDF in
 * viewers of their own, which a sandbox would turn off. `+xml` types are all among these.
 */
const runnableTypes: ReadonlySet<string> = new Set([
  "text/html",
  "application/xhtml+xml",
  "image/svg+xml",
  "text/xml",
  "application/xml",
  "text/xsl",
  "text/javascript",
  "application/javascript",
  "application/x-javascript",
  "text/ecmascript",
  "application/ecmascript",
  "text/css",
  "text/cache-manifest",
  "text/vtt",
  "multipart/related",
  "multipart/x-mixed-replace",
  "message/rfc822",
  "application/x-shockwave-flash",
  "application/wasm",
]);

/** Fetch, "extract a MIME type": a header may list several, of which browsers take the last good one. */
function isRunnable(contentType: string): boolean {
  return contentType.split(",").some((one) => {
    const essence = (one.split(";", 1)[0] ?? "").trim().toLowerCase();
    return runnableTypes.has(essence) || essence.endsWith("+xml");
  });
}

export interface ContentAccess {
  /** Of the object's bucket. */
  readonly visibility: BucketRecord["visibility"] | undefined;
  /** Whoever has the URL may read it, so other sites may show it too. */
  readonly linked: boolean;
}

export function contentPolicy(
  contentType: string,
  access: ContentAccess,
): Readonly<Record<string, string>> {
  const isPublic = access.visibility === "public-read";
  return {
    "x-content-type-options": "nosniff",
    // A copy may be kept and must be asked about before each use: keys change what they hold.
    "cache-control": isPublic ? "public, no-cache" : "private, no-cache",
    "cross-origin-resource-policy": isPublic || access.linked ? "cross-origin" : "same-origin",
    ...(isRunnable(contentType) ? { "content-security-policy": sandbox } : {}),
  };
}
