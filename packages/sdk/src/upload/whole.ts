/** Small sources: one request with all bytes. */
import { objectPath } from "../address.ts";
import { readJson } from "../caller.ts";
import { isRomaError } from "../errors.ts";
import { lazily } from "../lazily.ts";
import { parseObject } from "../parse.ts";
import { type Job, objectFields, type Stored, uploadPolicy, verifyStored } from "./job.ts";
import type { RangedSource } from "./source.ts";

/** Up to here one request is simpler than an upload of its own, and repeating it costs little. */
export const wholeBytesMax = 8 * 1024 * 1024;

// Few uploads declare what their bytes are, or lose the answer to a condition.
const loadDigestFields = lazily(() => import("../digest-fields.ts"));
const loadOwn = lazily(() => import("./own-object.ts"));

export async function uploadWhole(job: Job, key: string, source: RangedSource): Promise<Stored> {
  const { caller, control, meter, options } = job;
  const path = objectPath(options.bucket, key);
  const piece = source.piece(0, source.length);
  const { checksums } = options;
  const digests = checksums && (await loadDigestFields()).formatReprDigest(checksums);
  const headers = { ...objectFields(job), ...digests };
  const lane = meter.lane();
  let answerLost = false;
  control.enter("uploading");
  const send = async (signal: AbortSignal): Promise<Stored> => {
    const response = await caller.once({
      method: "PUT",
      path,
      headers,
      body: piece.body,
      signal,
      onSent: lane.update,
    });
    const object = await readJson(response, parseObject);
    return { object, created: response.status === 201 };
  };
  const stored = await control.attempt({ policy: uploadPolicy(job) }, async (signal) => {
    try {
      return await send(signal);
    } catch (error) {
      lane.update(0);
      if (answerLost && isRomaError(error, "precondition_failed")) {
        // Who may not list is told of the condition that did not hold.
        const own = await (await loadOwn())
          .findOwn(job, await piece.crc64nvme(), signal)
          .catch(() => undefined);
        if (own !== undefined) return own;
      }
      answerLost ||= isRomaError(error) && error.mayHaveHappened;
      throw error;
    }
  });
  lane.keep(source.length);
  verifyStored(stored, source.length, await piece.crc64nvme());
  return stored;
}
