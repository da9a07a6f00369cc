package node

import (
	"path"
	"strings"
)

// A diskMount is a line of mountinfo.
type diskMount struct {
	device  string // "8:1"; the major number of a file system without block device is 0
	root    string // path within the file system
	point   string
	options []string
	fsType  string
	source  string
	super   []string // options of the file system, whatever the mount's are
}

// parseDiskMount parses a line of /proc/PID/mountinfo.
// https://man7.org/linux/man-pages/man5/proc_pid_mountinfo.5.html
func parseDiskMount(line []byte) (diskMount, bool) {
	mount, system, ok := strings.Cut(string(line), " - ")
	left, right := strings.Fields(mount), strings.Fields(system)
	if !ok || len(left) < 6 || len(right) < 2 || !strings.HasPrefix(left[4], "/") {
		return diskMount{}, false
	}
	m := diskMount{
		device: left[2], root: diskUnescape(left[3]), point: diskUnescape(left[4]), options: strings.Split(left[5], ","),
		fsType: right[0], source: diskUnescape(right[1]),
	}
	if len(right) > 2 {
		m.super = strings.Split(right[2], ",")
	}
	return m, true
}

// diskUnescape undoes the octal escapes (\040 for a space) of mountinfo and fstab.
func diskUnescape(s string) string {
	if !strings.Contains(s, `\`) {
		return s
	}
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		if s[i] == '\\' && i+3 < len(s) && diskOctal(s[i+1:i+4]) {
			b.WriteByte((s[i+1]-'0')<<6 | (s[i+2]-'0')<<3 | (s[i+3] - '0'))
			i += 3
			continue
		}
		b.WriteByte(s[i])
	}
	return b.String()
}

func diskOctal(s string) bool {
	return s[0] >= '0' && s[0] <= '3' && s[1] >= '0' && s[1] <= '7' && s[2] >= '0' && s[2] <= '7'
}

// A diskFstab is an entry of fstab.
type diskFstab struct {
	Source     string `json:"source"`
	MountPoint string `json:"mountPoint"`
	FSType     string `json:"fsType"`
	Options    string `json:"options,omitempty"`
}

const maxDiskFstab = 1000

// parseDiskFstab parses /etc/fstab; of more than 1,000 entries it returns the first.
// https://man7.org/linux/man-pages/man5/fstab.5.html
func parseDiskFstab(data []byte) (entries []diskFstab, malformed int) {
	for line := range strings.Lines(string(data)) {
		fields := strings.Fields(line)
		if len(fields) == 0 || strings.HasPrefix(fields[0], "#") {
			continue
		}
		if len(fields) < 3 {
			malformed++
			continue
		}
		if len(entries) == maxDiskFstab {
			break
		}
		e := diskFstab{Source: diskUnescape(fields[0]), MountPoint: diskUnescape(fields[1]), FSType: fields[2]}
		if len(fields) > 3 {
			e.Options = fields[3]
		}
		entries = append(entries, e)
	}
	return entries, malformed
}

// A diskFilesystem is a mounted file system, however often it is mounted.
type diskFilesystem struct {
	Device       string     `json:"device"`
	Source       string     `json:"source"`
	FSType       string     `json:"fsType"`
	MountPoint   string     `json:"mountPoint"` // the one that says most of several
	MountCount   int        `json:"mountCount"`
	Options      string     `json:"options"`
	SuperOptions string     `json:"superOptions,omitempty"`
	Disks        []string   `json:"disks,omitempty"`    // that it is on
	Network      bool       `json:"network,omitempty"`  // served by a network or a user process: access may hang
	ReadOnly     bool       `json:"readOnly,omitempty"` // the file system, not only a mount of it
	Suspect      string     `json:"suspect,omitempty"`  // why it looks as if the kernel had made it read-only
	Bytes        *diskUsage `json:"bytes,omitempty"`
	Inodes       *diskUsage `json:"inodes,omitempty"` // nil where they are not counted
	Error        string     `json:"error,omitempty"`  // why usage is unknown

	rank int
}

// Where the sizes of file systems say nothing: without storage of their own, or full by
// nature because they are images.
const (
	diskPseudoTypes = " autofs binfmt_misc bpf cgroup cgroup2 configfs debugfs devpts efivarfs fuse.gvfsd-fuse fuse.lxcfs fusectl hugetlbfs mqueue" +
		" nfsd nsfs overlay proc pstore ramfs resctrl rpc_pipefs securityfs selinuxfs sysfs tracefs "
	diskImageTypes   = " cramfs erofs iso9660 squashfs udf "
	diskNetworkTypes = " 9p afs ceph cifs gfs2 glusterfs lustre ncpfs nfs nfs4 smb3 smbfs virtiofs "
)

func diskTypeIn(fsType, list string) bool { return strings.Contains(list, " "+fsType+" ") }

func diskIsNetwork(fsType string) bool {
	return diskTypeIn(fsType, diskNetworkTypes) || strings.HasPrefix(fsType, "fuse")
}

// diskCounts reports whether a mount's size says something about the node. Containers and
// pods have a tmpfs for each volume and sandbox: their memory is counted elsewhere.
func diskCounts(m diskMount) bool {
	if m.fsType == "tmpfs" {
		return !diskBelow(m.point, "/var/lib/kubelet", "/run/containerd", "/run/user", "/run/docker", "/var/lib/docker")
	}
	if m.fsType == "overlay" {
		return m.point == "/"
	}
	return !diskTypeIn(m.fsType, diskPseudoTypes) && !diskTypeIn(m.fsType, diskImageTypes)
}

// diskBelow reports whether name is one of dirs or below it.
func diskBelow(name string, dirs ...string) bool {
	for _, dir := range dirs {
		if name == dir || strings.HasPrefix(name, strings.TrimSuffix(dir, "/")+"/") {
			return true
		}
	}
	return false
}

// diskMountRank orders the mounts of one file system: the whole of it before a part, the
// host's own before those in the kubelet's folders, the short before the long. Lower is better.
func diskMountRank(m diskMount) int {
	rank := len(m.point)
	if m.root != "/" {
		rank += 1 << 20
	}
	if diskBelow(m.point, "/var/lib/kubelet/pods", "/var/lib/docker", "/run/containerd", "/var/lib/containerd/io.containerd.grpc.v1.cri") {
		rank += 1 << 21
	}
	return rank
}

// maxDiskFilesystems is how many file systems are described.
const maxDiskFilesystems = 1000

// A diskMounts takes mounts one by one and keeps what matters of them.
type diskMounts struct {
	Source        string            `json:"source"` // file of procfs
	Total         int               `json:"total"`
	ByType        map[string]int    `json:"byType"`
	Malformed     int               `json:"malformed,omitempty"`
	NotListed     int               `json:"notListed,omitempty"` // mounts of file systems over the limit of 1,000
	Filesystems   []*diskFilesystem `json:"filesystems"`         // without pseudo file systems and images
	below         string            // host root as the mount points show it
	fstab         map[string]diskFstab
	byDevice      map[string]*diskFilesystem
	paths         []*diskPath
	distinctTypes int
}

func newDiskMounts(fstab []diskFstab, paths []*diskPath) *diskMounts {
	m := &diskMounts{
		ByType: map[string]int{}, Filesystems: []*diskFilesystem{},
		fstab: map[string]diskFstab{}, byDevice: map[string]*diskFilesystem{}, paths: paths,
	}
	for _, e := range fstab {
		m.fstab[path.Clean(e.MountPoint)] = e
	}
	return m
}

// add takes a line of mountinfo.
func (ms *diskMounts) add(line []byte) {
	m, ok := parseDiskMount(line)
	if !ok {
		ms.Malformed++
		return
	}
	if ms.below != "" {
		point, inside := strings.CutPrefix(m.point, ms.below)
		if !inside || (point != "" && point[0] != '/') {
			return
		}
		m.point = path.Clean("/" + point)
	}
	ms.Total++
	ms.countType(m.fsType)
	for _, p := range ms.paths {
		p.mounted(m)
	}
	if diskCounts(m) {
		ms.filesystem(m)
	}
}

// countType counts a type of file system; there are few, but their names are not ours.
func (ms *diskMounts) countType(fsType string) {
	if _, known := ms.ByType[fsType]; !known {
		if ms.distinctTypes == 100 {
			fsType = "other"
		}
		ms.distinctTypes++
	}
	ms.ByType[fsType]++
}

func (ms *diskMounts) filesystem(m diskMount) {
	f := ms.byDevice[m.device]
	if f == nil {
		if len(ms.Filesystems) == maxDiskFilesystems {
			ms.NotListed++
			return
		}
		f = &diskFilesystem{rank: 1 << 30}
		ms.byDevice[m.device] = f
		ms.Filesystems = append(ms.Filesystems, f)
	}
	f.MountCount++
	if f.Suspect == "" {
		f.Suspect = diskSuspect(m, ms.fstab)
	}
	if rank := diskMountRank(m); rank < f.rank {
		f.rank = rank
		f.Device, f.Source, f.FSType, f.MountPoint = m.device, m.source, m.fsType, m.point
		f.Options, f.SuperOptions = strings.Join(m.options, ","), strings.Join(m.super, ",")
		f.Network, f.ReadOnly = diskIsNetwork(m.fsType), diskHas(m.super, "ro")
	}
}

func diskHas(options []string, names ...string) bool {
	for _, o := range options {
		for _, name := range names {
			if o == name {
				return true
			}
		}
	}
	return false
}

// diskSuspect says why a file system looks as if the kernel had made it read-only after an
// error, or "". A mount that is read-only while its file system is not was made so on purpose.
// https://man7.org/linux/man-pages/man5/ext4.5.html (errors=)
func diskSuspect(m diskMount, fstab map[string]diskFstab) string {
	if !strings.HasPrefix(m.source, "/dev/") {
		return ""
	}
	if diskHas(m.super, "emergency_ro", "shutdown") {
		return "the file system stopped itself after an error"
	}
	if !diskHas(m.super, "ro") {
		return ""
	}
	entry, known := fstab[m.point]
	switch {
	case known && diskHas(strings.Split(entry.Options, ","), "ro"):
		return ""
	case known:
		return "read-only, but not so in fstab"
	case diskHas(m.super, "errors=remount-ro"):
		return "read-only, with errors=remount-ro and not in fstab"
	}
	return ""
}

// A diskPath is a folder of the node and the disk that holds it.
type diskPath struct {
	Name       string   `json:"name"`
	Path       string   `json:"path"`
	Resolved   string   `json:"resolved,omitempty"` // where its symlinks lead, when elsewhere
	MountPoint string   `json:"mountPoint,omitempty"`
	Source     string   `json:"source,omitempty"`
	FSType     string   `json:"fsType,omitempty"`
	Device     string   `json:"device,omitempty"`
	Disks      []string `json:"disks,omitempty"`
	On         string   `json:"on,omitempty"` // "os", "temporary" or "data" disk; empty when unknown
}

// mounted takes the next mount: the longest mount point above the path holds it, and of
// equal ones the last.
func (p *diskPath) mounted(m diskMount) {
	at := p.Path
	if p.Resolved != "" {
		at = p.Resolved
	}
	if diskBelow(at, m.point) && len(m.point) >= len(p.MountPoint) {
		p.MountPoint, p.Source, p.FSType, p.Device = m.point, m.source, m.fsType, m.device
	}
}
