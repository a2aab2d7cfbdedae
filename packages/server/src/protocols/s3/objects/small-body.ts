/**
 * The XML documents of requests: small, whole in memory, and always with a checksum that is compared, since
 * a damaged list of keys would delete other objects.
 */
import { digestNames, firstDifference, RunningDigests } from "../../../core/digests/digest-set.ts";
import { OperationalError } from "../../../core/errors.ts";
import type { Exchange } from "../services.ts";
import { parseXml, type XmlElement } from "../xml.ts";
import { comparingSignedBody, type ReceiveLimits, receiveObject } from "./receive.ts";
import { invalidRequest } from "./refusals.ts";

/** `MalformedXML`, `BadDigest`, `InvalidDigest`; `InvalidRequest` if nothing says what the body is. */
export async function receiveXml(
  exchange: Exchange,
  limits: ReceiveLimits,
  { checksumNeeded }: { readonly checksumNeeded: boolean },
): Promise<XmlElement> {
  const { body, digests, checks, algorithm } = receiveObject(exchange, limits);
  if (checksumNeeded && algorithm === undefined && digests.md5 === undefined) {
    throw invalidRequest(
      "Missing required header for this request: Content-MD5 OR x-amz-checksum-*",
    );
  }
  const names = [
    ...digestNames.filter((name) => digests[name] !== undefined),
    ...(checks?.names ?? []),
  ];
  const running = new RunningDigests(names);
  const chunks: Uint8Array[] = [];
  for await (const chunk of body) {
    running.update(chunk);
    chunks.push(chunk);
  }
  await comparingSignedBody(exchange, async () => {
    const different = firstDifference({ ...digests, ...checks?.expected() }, running.finish());
    if (different === undefined) return;
    throw new OperationalError("checksum_mismatch", `the ${different} of the body differs`, {
      context: { digest: different },
    });
  });
  return parseXml(Buffer.concat(chunks), limits);
}
