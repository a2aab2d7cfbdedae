/** Finding what an attempt has stored whose answer was lost. */
import { bucketObjectsPath, query } from "../address.ts";
import { parseObjectList } from "../parse.ts";
import type { Job, Stored } from "./job.ts";

/** The object that the attempt whose answer was lost has made, if it is the one that is there. */
export async function findOwn(
  job: Job,
  crc64nvme: string,
  signal: AbortSignal,
): Promise<Stored | undefined> {
  const { bucket, key } = job.options;
  const { value: list } = await job.caller.json({
    method: "GET",
    path: bucketObjectsPath(bucket) + query({ prefix: key, limit: 1 }),
    parse: parseObjectList,
    signal,
  });
  const object = list.objects.find(
    (one) => one.key === key && one.checksums.crc64nvme === crc64nvme,
  );
  return object === undefined ? undefined : { object, created: true };
}
