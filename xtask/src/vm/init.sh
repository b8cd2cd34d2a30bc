#!/bin/busybox sh
# The first process of a kernel that is tried: mounts what tests need, does the jobs, powers off.
/bin/busybox --install -s /bin
export PATH=/bin HOME=/ TMPDIR=/tmp

# /tmp stays in the root, which is in memory anyhow: the tests' own files stand under the names that they have on the
# host, and a checkout may be in /tmp
chmod 1777 /tmp
mount -t proc proc /proc
mount -t sysfs sysfs /sys
mount -t devtmpfs devtmpfs /dev
mount -t securityfs securityfs /sys/kernel/security
# as distributions do it: v2 alone, v1 alone (each controller by itself, and systemd's own hierarchy without any), or both
cgroups=$(cat /vm/cgroups)
if [ "$cgroups" = v2 ]; then
    mount -t cgroup2 cgroup2 /sys/fs/cgroup
else
    mount -t tmpfs tmpfs /sys/fs/cgroup
    mkdir /sys/fs/cgroup/systemd
    mount -t cgroup -o none,name=systemd cgroup /sys/fs/cgroup/systemd
    for controller in cpu memory pids; do
        mkdir /sys/fs/cgroup/$controller
        mount -t cgroup -o $controller cgroup /sys/fs/cgroup/$controller || echo "@vm trouble no v1 hierarchy of $controller"
    done
    if [ "$cgroups" = hybrid ]; then
        mkdir /sys/fs/cgroup/unified
        mount -t cgroup2 cgroup2 /sys/fs/cgroup/unified
    fi
fi
mount -t debugfs debugfs /sys/kernel/debug
ip link set lo up
ulimit -n 65536
# a few thousand closed connections must not be the end of remembering them: data that comes late would meet no
# socket at all
echo 262144 >/proc/sys/net/ipv4/tcp_max_tw_buckets

for module in /vm/modules/*; do
    case $module in
    *.xz) xzcat "$module" >/tmp/module.ko ;;
    *) cat "$module" >/tmp/module.ko ;;
    esac
    insmod /tmp/module.ko || echo "@vm trouble module ${module##*/} was not loaded"
done
rm -f /tmp/module.ko

echo "@vm up $(uname -r) clock $(cat /sys/devices/system/clocksource/clocksource0/current_clocksource)"
. /vm/jobs
poweroff -f
