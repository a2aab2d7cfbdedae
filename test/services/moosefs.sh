#!/usr/bin/env bash
# moosefs.sh - real MooseFS: master, one chunkserver, and the file system mounted
# through FUSE (mfsmount) on MFS_MOUNT. Needs root.
# Usage: moosefs.sh up|down|env|wipe
#   (Debian packages: moosefs-master moosefs-chunkserver moosefs-client iproute2)
# Settings (env): MFS_MOUNTS=1 (2: MFS_MOUNT2 is a client of its own, as on a second
#   host)  MFS_BYTES=1G (the chunkserver on an ext4 image of this size, to be filled)
#   MFS_MOUNT_OPTS=... (such as mfsioretries=3,mfserroronnospace)
# A chunkserver refuses a master in 127.0.0.0/8, so the daemons live in a network
# namespace of their own, on an address that is reserved for tests: nothing of
# theirs listens on this host. `nsenter --net=$MFS_NETNS` runs a command there.
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
svc_init moosefs
MFS_MOUNTS=${MFS_MOUNTS:-1}
IP=198.18.0.1
RESERVED=256 # MiB of the disk that chunks leave free
[ -z "${MFS_BYTES:-}" ] || RESERVED=16
ML_PORT=$(port 20000) CS_PORT=$(port 20001) CL_PORT=$(port 20002) DATA_PORT=$(port 20003)
mnt() { echo "$D/mnt$1"; }

write_conf() {
  local common="WORKING_USER = root
WORKING_GROUP = root
NICE_LEVEL = 0
DISABLE_OOM_KILLER = 0"
  mkdir -p "$D/master" "$D/chunkserver" "$D/chunks"
  echo '* / rw,alldirs,admin,maproot=0:0' >"$D/mfsexports.cfg"
  : >"$D/mfstopology.cfg"
  cat >"$D/mfsmaster.cfg" <<CONF
$common
DATA_PATH = $D/master
EXPORTS_FILENAME = $D/mfsexports.cfg
TOPOLOGY_FILENAME = $D/mfstopology.cfg
MATOML_LISTEN_HOST = $IP
MATOML_LISTEN_PORT = $ML_PORT
MATOCS_LISTEN_HOST = $IP
MATOCS_LISTEN_PORT = $CS_PORT
MATOCL_LISTEN_HOST = $IP
MATOCL_LISTEN_PORT = $CL_PORT
CONF
  cat >"$D/mfschunkserver.cfg" <<CONF
$common
DATA_PATH = $D/chunkserver
HDD_CONF_FILENAME = $D/mfshdd.cfg
BIND_HOST = $IP
MASTER_HOST = $IP
MASTER_PORT = $CS_PORT
MASTER_RECONNECTION_DELAY = 1
CSSERV_LISTEN_HOST = $IP
CSSERV_LISTEN_PORT = $DATA_PORT
WORKERS_MAX = 50
WORKERS_MAX_IDLE = 10
CONF
  echo "$D/chunks -${RESERVED}MiB" >"$D/mfshdd.cfg"
}
mount_chunks() { # mfshdd.cfg's own limit counts the whole disk's use, so an image
  [ -n "${MFS_BYTES:-}" ] && ! mounted "$D/chunks" || return 0
  if [ ! -e "$D/chunks.img" ]; then
    truncate -s "$MFS_BYTES" "$D/chunks.img"
    mkfs.ext4 -q -m 0 -O ^has_journal "$D/chunks.img"
  fi
  mount -o loop "$D/chunks.img" "$D/chunks"
}
ns() { echo "nsenter --net=/proc/$(pid_of netns)/ns/net"; }
own_ns() { [ "$(readlink "/proc/$(pid_of netns)/ns/net")" != "$(readlink /proc/self/ns/net)" ]; }
master_up() { $(ns) bash -c "exec 3<>/dev/tcp/$IP/$CL_PORT"; }
writable() { # the chunkserver has taken a byte; errors come at fsync and close
  local f
  f=$(mnt 1)/.ready.$$
  timeout 5 dd if=/dev/zero of="$f" bs=1 count=1 conv=fsync status=none && rm -f "$f"
}

svc_up() {
  local i ns=()
  need mfsmaster moosefs-master mfschunkserver moosefs-chunkserver mfsmount moosefs-client ip iproute2
  if ! alive netns; then
    svc_down
    start netns unshare --net sleep infinity
    wait_for 60 "network namespace" own_ns
    $(ns) ip link set lo up
    $(ns) ip addr replace "$IP/32" dev lo
  fi
  read -ra ns <<<"$(ns)"
  if ! alive master; then
    write_conf
    mount_chunks
    [ -e "$D/master/metadata.mfs" ] || [ -e "$D/master/metadata.mfs.back" ] || printf 'MFSM NEW' >"$D/master/metadata.mfs"
    start master "${ns[@]}" mfsmaster -f -a -c "$D/mfsmaster.cfg" start
  fi
  wait_for 60 "master" master_up
  start chunkserver "${ns[@]}" mfschunkserver -f -c "$D/mfschunkserver.cfg" start
  for ((i = 1; i <= MFS_MOUNTS; i++)); do
    alive "mount$i" || unmount "$(mnt "$i")" # left by a killed client
    mkdir -p "$(mnt "$i")"
    start "mount$i" "${ns[@]}" mfsmount "$(mnt "$i")" -f \
      -o "mfsmaster=$IP,mfsport=$CL_PORT,mfsnice=0,mfsallowoomkiller${MFS_MOUNT_OPTS:+,$MFS_MOUNT_OPTS}"
    wait_for 60 "MooseFS mount" mounted "$(mnt "$i")"
  done
  wait_for 120 "writable chunkserver" writable
}

svc_down() {
  local i
  for ((i = 9; i > 0; i--)); do
    unmount "$(mnt "$i")"
    stop "mount$i" 5
  done
  stop chunkserver
  unmount "$D/chunks"
  stop master
  stop netns 2
}

svc_env() {
  local i
  echo "MFS_MOUNT=$(mnt 1)"
  for ((i = 2; i <= MFS_MOUNTS; i++)); do echo "MFS_MOUNT$i=$(mnt "$i")"; done
  echo "MFS_MOUNT_PIDFILE=$RUN/mount1.pid"
  ! alive netns || echo "MFS_NETNS=/proc/$(pid_of netns)/ns/net"
  echo "MFS_CHUNKSERVER_PIDFILE=$RUN/chunkserver.pid"
}
main "$@"
