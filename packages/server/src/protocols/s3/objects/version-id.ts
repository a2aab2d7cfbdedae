/** `versionId`: an object has one version, which S3 calls `null` where none are kept. */
import { refusal } from "../errors.ts";

/** `NoSuchVersion` for any but `null`. */
export function assertNullVersion(versionId: string | undefined): void {
  if (versionId === undefined || versionId === "null") return;
  throw refusal("NoSuchVersion", "The specified version does not exist.", {
    fields: { VersionId: versionId },
  });
}
