// Uppy's Dashboard against uploads on Ceph's RADOS gateway.

import { describeWhere } from "../prerequisites.ts";
import { useService } from "../storages/service.ts";
import { openS3Backing } from "../uploads/backing.ts";
import { testDashboard } from "./dashboard.ts";

describeWhere(["chromium", "ceph"], "Uppy on Ceph RGW", () => {
  const service = useService("ceph", { CEPH_PARTS: "rgw" });
  const open = openS3Backing({ vendor: "ceph-rgw", service, prefix: "CEPH_S3" });
  testDashboard("on Ceph RGW", open, ["companionEndpoint", "xhr"]);
});
