// The posix driver on an ext4 file system of its own, and on one that is too small.

import { describeWhere } from "../prerequisites.ts";
import { describePosixStorage } from "./posix.ts";
import { useService } from "./service.ts";

describeWhere(["loop"], "posix on ext4", () => {
  const disk = useService("loop", { LOOP_BYTES: "4G" });
  const small = useService("loop", { LOOP_BYTES: "24M" });
  describePosixStorage("ext4", {
    path: () => disk.value("LOOP_MOUNT"),
    print: (path) => `dd if=${disk.value("LOOP_MOUNT")}/${path} iflag=direct bs=1M status=none`,
    fullPath: () => small.value("LOOP_MOUNT"),
  });
});
