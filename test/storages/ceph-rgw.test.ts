// The s3 driver on Ceph's RADOS gateway.

import { describeWhere } from "../prerequisites.ts";
import { describeS3Storage } from "./s3.ts";
import { useService } from "./service.ts";

describeWhere(["ceph", "curl"], "s3 on Ceph RGW", () => {
  const service = useService("ceph", { CEPH_PARTS: "rgw" });
  describeS3Storage("Ceph RGW", { vendor: "ceph-rgw", service, prefix: "CEPH_S3" });
});
