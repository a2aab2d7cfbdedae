/** Instant uploads: the server has the bytes already, and is shown that this side has them too. */
import type { ChallengeJson, DirectChecksumsJson } from "@roma/contract";
import { namedPath } from "../address.ts";
import { isRomaError } from "../errors.ts";
import { bad, fieldsOf, list, string } from "../fields.ts";
import { parseObject } from "../parse.ts";
import type { Offer } from "./direct.ts";
import { type Job, type Stored, uploadPolicy } from "./job.ts";
import type { DirectUploadAnswer } from "./parse-direct.ts";
import type { RangedSource } from "./source.ts";

/** What to offer: the digest, for which the source is read whole, and the proof. */
export async function offer(
  job: Job,
  source: RangedSource,
  known: DirectChecksumsJson = {},
): Promise<Offer> {
  const { control, caller } = job;
  control.enter("hashing");
  const sha256 =
    known.sha256 ??
    (await control.attempt({ policy: caller.retry }, (signal) =>
      source.sha256({ first: 0, end: source.length, signal }),
    ));
  return { sha256, prove: (upload) => prove(job, source, upload, sha256) };
}

/** `undefined` when the server did not believe it: then the bytes have to be sent. */
async function prove(
  job: Job,
  source: RangedSource,
  upload: DirectUploadAnswer,
  sha256: string,
): Promise<Stored | undefined> {
  if (upload.transfer.kind !== "proof") return undefined;
  const { caller, control, notify, meter } = job;
  const challenge = parseChallenge(upload.transfer.challenge);
  const prefix = bytesOfHex(challenge.nonce);
  const path = `${namedPath("/v1/uploads", upload.id)}/proof`;
  try {
    const stored = await control.attempt({ policy: uploadPolicy(job) }, async (signal) => {
      const digests: string[] = [];
      for (const { firstByte: first, lastByte } of challenge.ranges) {
        digests.push(await source.sha256({ first, end: lastByte + 1, prefix, signal }));
      }
      const request = { method: "POST", path, value: { digests }, signal };
      const answer = await caller.json({ ...request, parse: parseObject });
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

function parseChallenge(value: unknown): ChallengeJson {
  const fields = fieldsOf(value, "challenge");
  return {
    nonce: string(fields, "nonce"),
    ranges: list(fields, "ranges", (range) => {
      const { firstByte, lastByte } = { ...fieldsOf(range, "range") };
      if (typeof firstByte !== "number" || typeof lastByte !== "number") throw bad("range");
      return { firstByte, lastByte };
    }),
  };
}
