/** Instant uploads: the server has the bytes already, and is shown that this side has them too. */
import type { DirectUploadJson } from "@roma/contract";
import { namedPath } from "../address.ts";
import { isRomaError } from "../errors.ts";
import { parseObject } from "../parse.ts";
import { type Job, type Stored, uploadPolicy } from "./job.ts";
import type { RangedSource } from "./source.ts";

/** Reads the source whole. */
export function digestSource({ control, caller }: Job, source: RangedSource): Promise<string> {
  control.enter("hashing");
  return control.attempt({ policy: caller.retry }, (signal) =>
    source.sha256({ first: 0, end: source.length, signal }),
  );
}

/** `undefined` when the server did not believe it: then the bytes have to be sent. */
export async function prove(
  job: Job,
  source: RangedSource,
  upload: DirectUploadJson,
  sha256: string,
): Promise<Stored | undefined> {
  if (upload.transfer.kind !== "proof") return undefined;
  const { caller, control, notify, meter } = job;
  const { challenge } = upload.transfer;
  const prefix = bytesOfHex(challenge.nonce);
  const path = `${namedPath("/v1/uploads", upload.id)}/proof`;
  try {
    const stored = await control.attempt({ policy: uploadPolicy(job) }, async (signal) => {
      const digests: string[] = [];
      for (const { firstByte: first, lastByte } of challenge.ranges) {
        digests.push(await source.sha256({ first, end: lastByte + 1, prefix, signal }));
      }
      const request = { method: "POST", path, value: { digests }, signal, once: true };
      const answer = await caller.jsonAndStatus({ ...request, parse: parseObject });
      return { object: answer.value, created: answer.status === 201 };
    });
    // The proof is about ranges; the object says whether it is of these bytes.
    const { checksums, size } = stored.object;
    if (size !== source.length || (checksums.sha256 ?? sha256) !== sha256) return undefined;
    meter.add(source.length);
    notify({ code: "instant", message: "the server had the bytes already" });
    return stored;
  } catch (error) {
    if (isRomaError(error, "access_denied")) return undefined;
    throw error;
  }
}

function bytesOfHex(hex: string): Uint8Array {
  return Uint8Array.from(hex.match(/../g) ?? [], (pair) => Number.parseInt(pair, 16));
}
