// The SDK for Node, straight to MinIO.
import { describeWhere } from "../prerequisites.ts";
import { useService } from "../storages/service.ts";
import { openS3Backing } from "../uploads/backing.ts";
import { describeNodeSdk } from "./node-cases.ts";

describeWhere(["minio"], "MinIO", () => {
  const service = useService("minio");
  const open = openS3Backing({ vendor: "minio", service, prefix: "MINIO_S3" });
  describeNodeSdk("MinIO", open, { direct: true });
});
