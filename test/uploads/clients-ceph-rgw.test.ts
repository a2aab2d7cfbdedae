// Other people's tus clients against uploads on Ceph's RADOS gateway.

import { describeWhere } from "../prerequisites.ts";
import { useService } from "../storages/service.ts";
import { openS3Backing } from "./backing.ts";
import { describeBrowserClients } from "./browser-clients.ts";
import { describeNodeClient } from "./clients.ts";

describeWhere(["ceph"], "tus clients, on Ceph RGW", () => {
  const service = useService("ceph", { CEPH_PARTS: "rgw" });
  const open = openS3Backing({ vendor: "ceph-rgw", service, prefix: "CEPH_S3" });
  describeNodeClient("on Ceph RGW", open);
  describeBrowserClients("on Ceph RGW", open);
});
