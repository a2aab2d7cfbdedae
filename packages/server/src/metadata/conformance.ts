/**
 * What every metadata store promises, as tests. A store passes all of it or is not one.
 *
 *     describeMetadataStore("sqlite", (t) => openSqliteStore({ path: databaseOf(t), log }));
 */
import { describe } from "node:test";
import { accessKeyTests } from "./conformance/access-keys.ts";
import { auditTests } from "./conformance/audit.ts";
import { blobTests } from "./conformance/blobs.ts";
import { bucketTests } from "./conformance/buckets.ts";
import { conditionTests } from "./conformance/conditions.ts";
import { deleteCapTests } from "./conformance/delete-cap.ts";
import { grantUseTests } from "./conformance/grant-uses.ts";
import { listingTests } from "./conformance/listing.ts";
import { multipartTests } from "./conformance/multipart.ts";
import { objectTests } from "./conformance/objects.ts";
import { retentionTests } from "./conformance/retention.ts";
import { storageTests } from "./conformance/storages.ts";
import { trashTests } from "./conformance/trash.ts";
import { uploadEndingTests } from "./conformance/upload-endings.ts";
import { uploadTests } from "./conformance/uploads.ts";
import { uploadsDueTests } from "./conformance/uploads-due.ts";
import { usageTests } from "./conformance/usage.ts";
import type { OpenStore } from "./conformance-samples.ts";

export type { OpenStore } from "./conformance-samples.ts";

/**
 * Adds the suite to the running test file. `open` answers a store on the database that belongs to
 * the test: empty at the test's first call, and the same database at its next. The suite disposes
 * what it opens; `open` removes the database after the test.
 */
export function describeMetadataStore(name: string, open: OpenStore): void {
  describe(`metadata store ${name}`, () => {
    bucketTests(open);
    objectTests(open);
    conditionTests(open);
    listingTests(open);
    blobTests(open);
    accessKeyTests(open);
    storageTests(open);
    grantUseTests(open);
    usageTests(open);
    trashTests(open);
    deleteCapTests(open);
    retentionTests(open);
    uploadTests(open);
    uploadEndingTests(open);
    uploadsDueTests(open);
    multipartTests(open);
    auditTests(open);
  });
}
