// The settings of a posix storage.

import { z } from "zod";

export const posixConfig = z.strictObject({
  root: z.string().min(1).describe("folder that holds the blobs, on any mounted file system"),
  syncAfterRename: z
    .union([z.literal("auto"), z.boolean()])
    .default("auto")
    .describe(
      "sync a file again after its rename; auto: on network file systems, where it matters",
    ),
});
export type PosixConfig = z.infer<typeof posixConfig>;
