#!/usr/bin/env bash
# ceph.sh - one real Ceph cluster on loopback: mon, mgr and osd, and by CEPH_PARTS
#   rgw  radosgw (S3): CEPH_S3_ENDPOINT, _ACCESS_KEY, _SECRET_KEY, _REGION
#   fs   CephFS, mounted with ceph-fuse on CEPHFS_MOUNT (needs root)
# Usage: ceph.sh up|down|env|wipe
#   (Debian packages: ceph-mon ceph-mgr ceph-osd ceph-mds radosgw ceph-fuse)
# Settings (env): CEPH_PARTS="rgw fs"  CEPH_MOUNTS=1 (2: CEPHFS_MOUNT2 is a client
#   of its own, as on a second host)  CEPH_OSD_BYTES=10737418240 (a sparse file)
# CEPH_CONF from `env` lets the `ceph` command reach the cluster.
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
svc_init ceph
CEPH_PARTS=${CEPH_PARTS:-rgw fs}
CEPH_MOUNTS=${CEPH_MOUNTS:-1}
MON_PORT=$(port 20000) RGW_PORT=$(port 20001) MSG_PORT=$(port 20010)
ACCESS=TESTACCESSKEY SECRET=testsecretkeytestsecretkey
export CEPH_CONF=$D/ceph.conf
has() { [[ " $CEPH_PARTS " == *" $1 "* ]]; }
mnt() { echo "$D/mnt$1"; }

write_conf() {
  [ -e "$D/fsid" ] || cat /proc/sys/kernel/random/uuid >"$D/fsid"
  cat >"$CEPH_CONF" <<CONF
[global]
fsid = $(cat "$D/fsid")
mon_host = [v2:$HOST:$MON_PORT/0]
mon_initial_members = a
public_addr = $HOST
cluster_addr = $HOST
ms_bind_ipv6 = false
ms_bind_msgr1 = false
ms_bind_port_min = $MSG_PORT
ms_bind_port_max = $((MSG_PORT + 80))
auth_cluster_required = cephx
auth_service_required = cephx
auth_client_required = cephx
run_dir = $RUN
admin_socket = $RUN/\$name.asok
crash_dir = $D/crash
log_file = $LOG/\$name.log
log_to_stderr = false
keyring = $D/keyring
osd_pool_default_size = 1
osd_pool_default_min_size = 1
osd_pool_default_pg_num = 4
osd_pool_default_pgp_num = 4
osd_pool_default_pg_autoscale_mode = off
osd_crush_chooseleaf_type = 0
[mon]
mon_data = $D/mon
mon_allow_pool_size_one = true
mon_warn_on_pool_no_redundancy = false
mon_max_pg_per_osd = 1000
mon_data_avail_warn = 1
mon_data_avail_crit = 0
mon_cluster_log_file = $LOG/cluster.log
auth_allow_insecure_global_id_reclaim = false
paxos_propose_interval = 0.05
paxos_min_wait = 0.01
[mgr]
mgr_data = $D/mgr
[osd]
osd_data = $D/osd
osd_objectstore = bluestore
osd_memory_target = 939524096
bluestore_block_size = ${CEPH_OSD_BYTES:-10737418240}
osd_class_load_list = *
osd_class_default_list = *
[mds]
mds_data = $D/mds
mds_beacon_interval = 1
[client.rgw.a]
rgw_data = $D/rgw
# Without tcp_nodelay each GET takes 40 ms, by Nagle's rule and the delayed ACK.
rgw_frontends = beast endpoint=$HOST:$RGW_PORT tcp_nodelay=1
rgw_run_sync_thread = false
rgw_dns_name = localhost
CONF
}

make_keyring() { # every entity has its key from the start, so none is asked for
  local k=$D/keyring all='allow *' i
  add() { ceph-authtool "$k" --gen-key -n "$@" >/dev/null; }
  [ ! -e "$k" ] || return 0
  ceph-authtool -C "$k" >/dev/null
  chmod 600 "$k"
  add mon. --cap mon "$all"
  add client.admin --cap mon "$all" --cap osd "$all" --cap mds "$all" --cap mgr "$all"
  add mgr.a --cap mon 'allow profile mgr' --cap osd "$all" --cap mds "$all"
  add osd.0 --cap mon 'allow profile osd' --cap mgr 'allow profile osd' --cap osd "$all"
  add mds.a --cap mon 'allow profile mds' --cap osd 'allow rwx' --cap mds allow --cap mgr 'allow profile mds'
  add client.rgw.a --cap mon 'allow rw' --cap osd 'allow rwx' --cap mgr 'allow rw'
  for ((i = 1; i <= 9; i++)); do
    add "client.fuse$i" --cap mon 'allow r' --cap osd 'allow rw' --cap mds 'allow rwp'
  done
}
mon_up() { ceph --connect-timeout 2 quorum_status; }
osd_up() { ceph --connect-timeout 5 osd stat -f json | grep -q '"num_up_osds":1'; }
fs_up() { ceph --connect-timeout 5 mds stat | grep -q up:active; }

svc_up() {
  need ceph-mon ceph-mon ceph-mgr ceph-mgr ceph-osd ceph-osd
  ! has rgw || need radosgw radosgw
  ! has fs || need ceph-mds ceph-mds ceph-fuse ceph-fuse
  if ! alive mon; then
    tcp_free "$MON_PORT" "$RGW_PORT"
    mkdir -p "$D"/{mon,mgr,osd,mds,rgw,crash}
    write_conf
    make_keyring
    if [ ! -e "$D/mon/store.db" ]; then
      rm -f "$D/monmap"
      monmaptool --create --fsid "$(cat "$D/fsid")" --addv a "[v2:$HOST:$MON_PORT/0]" "$D/monmap" >/dev/null
      ceph-mon --mkfs -i a --monmap "$D/monmap" --keyring "$D/keyring"
    fi
    start mon ceph-mon -f -i a
  fi
  start mgr ceph-mgr -f -i a
  wait_for 120 "monitor quorum" mon_up
  if [ ! -e "$D/osd/ready" ]; then
    cat /proc/sys/kernel/random/uuid >"$D/osd.uuid"
    ceph osd new "$(cat "$D/osd.uuid")" >/dev/null
    ceph-osd -i 0 --mkfs --osd-uuid "$(cat "$D/osd.uuid")" 2>>"$LOG/osd.mkfs"
    touch "$D/osd/ready"
  fi
  start osd ceph-osd -f -i 0
  wait_for 120 "osd" osd_up
  ! has fs || fs_begin
  ! has rgw || rgw_begin
  ! has fs || fs_mount
  ! has rgw || wait_for 120 "radosgw" tcp_open "$HOST" "$RGW_PORT"
}
fs_begin() {
  start mds ceph-mds -f -i a
  [ ! -e "$D/fs.ready" ] || return 0
  ceph osd pool create cephfs_meta 4 >/dev/null 2>&1
  ceph osd pool create cephfs_data 8 >/dev/null 2>&1
  ceph fs new cephfs cephfs_meta cephfs_data >/dev/null 2>&1
  touch "$D/fs.ready"
}
fs_mount() {
  local i
  wait_for 120 "active mds" fs_up
  for ((i = 1; i <= CEPH_MOUNTS; i++)); do
    alive "fuse$i" || unmount "$(mnt "$i")" # left by a killed client
    mkdir -p "$(mnt "$i")"
    start "fuse$i" ceph-fuse -f -n "client.fuse$i" "$(mnt "$i")"
    wait_for 120 "CephFS mount" mounted "$(mnt "$i")"
  done
}
rgw_begin() {
  if [ ! -e "$D/rgw.ready" ]; then
    radosgw-admin -n client.rgw.a user create --uid=test --display-name=test \
      --access-key="$ACCESS" --secret-key="$SECRET" >/dev/null 2>>"$LOG/radosgw-admin"
    touch "$D/rgw.ready"
  fi
  start rgw radosgw -f -n client.rgw.a
}

svc_down() {
  local i
  for ((i = 9; i > 0; i--)); do
    unmount "$(mnt "$i")"
    stop "fuse$i" 5
  done
  for i in rgw mds osd mgr mon; do stop "$i"; done
}

svc_env() {
  local i
  if has rgw; then
    echo "CEPH_S3_ENDPOINT=http://$HOST:$RGW_PORT"
    echo "CEPH_S3_ACCESS_KEY=$ACCESS"
    echo "CEPH_S3_SECRET_KEY=$SECRET"
    echo "CEPH_S3_REGION=us-east-1"
    echo "CEPH_RGW_PIDFILE=$RUN/rgw.pid"
  fi
  if has fs; then
    echo "CEPHFS_MOUNT=$(mnt 1)"
    for ((i = 2; i <= CEPH_MOUNTS; i++)); do echo "CEPHFS_MOUNT$i=$(mnt "$i")"; done
  fi
  echo "CEPH_OSD_PIDFILE=$RUN/osd.pid"
  echo "CEPH_CONF=$CEPH_CONF"
}
main "$@"
