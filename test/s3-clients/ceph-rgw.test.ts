// Other people's S3 clients on a server over Ceph's RADOS gateway.

import { strict as assert } from "node:assert";
import { send } from "../harness/http-client.ts";
import { describeWhere } from "../prerequisites.ts";
import { useService } from "../storages/service.ts";
import { openS3Backing } from "../uploads/backing.ts";
import { testS3Clients } from "./suite.ts";

describeWhere(["ceph"], "S3 clients, on Ceph RGW", () => {
  const service = useService("ceph", { CEPH_PARTS: "rgw" });
  const open = openS3Backing({ vendor: "ceph-rgw", service, prefix: "CEPH_S3" });
  testS3Clients("on Ceph RGW", async (t, options) => {
    const backing = await open(t, options);
    const body = JSON.stringify({ default: true });
    const answer = await send(backing.server, "PATCH", "/v1/storages/far", { body });
    assert.equal(answer.status, 200, `${answer.body}`);
    return backing;
  });
});
