// The posix driver on MooseFS, through mfsmount; what it stored is read through a second client.

import { describeWhere } from "../prerequisites.ts";
import { describePosixStorage } from "./posix.ts";
import { useService } from "./service.ts";

describeWhere(["moosefs", "fuse", "namespaces"], "posix on MooseFS", () => {
  const moosefs = useService("moosefs", { MFS_MOUNTS: "2" });
  describePosixStorage("MooseFS", {
    path: () => moosefs.value("MFS_MOUNT"),
    print: (path) => `cat ${moosefs.value("MFS_MOUNT2")}/${path}`,
  });
});
