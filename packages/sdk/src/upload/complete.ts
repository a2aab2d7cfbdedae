/** The end of an upload by signed requests: the server makes the object of what has arrived. */
import type { CompleteDirectUploadJson } from "@roma/contract";
import { namedPath } from "../address.ts";
import { isRomaError, type RomaError } from "../errors.ts";
import { parseObject } from "../parse.ts";
import { type Job, type Stored, uploadPolicy } from "./job.ts";

// Between two looks at a completion that takes its time.
const busyMs = 1000;

/** Asks until the server has made the object; a storage may take long to put its parts together. */
export async function completeUpload(
  job: Job,
  id: string,
  value: CompleteDirectUploadJson,
): Promise<Stored> {
  const { caller, control } = job;
  const path = `${namedPath("/v1/uploads", id)}/complete`;
  const request = { method: "POST", path, value, parse: parseObject };
  const isBusy = (error: unknown) => isRomaError(error, "locked");
  const mayRepeat = (error: RomaError) => !isBusy(error);
  const options = { policy: uploadPolicy(job), mayRepeat, steady: true };
  for (;;) {
    try {
      const { status, value: object } = await control.attempt(options, (signal) =>
        caller.json({ ...request, signal }),
      );
      return { object, created: status === 201 };
    } catch (error) {
      if (!isRomaError(error) || !isBusy(error)) throw error;
      await control.rest(Math.max(error.retryAfterMs ?? 0, busyMs));
    }
  }
}
