// One blob of several, made within the storage: an upload whose parts are copies of the blobs, one each. No
// byte passes here. The blobs are known by their MD5, which is compared with that of each copied part
// where the vendor tells it; the length of the whole is compared in any case.

import { OperationalError } from "../../core/errors.ts";
import type { BlobHead, ConcatSource, PutOptions } from "../../core/ports/storage-driver.ts";
import { type S3Context, storedKey } from "./context.ts";
import { copyPieces } from "./copy.ts";
import { deleteObject } from "./objects.ts";
import { mismatch } from "./sums.ts";

/** `unsupported` where the vendor copies no parts, or the blobs cannot be parts as they are. */
export async function concatObjects(
  context: S3Context,
  { from, to }: { readonly from: readonly ConcatSource[]; readonly to: string },
  options: PutOptions,
): Promise<BlobHead> {
  const { dialect } = context;
  storedKey(context, to);
  if (!dialect.partCopy) throw unsupported(`${dialect.title} copies no parts`);
  if (options.createOnly === true && !dialect.conditionalComplete) {
    throw unsupported(`createOnly of parts on ${dialect.title}`);
  }
  assertParts(context, from);
  const length = from.reduce((sum, source) => sum + source.length, 0);
  if (options.length !== undefined && options.length !== length) {
    const message = `the blobs have ${length} bytes, not ${options.length}`;
    throw new OperationalError("incomplete_body", message);
  }
  const pieces = from.map((source, index) => {
    const { md5 } = source.digests;
    return {
      source: { key: source.key },
      range: { partNumber: index + 1, first: 0, last: source.length - 1 },
      isWhole: true,
      ...(md5 === undefined ? {} : { md5: Buffer.from(md5).toString("hex") }),
    };
  });
  const head = await copyPieces(context, pieces, { ...options, to });
  if (head.length === length) return head;
  await context.cleanups.run((signal) => deleteObject(context, to, { signal }));
  throw mismatch("length");
}

/** What the vendor takes as parts of one upload. */
function assertParts({ dialect, copyBytesMax }: S3Context, from: readonly ConcatSource[]): void {
  const { partsMax, partBytesMin, equalParts } = dialect;
  const partBytesMax = Math.min(dialect.partBytesMax, copyBytesMax);
  if (from.length > partsMax) throw unsupported(`more than ${partsMax} blobs`);
  const [first] = from;
  if (first === undefined) throw unsupported("no blobs");
  for (const [index, { length }] of from.entries()) {
    const isLast = index === from.length - 1;
    const isEqual = isLast ? length <= first.length : length === first.length;
    if (equalParts && !isEqual) throw unsupported("blobs of different sizes");
    if (length === 0 || length > partBytesMax) throw unsupported(`a part of ${length} bytes`);
    if (!isLast && length < partBytesMin) throw unsupported(`a part of ${length} bytes`);
  }
}

function unsupported(message: string): OperationalError {
  return new OperationalError("unsupported", message);
}
