// Direct uploads straight to MinIO.

import { strict as assert } from "node:assert";
import { randomBytes } from "node:crypto";
import { test } from "node:test";
import { describeWhere } from "../prerequisites.ts";
import { useService } from "../storages/service.ts";
import { openDirect, requestOf } from "./direct.ts";
import { describeDirect } from "./direct-cases.ts";
import { atService } from "./direct-drivers.ts";
import { describeForms } from "./form-cases.ts";

describeWhere(["minio"], "direct uploads, MinIO", () => {
  const service = useService("minio");
  const open = atService({ vendor: "minio", service, prefix: "MINIO_S3" });
  describeDirect("on MinIO", open, { via: "storage" });
  describeForms("on MinIO", open);

  test("clients are sent to the public endpoint, the server goes its own way", async (t) => {
    const settings = (endpoint: string) => ({
      publicEndpoint: endpoint.replace("127.0.0.1", "localhost"),
    });
    const core = await openDirect(
      t,
      atService({ vendor: "minio", service, prefix: "MINIO_S3", settings }),
    );
    const bytes = randomBytes(100_000);
    const upload = await core.begin({ length: bytes.length });
    const request = requestOf(upload, 1);
    assert(request.to === "storage");
    assert.equal(new URL(request.url).hostname, "localhost");
    assert.equal((await core.send(upload, 1, bytes)).status, 200);
    const elsewhere = (url: string) => url.replace("localhost", "127.0.0.1");
    assert.equal((await core.send(upload, 1, bytes, { url: elsewhere })).status, 403);
    await core.complete(upload.id);
    assert.deepEqual(await core.read("k"), bytes);
  });
});
