/** Plain PUTs and forms are uploads too, as long as their request runs. */
import { isOperationalError } from "../../core/errors.ts";
import type { RunningUpload } from "../../core/uploads.ts";
import type { Exchange, RestServices } from "./services.ts";

/** `undefined` if there is none that the caller may see. */
export async function runningUpload(
  { uploads }: RestServices,
  { caller }: Exchange,
  id: string,
): Promise<RunningUpload | undefined> {
  try {
    return await uploads.get(caller.actor, id);
  } catch (error) {
    if (isOperationalError(error, "upload_not_found")) return undefined;
    throw error;
  }
}
