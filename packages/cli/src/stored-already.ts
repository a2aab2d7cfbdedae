/** Whether an object is a file already, byte for byte, so that `upload --resume` need not send it again. */
import { createReadStream } from "node:fs";
import { type Address, isRomaError, type Roma, startCrc64Nvme } from "@roma/sdk/node";

export interface WantedObject extends Address {
  readonly path: string;
  readonly size: number;
  /** Asked for; left out: any will do. */
  readonly contentType?: string | undefined;
  readonly metadata?: Readonly<Record<string, string>> | undefined;
}

/** Reads the file if the object has its size. False for who may not look. */
export async function isStoredAlready(
  client: Roma,
  wanted: WantedObject,
  signal: AbortSignal,
): Promise<boolean> {
  const { bucket, key, path, size, contentType, metadata = {} } = wanted;
  const object = await client.stat({ bucket, key }, { signal }).catch((error: unknown) => {
    if (isRomaError(error, "object_not_found") || isRomaError(error, "access_denied")) return;
    throw error;
  });
  if (object?.size !== size) return false;
  if (contentType !== undefined && object.contentType !== contentType) return false;
  const others = Object.entries(metadata).some(
    ([name, value]) => object.metadata[name.toLowerCase()] !== value,
  );
  return !others && object.crc64nvme === (await readCrc64Nvme(path, signal));
}

/** `undefined` for what cannot be read: the upload says why. */
async function readCrc64Nvme(path: string, signal: AbortSignal): Promise<string | undefined> {
  const crc = startCrc64Nvme();
  try {
    for await (const chunk of createReadStream(path, { signal })) crc.update(chunk);
  } catch (error) {
    if (signal.aborted) throw error;
    return undefined;
  }
  return crc.hex();
}
