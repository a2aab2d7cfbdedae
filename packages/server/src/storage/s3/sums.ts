// What bytes are known by on their way to a storage, and what it reports of them.

import { createHash } from "node:crypto";
import { OperationalError } from "../../core/errors.ts";
import { Crc64Ecma } from "./crc64-ecma.ts";
import type { Dialect } from "./providers.ts";

type Headers = Readonly<Record<string, string>>;

/** What bytes are known by. */
export interface Sums {
  readonly md5: Buffer;
  /** Only where the vendor reports one. */
  readonly crc64Ecma: bigint | undefined;
}

export function sumsOf({ dialect }: { readonly dialect: Dialect }, bytes: Uint8Array): Sums {
  const crc = dialect.crc64EcmaHeader === undefined ? undefined : new Crc64Ecma().update(bytes);
  return { md5: createHash("md5").update(bytes).digest(), crc64Ecma: crc?.value };
}

/** `checksum_mismatch` where the vendor reports a CRC and it is another. */
export function checkCrc(
  { dialect }: { readonly dialect: Dialect },
  headers: Headers,
  sums: Pick<Sums, "crc64Ecma">,
): void {
  const told = headers[dialect.crc64EcmaHeader ?? ""];
  if (told === undefined || sums.crc64Ecma === undefined) return;
  if (told !== sums.crc64Ecma.toString()) throw mismatch("CRC-64");
}

export function mismatch(what: string): OperationalError {
  return new OperationalError("checksum_mismatch", `the storage reports another ${what}`);
}
