#!/usr/bin/env bash
# loop.sh - an ext4 file system of its own, in an image, mounted on LOOP_MOUNT: a
# local disk that can be filled and unmounted. Needs root and loop devices.
# Usage: loop.sh up|down|env|wipe      (Debian packages: e2fsprogs mount)
# Settings (env): LOOP_BYTES=1G (the image is sparse)
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
svc_init loop
svc_up() {
  need mkfs.ext4 e2fsprogs mount mount
  mkdir -p "$D/mnt"
  if [ ! -e "$D/image" ]; then
    truncate -s "${LOOP_BYTES:-1G}" "$D/image"
    mkfs.ext4 -q -m 0 "$D/image"
  fi
  mounted "$D/mnt" || mount -o loop "$D/image" "$D/mnt"
}
svc_down() { unmount "$D/mnt"; }
svc_env() { echo "LOOP_MOUNT=$D/mnt"; }
main "$@"
