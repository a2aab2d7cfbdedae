// Uppy's Dashboard against uploads on a local folder: every uploader.

import { describeWhere } from "../prerequisites.ts";
import { openPosixBacking } from "../uploads/backing.ts";
import { testDashboard } from "./dashboard.ts";

describeWhere(["chromium"], "Uppy on a local folder", () => {
  testDashboard("on a local folder", openPosixBacking, [
    ...(["companionEndpoint", "signRequest", "getCredentials"] as const),
    ...(["version 5", "xhr", "tus"] as const),
  ]);
});
