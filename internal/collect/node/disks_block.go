package node

import (
	"path"
	"slices"
	"strconv"
	"strings"

	"github.com/periscope-k8s/periscope/internal/host"
)

// Kinds of block devices. Only a disk is hardware, or what the hypervisor shows as such.
const (
	diskKindDisk      = "disk"
	diskKindPartition = "partition"
)

// diskKindOf tells the kind of a whole block device by the name that its driver gives it.
func diskKindOf(name string) string {
	for _, k := range []struct{ prefix, kind string }{
		{"loop", "loop"}, {"ram", "ram"}, {"zram", "zram"}, {"sr", "optical"}, {"fd", "floppy"},
		{"nbd", "network"}, {"rbd", "network"}, {"drbd", "network"}, {"dm-", "mapper"}, {"md", "raid"}, {"bcache", "cache"},
	} {
		rest, ok := strings.CutPrefix(name, k.prefix)
		if ok && strings.Trim(rest, "0123456789_dp") == "" {
			return k.kind
		}
	}
	return diskKindDisk
}

// A diskBlock is a folder of /sys/block.
type diskBlock struct {
	Name         string          `json:"name"`
	Device       string          `json:"device"`
	Kind         string          `json:"kind"` // disk, mapper, raid, loop, ram, zram, optical, ...
	SizeBytes    uint64          `json:"sizeBytes"`
	ReadOnly     bool            `json:"readOnly,omitempty"`
	Removable    bool            `json:"removable,omitempty"`
	Rotational   bool            `json:"rotational"`
	Vendor       string          `json:"vendor,omitempty"`
	Model        string          `json:"model,omitempty"`
	State        string          `json:"state,omitempty"`
	Scheduler    string          `json:"scheduler,omitempty"`
	Requests     int64           `json:"queueRequests,omitempty"`    // nr_requests of the scheduler
	QueueDepth   int64           `json:"deviceQueueDepth,omitempty"` // of the device
	ReadAheadKiB int64           `json:"readAheadKiB,omitempty"`
	WriteCache   string          `json:"writeCache,omitempty"`
	Label        string          `json:"mapperName,omitempty"`
	RAIDLevel    string          `json:"raidLevel,omitempty"`
	RAIDState    string          `json:"raidState,omitempty"`
	BackingFile  string          `json:"backingFile,omitempty"`
	Slaves       []string        `json:"slaves,omitempty"`  // what it is made of
	Holders      []string        `json:"holders,omitempty"` // what is made of it
	Partitions   []diskPartition `json:"partitions,omitempty"`
	OS           bool            `json:"os,omitempty"`        // holds the root file system
	Temporary    string          `json:"temporary,omitempty"` // why its content is lost when the VM moves
}

// A diskPartition is a partition of a diskBlock.
type diskPartition struct {
	Name      string   `json:"name"`
	Device    string   `json:"device"`
	SizeBytes uint64   `json:"sizeBytes"`
	Holders   []string `json:"holders,omitempty"`
}

// Limits of what is described of /sys/block.
const (
	maxDiskBlocks     = 1000
	maxDiskPartitions = 64 // of one device, and of holders and slaves
)

// A diskSysfs reads attributes of block devices. Any may be missing: drivers differ.
type diskSysfs struct{ fs host.FS }

func (s diskSysfs) text(name string) string {
	data, _ := s.fs.ReadFile(name, 4<<10)
	return strings.ToValidUTF8(strings.TrimSpace(string(data)), "\uFFFD")
}

func (s diskSysfs) number(name string) int64 {
	n, _ := strconv.ParseInt(s.text(name), 10, 64)
	return n
}

func (s diskSysfs) size(name string) uint64 {
	n, err := strconv.ParseUint(s.text(name), 10, 54)
	if err != nil {
		return 0
	}
	return n * diskSector
}

func (s diskSysfs) names(dir string) []string {
	entries, _ := s.fs.ReadDir(dir, maxDiskPartitions)
	var names []string
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return names
}

// blocks describes all block devices; unused loop and RAM devices are left out.
func (s diskSysfs) blocks() ([]*diskBlock, error) {
	entries, err := s.fs.ReadDir("/sys/block", maxDiskBlocks)
	blocks := []*diskBlock{}
	for _, e := range entries {
		if b := s.block(e.Name()); b.SizeBytes > 0 || b.Kind == diskKindDisk {
			blocks = append(blocks, b)
		}
	}
	return blocks, err
}

func (s diskSysfs) block(name string) *diskBlock {
	dir := path.Join("/sys/block", name)
	at := func(file string) string { return path.Join(dir, file) }
	return &diskBlock{
		Name: name, Device: s.text(at("dev")), Kind: diskKindOf(name), SizeBytes: s.size(at("size")),
		ReadOnly: s.number(at("ro")) == 1, Removable: s.number(at("removable")) == 1, Rotational: s.number(at("queue/rotational")) == 1,
		Vendor: s.text(at("device/vendor")), Model: s.text(at("device/model")), State: s.text(at("device/state")),
		Scheduler: diskScheduler(s.text(at("queue/scheduler"))), Requests: s.number(at("queue/nr_requests")),
		QueueDepth: s.number(at("device/queue_depth")), ReadAheadKiB: s.number(at("queue/read_ahead_kb")), WriteCache: s.text(at("queue/write_cache")),
		Label: s.text(at("dm/name")), RAIDLevel: s.text(at("md/level")), RAIDState: s.text(at("md/array_state")),
		BackingFile: s.text(at("loop/backing_file")), Slaves: s.names(at("slaves")), Holders: s.names(at("holders")),
		Partitions: s.partitions(name),
	}
}

func (s diskSysfs) partitions(disk string) []diskPartition {
	entries, _ := s.fs.ReadDir(path.Join("/sys/block", disk), 0)
	var parts []diskPartition
	for _, e := range entries {
		if !strings.HasPrefix(e.Name(), disk) || len(parts) == maxDiskPartitions {
			continue
		}
		dir := path.Join("/sys/block", disk, e.Name())
		if s.number(path.Join(dir, "partition")) > 0 {
			parts = append(parts, diskPartition{e.Name(), s.text(path.Join(dir, "dev")), s.size(path.Join(dir, "size")), s.names(path.Join(dir, "holders"))})
		}
	}
	return parts
}

// diskScheduler returns the chosen one of "none [mq-deadline] kyber".
func diskScheduler(list string) string {
	if _, rest, ok := strings.Cut(list, "["); ok {
		name, _, _ := strings.Cut(rest, "]")
		return name
	}
	return list
}

// A diskIndex finds block devices by name, device number and links below /dev.
type diskIndex struct {
	blocks   []*diskBlock
	owner    map[string]*diskBlock // by name and by device number, of partitions too
	isPart   map[string]bool       // by name
	readLink func(name string) (string, error)
}

func newDiskIndex(blocks []*diskBlock, fs host.FS) *diskIndex {
	x := &diskIndex{blocks: blocks, owner: map[string]*diskBlock{}, isPart: map[string]bool{}, readLink: fs.ReadLink}
	for _, b := range blocks {
		x.owner[b.Name], x.owner[b.Device] = b, b
		for _, p := range b.Partitions {
			x.owner[p.Name], x.owner[p.Device], x.isPart[p.Name] = b, b, true
		}
	}
	delete(x.owner, "")
	return x
}

// kind tells what the block device or partition name is. Without sysfs a partition looks
// like a disk, so that nothing is told.
func (x *diskIndex) kind(name string) string {
	if len(x.blocks) == 0 {
		return "unknown"
	}
	if x.isPart[name] {
		return diskKindPartition
	}
	if b := x.owner[name]; b != nil {
		return b.Kind
	}
	return diskKindOf(name)
}

// disks returns the names of the disks below a file system: by the device number, else
// (btrfs, for one, has no block device's) by the source.
func (x *diskIndex) disks(device, source string) []string {
	b := x.owner[device]
	if b == nil {
		b = x.named(source)
	}
	if b == nil {
		return nil
	}
	found := map[string]bool{}
	x.under(b, found, 8)
	var names []string
	for name := range found {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

// under collects the whole disks that b is made of.
func (x *diskIndex) under(b *diskBlock, found map[string]bool, depth int) {
	if len(b.Slaves) == 0 || depth == 0 {
		found[b.Name] = true
		return
	}
	for _, name := range b.Slaves {
		if slave := x.owner[name]; slave != nil {
			x.under(slave, found, depth-1)
		}
	}
}

// named finds the block device of a name below /dev, which may be a link such as
// /dev/mapper/x -> ../dm-0.
func (x *diskIndex) named(name string) *diskBlock {
	if !strings.HasPrefix(name, "/dev/") {
		return nil
	}
	if target, err := x.readLink(name); err == nil {
		name = target
	}
	return x.owner[path.Base(name)]
}

// diskLocalModels are models of disks inside the host of a virtual machine.
// https://learn.microsoft.com/azure/virtual-machines/enable-nvme-temp-faqs
// https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/nvme-ebs-volumes.html
const diskLocalModels = "Microsoft NVMe Direct Disk;Amazon EC2 NVMe Instance Storage"

// mark tells which disks hold the root file system and which are temporary, by the links
// that Azure's udev rules make, the label that Azure gives, the model, or, for a disk of
// Hyper-V, the mount point.
func (x *diskIndex) mark(ms *diskMounts) {
	for _, f := range ms.Filesystems {
		for _, b := range x.of(f.Disks) {
			b.OS = b.OS || f.MountPoint == "/"
		}
	}
	for _, link := range []string{"/dev/disk/azure/resource", "/dev/disk/cloud/azure_resource"} {
		x.temporary(x.named(link), "link "+link)
	}
	x.temporary(x.named(`/dev/disk/by-label/Temporary\x20Storage`), "label Temporary Storage")
	for _, b := range x.blocks {
		for model := range strings.SplitSeq(diskLocalModels, ";") {
			if strings.HasPrefix(b.Model, model) {
				x.temporary(b, "model "+b.Model)
			}
		}
	}
	for _, f := range ms.Filesystems {
		for _, b := range x.of(f.Disks) {
			if b.Vendor == "Msft" && !b.OS && (f.MountPoint == "/mnt" || f.MountPoint == "/mnt/resource") {
				x.temporary(b, "mounted on "+f.MountPoint)
			}
		}
	}
}

func (x *diskIndex) temporary(b *diskBlock, why string) {
	if b != nil && b.Temporary == "" {
		b.Temporary = why
	}
}

func (x *diskIndex) of(names []string) []*diskBlock {
	var blocks []*diskBlock
	for _, name := range names {
		if b := x.owner[name]; b != nil {
			blocks = append(blocks, b)
		}
	}
	return blocks
}

// on tells what kind of disk names are: a temporary disk that also holds the root file
// system is an ephemeral OS disk, and counts as OS.
func (x *diskIndex) on(names []string) string {
	what := ""
	for _, b := range x.of(names) {
		switch {
		case b.OS:
			return "os"
		case b.Temporary != "":
			what = "temporary"
		case what == "" && b.Kind == diskKindDisk:
			what = "data"
		}
	}
	return what
}
