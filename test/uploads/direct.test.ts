// Direct uploads by the server where storages cannot sign, and straight to emulated vendors.
import assert from "node:assert/strict";
import { test } from "node:test";
import { openPosixStorage } from "../../packages/server/src/storage/index.ts";
import { openMemoryStorage } from "../../packages/server/src/storage/memory/driver.ts";
import { temporaryFolder } from "../harness/temporary-folder.ts";
import { openDirect } from "./direct.ts";
import { code, describeDirect } from "./direct-cases.ts";
import { emulated } from "./direct-drivers.ts";

describeDirect(
  "on posix",
  async (t) => {
    const root = await temporaryFolder(t);
    return { driver: await openPosixStorage({ id: "store", root, createMarker: true }) };
  },
  { via: "server" },
);
describeDirect("in memory", async () => ({ driver: openMemoryStorage({ id: "store" }) }), {
  via: "server",
});
describeDirect("on AWS S3, emulated", emulated({ vendor: "aws-s3" }), { via: "storage" });

test("a vendor that signs no length gets the bytes by the server, and is refused for itself", async (t) => {
  const open = emulated({ vendor: "huawei-obs", signature: "native" });
  const core = await openDirect(t, open);
  assert.equal((await core.begin({ length: 3 })).via, "server");
  await assert.rejects(core.begin({ length: 3, via: "storage" }), code("unsupported"));
});
