#!/bin/sh
# What becomes PID 1 of a machine for tests: make a root of its own, step into it, be systemd.
#
#     unshare --mount --uts --ipc --net --pid --cgroup --fork ... sh boot.sh ROOT
#
# Called by machine.py, in namespaces of its own. The new root is an overlay of ours with a tmpfs on top: programs and
# libraries are this machine's, and nothing that is written inside reaches it. systemd sees only the few units that it
# is given here (SYSTEMD_UNIT_PATH), so that nothing starts that this machine happens to have enabled.
set -eu
upper=$1 root=$1/root

mount -t tmpfs -o mode=0755 upper "$upper"
mkdir "$upper/changes" "$upper/work" "$root"
mount -t overlay -o "lowerdir=/,upperdir=$upper/changes,workdir=$upper/work" overlay "$root"
cd "$root"

mount -t proc -o nosuid,nodev,noexec proc proc
mount --bind proc/sys proc/sys
mount -o remount,bind,ro proc/sys # the kernel is shared with everybody else
mount -t sysfs -o ro,nosuid,nodev,noexec sysfs sys
mount -t cgroup2 -o nosuid,nodev,noexec cgroup2 sys/fs/cgroup
for folder in run tmp; do mount -t tmpfs -o mode=0755,nosuid,nodev "$folder" "$folder"; done
chmod 1777 tmp

mount -t tmpfs -o mode=0755,nosuid devices dev
mkdir dev/pts dev/shm
mount -t devpts -o newinstance,ptmxmode=0666,mode=0620 devpts dev/pts
mount -t tmpfs -o mode=1777,nosuid,nodev shm dev/shm
while read -r name major minor; do mknod -m 0666 "dev/$name" c "$major" "$minor"; done <<'DEVICES'
null 1 3
zero 1 5
full 1 7
random 1 8
urandom 1 9
tty 5 0
DEVICES
ln -s pts/ptmx dev/ptmx
ln -s /proc/self/fd dev/fd

# --- the units --------------------------------------------------------------------------------------------------------

units=$root/run/units
mkdir -p "$units" etc/systemd/system
given=/lib/systemd/system
[ -d $given ] || given=/usr/lib/systemd/system
for unit in systemd-journald.service systemd-journald.socket systemd-journald-dev-log.socket shutdown.target \
    umount.target final.target; do
    ln -s "$given/$unit" "$units/$unit"
done
for target in sysinit basic multi-user local-fs; do printf '[Unit]\nDescription=%s\n' $target >"$units/$target.target"; done
cat >"$units/test.target" <<'UNIT'
[Unit]
Description=A machine for tests
Requires=systemd-journald.service multi-user.target
After=systemd-journald.service
AllowIsolate=yes
UNIT
rm -rf etc/systemd/system/* var/log/journal usr/local/lib/systemd
mkdir -p run/systemd/journald.conf.d run/log/journal
chgrp systemd-journal run/log/journal && chmod 2755 run/log/journal # as systemd's own tmpfiles.d does at boot
printf '[Journal]\nStorage=volatile\nRateLimitIntervalSec=0\n' >run/systemd/journald.conf.d/test.conf

# --- and go -----------------------------------------------------------------------------------------------------------

ip link set lo up 2>/dev/null || true
hostname machine
mkdir run/before
pivot_root . run/before
umount -l /run/before
mount --make-rshared / # units get mount namespaces that follow this one
exec env -i container=test PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin LANG=C.UTF-8 \
    SYSTEMD_UNIT_PATH=/run/units:/etc/systemd/system:/run/systemd/system:/usr/local/lib/systemd/system \
    /lib/systemd/systemd --system --unit=test.target --show-status=no --log-target=journal
