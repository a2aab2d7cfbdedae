#!/usr/bin/env bash
# Boots a systemd of its own, process 1 of namespaces that end with this process, with deploy/systemd/roma.service
# as its only service and the checkout as the program `roma`. Of the machine's units none is read: they would
# clean folders that are not theirs.
#
#   systemd.sh FOLDER NAME    FOLDER: where roma.log comes to be; drop-in.conf there is the service's;
#                             NAME: of the control groups, which the caller removes
set -euo pipefail
checkout=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)

if [ "${3:-}" != inside ]; then
  if [ -e /sys/fs/cgroup/cgroup.controllers ]; then
    groups=(/sys/fs/cgroup)
  else
    groups=(/sys/fs/cgroup/systemd /sys/fs/cgroup/memory /sys/fs/cgroup/pids)
  fi
  for group in "${groups[@]}"; do
    mkdir "$group/$2"
    echo $$ >"$group/$2/cgroup.procs"
  done
  exec unshare --fork --pid --mount-proc --mount --uts --ipc --cgroup --kill-child \
    bash "${BASH_SOURCE[0]}" "$1" "$2" inside
fi

mount --make-rprivate /
if [ -e /sys/fs/cgroup/cgroup.controllers ]; then
  mount -t cgroup2 cgroup2 /sys/fs/cgroup
else
  mount -t tmpfs tmpfs /sys/fs/cgroup
  mkdir /sys/fs/cgroup/{systemd,memory,pids}
  mount -t cgroup -o none,name=systemd cgroup /sys/fs/cgroup/systemd
  for controller in memory pids; do
    mount -t cgroup -o "$controller" cgroup "/sys/fs/cgroup/$controller"
  done
fi

# Whatever systemd and the service write goes to the folder or to memory.
for folder in /run /opt /usr/local/bin; do mount -t tmpfs tmpfs "$folder"; done
mkdir -p /opt/roma /run/test /run/accounts /run/units/roma.service.d
mount --bind "$checkout" /opt/roma
mount --bind "$1" /run/test
for folder in /tmp /var/lib /var/log /var/tmp /root /home; do mount -t tmpfs tmpfs "$folder"; done
cp /etc/passwd /etc/group /run/accounts/
echo 'roma:x:64990:64990::/var/lib/roma:/usr/sbin/nologin' >>/run/accounts/passwd
echo 'roma:x:64990:' >>/run/accounts/group
for file in passwd group; do mount --bind "/run/accounts/$file" "/etc/$file"; done

cat >/usr/local/bin/roma <<'END'
#!/bin/sh
exec /opt/roma/node_modules/.bin/node /opt/roma/packages/cli/src/main.ts "$@"
END
chmod 755 /usr/local/bin/roma
cp /opt/roma/deploy/systemd/roma.service /run/units/
cp /run/test/drop-in.conf /run/units/roma.service.d/
for target in sysinit basic local-fs network-online multi-user shutdown umount; do
  printf '[Unit]\nDescription=%s\n' "$target" >"/run/units/$target.target"
done
printf '[Unit]\nDescription=default\nWants=roma.service\n' >/run/units/default.target

exec env -i container=test PATH=/usr/sbin:/usr/bin:/sbin:/bin \
  SYSTEMD_UNIT_PATH=/run/units SYSTEMD_GENERATOR_PATH=/run/none \
  /lib/systemd/systemd --system --log-target=console --show-status=false
