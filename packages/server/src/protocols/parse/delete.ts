/** `DELETE /files/{name…}`: with the master key alone. */
import { OperationalError } from "../../core/errors.ts";
import { deletedKey } from "./address.ts";
import { admit, isPrivileged } from "./admit.ts";
import { credentialsOfHeaders } from "./credentials.ts";
import { parseCodes, refusal } from "./errors.ts";
import type { Handler, ParseServices } from "./services.ts";

export const deleteFile =
  (services: ParseServices): Handler =>
  async ({ request, reply }) => {
    const key = deletedKey(request);
    const caller = await admit(services, request, credentialsOfHeaders(request));
    if (!isPrivileged(caller)) throw permissionDenied();
    const { bucket } = caller.application.config;
    const deleted = await services.objects.delete(caller.actor, { bucket, key });
    if (deleted === undefined) {
      throw refusal(
        "object_not_found",
        parseCodes.fileDeleteError,
        "Could not delete file: there is none.",
        {
          status: 400,
        },
      );
    }
    return reply.code(200).send();
  };

function permissionDenied(): OperationalError {
  return new OperationalError("unauthenticated", "the master key is needed", {
    context: { said: "Permission denied" },
  });
}
