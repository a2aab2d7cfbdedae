// What a bare driver refuses because only a layer can do it: nothing that was asked for is ignored.

import { OperationalError } from "../core/errors.ts";
import type { PutOptions } from "../core/ports/storage-driver.ts";

/** `unsupported` if the put asks for digests, which the checksum layer sees to. */
export function refuseDigests(options: PutOptions): void {
  const { digests = {}, digestsWanted = [] } = options;
  if (Object.keys(digests).length === 0 && digestsWanted.length === 0) return;
  throw new OperationalError("unsupported", "digests need the checksum layer");
}
