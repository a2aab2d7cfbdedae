/**
 * `POST /files/{name}`. With an application in its headers the body is the file, whether it is sent in the old
 * way or as a stream; else it is JSON with the file first and the credentials last.
 */
import { uploadName } from "./address.ts";
import { admit } from "./admit.ts";
import { credentialsOfHeaders } from "./credentials.ts";
import { checkFileName } from "./file-name.ts";
import type { Handler, ParseServices } from "./services.ts";
import { uploadBytes } from "./upload-bytes.ts";
import { uploadJson } from "./upload-json.ts";

export const uploadFile =
  (services: ParseServices): Handler =>
  async (exchange) => {
    const { request } = exchange;
    const name = uploadName(request);
    checkFileName(name);
    const credentials = credentialsOfHeaders(request);
    if (credentials.applicationId === undefined && !credentials.isOwn) {
      return await uploadJson(services, exchange, name);
    }
    const caller = await admit(services, request, credentials);
    return await uploadBytes(services, exchange, { name, caller });
  };
