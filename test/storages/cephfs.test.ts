// The posix driver on CephFS, through ceph-fuse; what it stored is read through a second client.

import { describeWhere } from "../prerequisites.ts";
import { describePosixStorage } from "./posix.ts";
import { useService } from "./service.ts";

describeWhere(["ceph", "fuse"], "posix on CephFS", () => {
  const ceph = useService("ceph", { CEPH_PARTS: "fs", CEPH_MOUNTS: "2" });
  describePosixStorage("CephFS", {
    path: () => ceph.value("CEPHFS_MOUNT"),
    print: (path) => `cat ${ceph.value("CEPHFS_MOUNT2")}/${path}`,
  });
});
