// Direct uploads straight to MinIO.

import { describeWhere } from "../prerequisites.ts";
import { useService } from "../storages/service.ts";
import { describeDirect } from "./direct-cases.ts";
import { atService } from "./direct-drivers.ts";
import { describeForms } from "./form-cases.ts";

describeWhere(["minio"], "direct uploads, MinIO", () => {
  const service = useService("minio");
  const open = atService({ vendor: "minio", service, prefix: "MINIO_S3" });
  describeDirect("on MinIO", open, { via: "storage" });
  describeForms("on MinIO", open);
});
