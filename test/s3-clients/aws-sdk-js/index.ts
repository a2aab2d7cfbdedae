/** The AWS SDK for JavaScript, version 3. */
import type { S3ClientTests } from "../client.ts";
import { checksumCases } from "./checksums.ts";
import { multipartCases } from "./multipart.ts";
import { objectCases } from "./objects.ts";
import { presignedCases } from "./presigned.ts";
import { openAwsSdk } from "./sdk.ts";

export const awsSdkJs: S3ClientTests = {
  name: "aws-sdk-js",
  run: async (t, open) => {
    const target = await open();
    const all = { ...objectCases, ...checksumCases, ...multipartCases, ...presignedCases };
    for (const [name, act] of Object.entries(all)) {
      await t.test(name, (t) => act(t, { client: openAwsSdk(t, target), target }));
    }
  },
};
