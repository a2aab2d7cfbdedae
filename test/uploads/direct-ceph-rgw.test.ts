// Direct uploads straight to Ceph's RADOS gateway.

import { describeWhere } from "../prerequisites.ts";
import { useService } from "../storages/service.ts";
import { describeDirect } from "./direct-cases.ts";
import { atService } from "./direct-drivers.ts";
import { describeForms } from "./form-cases.ts";

describeWhere(["ceph"], "direct uploads, Ceph RGW", () => {
  const service = useService("ceph", { CEPH_PARTS: "rgw" });
  const open = atService({ vendor: "ceph-rgw", service, prefix: "CEPH_S3" });
  describeDirect("on Ceph RGW", open, { via: "storage" });
  describeForms("on Ceph RGW", open);
});
