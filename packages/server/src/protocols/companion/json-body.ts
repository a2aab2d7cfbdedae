/** Small JSON bodies. Members that nobody knows are passed over: versions of Uppy differ in them. */
import type { z } from "zod";
import { OperationalError } from "../../core/errors.ts";
import { receiveBytes } from "../../http/index.ts";
import type { Exchange } from "./services.ts";

/** 10,000 parts with their tags. */
const bytesMax = 2 * 1024 * 1024;

/** `invalid_request` names the field, `too_large` the limit. */
export async function receiveJson<T extends z.ZodType>(
  { request, reply }: Exchange,
  schema: T,
): Promise<z.output<T>> {
  const bytesMaxName = "the limit of a JSON body";
  const bytes = await receiveBytes(request, reply, { bytesMax, bytesMaxName });
  const result = schema.safeParse(parsed(bytes));
  if (result.success) return result.data;
  const field = (result.error.issues[0]?.path ?? []).join(".").slice(0, 200);
  const subject = field === "" ? "the body" : `field ${JSON.stringify(field)}`;
  throw new OperationalError("invalid_request", `${subject} is not as it must be`, {
    context: field === "" ? {} : { field },
  });
}

function parsed(bytes: Uint8Array): unknown {
  try {
    return JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(bytes));
  } catch {
    throw new OperationalError("invalid_request", "the body is not JSON in UTF-8");
  }
}
