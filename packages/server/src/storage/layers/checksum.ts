// Bytes are never wrong: what passes to a storage is digested and compared before the storage can
// publish it, and again with what the storage reports; what is read back is compared with what was
// acknowledged, before the last byte that was asked for is given out.

import {
  combineCrc64Nvme,
  crc64Nvme,
  crc64NvmeFromBytes,
  crc64NvmeToBytes,
} from "../../core/digests/crc64-nvme.ts";
import { DigestSet, digestNames, firstDifference } from "../../core/digests/digest-set.ts";
import { OperationalError } from "../../core/errors.ts";
import type {
  BlobHead,
  Body,
  Digests,
  Part,
  PartWrites,
  PutOptions,
  StorageDriver,
  StorageLayer,
} from "../../core/ports/storage-driver.ts";
import { type BodyDigest, BodyDigests } from "./body-digests.ts";
import { forward, forwardParts } from "./forward.ts";
import { verifiedGet } from "./verified-get.ts";

const deleteMsMax = 30_000;

/**
 * The layer. A put answers with CRC-64/NVME, the sums of blocks and the digests that were asked for or
 * expected. A get with `expected` fails with `data_damaged` instead of ending whole with other bytes;
 * a range can only be verified where there are sums of blocks, and passes as it is where there are
 * none. It holds back at most one chunk.
 */
export const checksum = (): StorageLayer => (inner) =>
  forward(inner, {
    put: (key, body, options) => put(inner, key, body, options),
    get: (key, options) => verifiedGet(inner, key, options),
    parts: (parts) => checkedParts(parts),
  });

async function put(
  inner: StorageDriver,
  key: string,
  body: Body,
  options: PutOptions,
): Promise<BlobHead> {
  const { digests: expected = {}, digestsWanted = [], ...rest } = options;
  const names = digestNames.filter((name) => expected[name] !== undefined);
  const { length } = options;
  const set = new BodyDigests(
    [...names, ...digestsWanted, ...(inner.capabilities.etagIsMd5 ? ["md5" as const] : [])],
    length,
  );
  let result: BodyDigest | undefined;
  const passing = digested(body, set, {
    length,
    expected,
    done: (finished) => {
      result = finished;
    },
  });
  const verified = withoutOthers(expected, inner.capabilities.verifies);
  const given = { ...rest, ...(verified && { digests: verified }) };
  // The body may never have been pulled, and then did not stop it.
  const head = await inner.put(key, passing, given).finally(() => set.stop());
  if (result === undefined) {
    throw new OperationalError("internal", "the storage did not read the body to its end");
  }
  const { digests, blocks } = result;
  const different = differenceOf(inner, head, { length: set.length, digests });
  if (different !== undefined) {
    // The caller may have gone; the wrong bytes go all the same.
    const signal = AbortSignal.timeout(deleteMsMax);
    const cause = await inner.delete(key, { signal }).catch((error: unknown) => error);
    const message = `the storage reports another ${different}`;
    throw new OperationalError("checksum_mismatch", message, { cause });
  }
  return { ...head, digests: { ...head.digests, ...digests }, blocks };
}

interface DigestedOptions {
  readonly length: number | undefined;
  readonly expected: Digests;
  readonly done: (result: BodyDigest) => void;
}

/** The body as it is; at its end it throws instead of ending if the bytes were not the right ones. */
async function* digested(
  body: Body,
  set: BodyDigests,
  { length, expected, done }: DigestedOptions,
): AsyncGenerator<Uint8Array> {
  for await (const chunk of body) {
    const held = set.update(chunk);
    if (held !== undefined) await held;
    if (length !== undefined && set.length > length) throw wrongLength("more", length);
    yield chunk;
  }
  if (length !== undefined && set.length < length) throw wrongLength("fewer", length);
  const result = await set.finish();
  const different = firstDifference(expected, result.digests);
  if (different !== undefined) {
    throw new OperationalError("checksum_mismatch", `the ${different} of the body differs`, {
      context: { digest: different },
    });
  }
  done(result);
}

/** What the storage says of the blob, against what passed. */
function differenceOf(
  inner: StorageDriver,
  head: BlobHead,
  passed: { readonly length: number; readonly digests: Digests },
): string | undefined {
  if (head.length !== passed.length) return "length";
  const different = firstDifference(head.digests, passed.digests);
  if (different !== undefined) return different;
  const { md5 } = passed.digests;
  const etagTold = inner.capabilities.etagIsMd5 && /^[0-9a-f]{32}$/i.test(head.etag);
  if (!etagTold || md5 === undefined) return undefined;
  return Buffer.from(md5).toString("hex") === head.etag.toLowerCase() ? undefined : "etag";
}

function withoutOthers(expected: Digests, names: readonly string[]): Digests | undefined {
  const kept = Object.entries(expected).filter(([name]) => names.includes(name));
  return kept.length === 0 ? undefined : Object.fromEntries(kept);
}

function checkedParts(inner: PartWrites): PartWrites {
  return forwardParts(inner, {
    create: (key, { digests: _expected, digestsWanted: _wanted, ...options }) =>
      inner.create(key, options),
    writePart: async (upload, partNumber, bytes, options) => {
      const set = new DigestSet(digestNames.filter((name) => options.digests[name] !== undefined));
      set.update(bytes);
      const { digests } = set.finish();
      const different = firstDifference(options.digests, digests);
      if (different !== undefined) {
        throw new OperationalError("checksum_mismatch", `the part's ${different} differs`);
      }
      const part = await inner.writePart(upload, partNumber, bytes, { ...options, digests });
      const reported = firstDifference(part.digests, digests);
      if (part.length !== bytes.length || reported !== undefined) {
        const what = reported ?? "length";
        throw new OperationalError("checksum_mismatch", `the storage reports another ${what}`);
      }
      return { ...part, digests: { ...part.digests, ...digests } };
    },
    complete: (upload, parts, options) => completeChecked(inner, upload, parts, options),
  });
}

/**
 * Of parts with CRC-64/NVME the whole's is known before the storage publishes anything; other digests
 * of a whole cannot be computed from parts, and are `unsupported`.
 */
async function completeChecked(
  inner: PartWrites,
  upload: Parameters<PartWrites["complete"]>[0],
  parts: readonly Part[],
  { digests: expected = {}, digestsWanted = [], ...options }: PutOptions,
): Promise<BlobHead> {
  const whole = wholeOf(parts);
  const asked = [...digestsWanted, ...digestNames.filter((name) => expected[name] !== undefined)];
  const known = whole === undefined ? [] : ["crc64nvme"];
  const unknown = asked.find((name) => !known.includes(name));
  if (unknown !== undefined) {
    throw new OperationalError("unsupported", `${unknown} of a body that came in parts`);
  }
  if (whole !== undefined && firstDifference(expected, whole.digests) !== undefined) {
    throw new OperationalError("checksum_mismatch", "the CRC-64/NVME of the parts differs");
  }
  const head = await inner.complete(upload, parts, options);
  if (whole === undefined) return head;
  const different =
    head.length === whole.length ? firstDifference(head.digests, whole.digests) : "length";
  if (different !== undefined) {
    throw new OperationalError("checksum_mismatch", `the storage reports another ${different}`);
  }
  return { ...head, digests: { ...head.digests, ...whole.digests } };
}

function wholeOf(parts: readonly Part[]) {
  if (parts.length === 0) return undefined;
  let crc = crc64Nvme(new Uint8Array());
  let length = 0;
  for (const part of parts.toSorted((a, b) => a.partNumber - b.partNumber)) {
    const { crc64nvme } = part.digests;
    if (crc64nvme === undefined) return undefined;
    crc = combineCrc64Nvme(crc, crc64NvmeFromBytes(crc64nvme), part.length);
    length += part.length;
  }
  return { length, digests: { crc64nvme: crc64NvmeToBytes(crc) } };
}

function wrongLength(which: "more" | "fewer", length: number): OperationalError {
  return new OperationalError("incomplete_body", `the body has ${which} bytes than ${length}`, {
    context: { length },
  });
}
