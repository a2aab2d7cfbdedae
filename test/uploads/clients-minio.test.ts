// Other people's tus clients against uploads on MinIO.

import { describeWhere } from "../prerequisites.ts";
import { useService } from "../storages/service.ts";
import { openS3Backing } from "./backing.ts";
import { describeBrowserClients } from "./browser-clients.ts";
import { describeNodeClient } from "./clients.ts";

describeWhere(["minio"], "tus clients, on MinIO", () => {
  const service = useService("minio");
  const open = openS3Backing({ vendor: "minio", service, prefix: "MINIO_S3" });
  describeNodeClient("on MinIO", open);
  describeBrowserClients("on MinIO", open);
});
