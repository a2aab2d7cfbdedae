/** Bodies of requests about the trash. */
import { z } from "zod";
import { instant } from "./schemas.ts";

const idsMax = 1000;
const id = z.string().regex(/^[1-9]\d{0,14}$/, "is not the id of an entry");

const selection = {
  ids: z.array(id).min(1).max(idsMax).optional(),
  prefix: z.string().optional(),
  deletedAfter: instant.optional(),
  deletedBefore: instant.optional(),
  cursor: z.string().max(8192).optional(),
};

/** `POST /v1/trash/{bucket}/restore`. */
export const restoreTrash = z.strictObject({
  ...selection,
  ifExists: z.enum(["skip", "replace"]).optional(),
});

/** `POST /v1/trash/{bucket}/purge`. */
export const purgeTrash = z.strictObject({ ...selection, all: z.boolean().optional() });

/** A moment in a query; `undefined` if it is none. */
export function parseInstant(text: string): Date | undefined {
  const { success, data } = instant.safeParse(text);
  return success ? data : undefined;
}
