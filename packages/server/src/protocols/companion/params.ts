/** `GET /s3/params`: a form for one file. */
import { objectBytesMax } from "@roma/contract";
import { presignForm } from "../../authentication/index.ts";
import { keyForUpload } from "../../core/grant-writes.ts";
import { queryValue } from "../../http/index.ts";
import { metadataOf } from "./metadata.ts";
import type { CompanionServices, Exchange, Handler } from "./services.ts";
import { bucketUrl, secondsLeft } from "./signing.ts";

/** Of one file in a form, as S3 has it. */
const formBytesMax = 5 * 1024 ** 3;

export const formParameters =
  (services: CompanionServices): Handler =>
  async (exchange) => {
    const { request, actor, scope, key: temporary } = exchange;
    const now = services.clock.now();
    await services.buckets.require(scope.bucket);
    const filename = queryValue(request, "filename");
    const type = queryValue(request, "type") || "application/octet-stream";
    const expiresSeconds = secondsLeft(services, exchange);
    const metadata = metadataOf(bracketed(exchange));
    const fields = presignForm(temporary, {
      bucket: scope.bucket,
      fields: {
        key: keyForUpload(actor, { filename, now }),
        bucket: scope.bucket,
        "Content-Type": type,
        // With a body, and with the headers that pages read.
        success_action_status: "201",
        ...Object.fromEntries(
          Object.entries(metadata).map(([name, value]) => [`x-amz-meta-${name}`, value]),
        ),
      },
      lengthRange: [scope.minBytes ?? 0, Math.min(scope.maxBytes ?? objectBytesMax, formBytesMax)],
      now,
      expiresSeconds,
    });
    return { method: "POST", url: bucketUrl(exchange), fields, expires: expiresSeconds };
  };

/** `metadata[name]=value` in the query. */
function* bracketed({ request }: Exchange): Iterable<readonly [string, string]> {
  const [, query = ""] = (request.raw.url ?? "").split("?", 2);
  for (const [name, value] of new URLSearchParams(query)) {
    const [, inner] = /^metadata\[(.+)\]$/.exec(name) ?? [];
    if (inner !== undefined) yield [inner, value];
  }
}
