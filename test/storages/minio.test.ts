// The s3 driver on MinIO.

import { describeWhere } from "../prerequisites.ts";
import { describeS3Storage } from "./s3.ts";
import { useService } from "./service.ts";

describeWhere(["minio", "curl"], "s3 on MinIO", () => {
  const service = useService("minio");
  describeS3Storage("MinIO", { vendor: "minio", service, prefix: "MINIO_S3" });
});
