# Runs once at the boot of a node, in its namespaces: builds the node's root file system on DISK and makes it the root.
# Environment: DISK (folder), LOGDISK (ext4 image or empty), RELEASE (folder), HOSTNAME, BOOT_ID, CGROUPS (lines "NAME OPTIONS", none: v2).
set -euo pipefail
mount --make-rprivate /
mount --bind "$DISK" "$DISK"
cd "$DISK"

# What the node shares with the machine, read-only.
readonly_bind() {
	mkdir -p ".$2"
	mount --bind "$1" ".$2"
	mount -o remount,bind,ro ".$2"
}
readonly_bind /usr /usr
readonly_bind /etc/ssl /etc/ssl
readonly_bind /etc/alternatives /etc/alternatives
readonly_bind /var/lib/dpkg /var/lib/dpkg
readonly_bind "$RELEASE/bin" /opt/bin
readonly_bind "$RELEASE/images" /opt/testbed/images

if [ -n "$LOGDISK" ]; then mount -t ext4 -o loop "$LOGDISK" var/log; fi

mount -t proc proc proc
mount -t sysfs sysfs sys
mount --bind /dev dev
mount -t devpts -o newinstance,ptmxmode=0666,mode=620,gid=5 devpts dev/pts
mount -t tmpfs -o mode=1777 tmpfs dev/shm
mount -t tmpfs -o mode=755 tmpfs run
mkdir -p run/lock run/testbed/sysctl run/containerd run/netns

# The cgroup namespace begins at the node's own cgroup, so a fresh mount shows the node as the root.
if [ -n "$CGROUPS" ]; then
	mount -t tmpfs -o mode=755 tmpfs sys/fs/cgroup
	while read -r name options; do
		mkdir "sys/fs/cgroup/$name"
		mount -t cgroup -o "$options" cgroup "sys/fs/cgroup/$name"
	done <<<"$CGROUPS"
else
	mount -t cgroup2 cgroup2 sys/fs/cgroup
	# A v2 cgroup with controllers below it holds no process itself.
	mkdir -p sys/fs/cgroup/init.scope
	for pid in $(cat sys/fs/cgroup/cgroup.procs); do echo "$pid" >sys/fs/cgroup/init.scope/cgroup.procs; done
	echo '+cpuset +cpu +io +memory +pids' >sys/fs/cgroup/cgroup.subtree_control
fi

# kubelet sets these for the whole machine; the node gets files of its own in their place.
own() {
	local file=run/testbed/sysctl/${1//\//.}
	echo "$2" >"$file"
	mount --bind "$file" "proc/sys/$1"
}
own vm/overcommit_memory 1
own vm/panic_on_oom 0
own kernel/panic 10
own kernel/panic_on_oops 1
own kernel/keys/root_maxkeys 1000000
own kernel/keys/root_maxbytes 25000000
own kernel/random/boot_id "$BOOT_ID"
echo 1 >proc/sys/net/ipv4/ip_forward
if [ -e proc/sys/net/bridge/bridge-nf-call-iptables ]; then echo 1 >proc/sys/net/bridge/bridge-nf-call-iptables; fi
hostname "$HOSTNAME"

mkdir -p .machine
pivot_root . .machine
cd /
umount -l /.machine
rmdir /.machine
mount --make-rshared /
