// The contract of storage drivers as tests. Every driver, and every stack of layers over one, passes
// all of it; what a driver declares decides which answer is right: done, or `unsupported`.

import { describe } from "node:test";
import { bodyCases } from "./conformance/bodies.ts";
import { failureCases } from "./conformance/failures.ts";
import { keyCases } from "./conformance/keys.ts";
import { listCases } from "./conformance/lists.ts";
import { partCases } from "./conformance/parts.ts";
import type { OpenStorage, StorageUnderTest } from "./conformance/subject.ts";

export type { OpenedStorage, OpenStorage, StorageUnderTest } from "./conformance/subject.ts";

/** The whole test of a driver; `open` gives each test a storage of its own. */
export function describeStorageDriver(
  name: string,
  open: OpenStorage,
  options: Omit<StorageUnderTest, "open"> = {},
): void {
  const subject = { ...options, open };
  describe(`storage driver: ${name}`, () => {
    bodyCases(subject);
    keyCases(subject);
    listCases(subject);
    partCases(subject);
    failureCases(subject);
  });
}
