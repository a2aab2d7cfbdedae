/** Small sources: one request with all bytes. */
import { bucketObjectsPath, objectPath, query } from "../address.ts";
import { readJson } from "../caller.ts";
import { formatReprDigest } from "../digest-fields.ts";
import { isRomaError } from "../errors.ts";
import { parseObject, parseObjectList } from "../parse.ts";
import { type Job, objectFields, type Stored, uploadPolicy, verifyStored } from "./job.ts";
import type { RangedSource } from "./source.ts";

/** Up to here one request is simpler than an upload of its own, and repeating it costs little. */
export const wholeBytesMax = 8 * 1024 * 1024;

export async function uploadWhole(job: Job, key: string, source: RangedSource): Promise<Stored> {
  const { caller, control, meter, options } = job;
  const path = objectPath(options.bucket, key);
  const piece = source.piece(0, source.length);
  const headers = {
    ...objectFields(job),
    ...formatReprDigest(options.checksums ?? {}),
  };
  const lane = meter.lane();
  let answerLost = false;
  control.enter("uploading");
  const send = async (signal: AbortSignal): Promise<Stored> => {
    const response = await caller.call({
      method: "PUT",
      path,
      headers,
      body: piece.body,
      signal,
      once: true,
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
        const own = await findOwn(job, await piece.crc64nvme(), signal).catch(() => undefined);
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

/** The object that the attempt whose answer was lost has made, if it is the one that is there. */
async function findOwn(
  job: Job,
  crc64nvme: string,
  signal: AbortSignal,
): Promise<Stored | undefined> {
  const { bucket, key } = job.options;
  const { objects } = await job.caller.json({
    method: "GET",
    path: bucketObjectsPath(bucket) + query({ prefix: key, limit: 1 }),
    parse: parseObjectList,
    signal,
    once: true,
  });
  const object = objects.find((one) => one.key === key && one.checksums.crc64nvme === crc64nvme);
  return object === undefined ? undefined : { object, created: true };
}
