package node

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"
	"slices"
	"strings"
	"time"

	"github.com/periscope-k8s/periscope/internal/collect"
	"github.com/periscope-k8s/periscope/internal/host"
	"github.com/periscope-k8s/periscope/internal/manifest"
)

// Limits of the collector disks.
const (
	diskSample      = 5 * time.Second
	diskHangWait    = time.Second
	diskHangMost    = 3
	diskTime        = 30 * time.Second
	diskOutputBytes = 16 << 20
	maxDiskStats    = 1 << 20

	maxDiskMountBytes = 8 << 20 // copied of mountinfo
)

func disksCollector() collect.Collector { return disksSampled(diskSample, host.FS.Statfs) }

// disksSampled is the collector with IO measured over sample and sizes told by statfs.
func disksSampled(sample time.Duration, statfs func(host.FS, string) (host.Statfs, error)) collect.Collector {
	return collect.Collector{
		Name: "disks",
		Doc:  "mounts with bytes and inodes, fstab, block devices, what is on the OS and the temporary disk, and a sample of disk IO",
		Time: diskTime,
		Size: diskOutputBytes,
		Run: func(ctx context.Context, env *collect.Env, out collect.Output) error {
			c := diskCollection{
				snapshot: snapshot{ctx: ctx, env: env, out: out}, sample: sample, statfs: statfs,
				guard: hangGuard{wait: diskHangWait, most: diskHangMost},
			}
			return c.run()
		},
	}
}

// A diskReport is disks.json.
type diskReport struct {
	OSDisks        []string     `json:"osDisks"`
	TemporaryDisks []string     `json:"temporaryDisks"`
	Paths          []*diskPath  `json:"paths"`
	Mounts         *diskMounts  `json:"mounts"`
	Fstab          []diskFstab  `json:"fstab"`
	BlockDevices   []*diskBlock `json:"blockDevices"`
	IO             *diskIO      `json:"io,omitempty"`
}

type diskCollection struct {
	snapshot
	sample time.Duration
	statfs func(host.FS, string) (host.Statfs, error)
	guard  hangGuard
	report diskReport
}

// run uses the time between the two samples for everything else.
func (c *diskCollection) run() error {
	data, err := c.load("/proc/diskstats", maxDiskStats)
	c.missing("/proc/diskstats", err)
	before, _ := parseDiskStats(data)
	began := time.Now()
	c.describe()
	if c.found == 0 && len(c.report.BlockDevices) == 0 {
		return c.end("no mounts, block devices or disk statistics")
	}
	c.text("df.txt", diskTable(c.report.Mounts.Filesystems))
	if len(before) > 0 && c.err == nil {
		c.measure(before, began)
	}
	return errors.Join(c.err, writeJSON(c.out, "disks.json", c.report))
}

// describe fills the report but for IO.
func (c *diskCollection) describe() {
	c.fstab()
	blocks, err := diskSysfs{c.env.Host}.blocks()
	c.missing("/sys/block", err)
	c.report.BlockDevices = blocks
	c.err = errors.Join(c.err, c.mounts())
	c.place(newDiskIndex(blocks, c.env.Host))
	c.err = errors.Join(c.err, c.sizes())
}

// text writes a table.
func (c *diskCollection) text(name, content string) {
	if c.err == nil {
		c.err = collect.WriteFile(c.out, name, []byte(content))
	}
}

// fstab reads what should be mounted; some hosts mount by systemd units alone.
func (c *diskCollection) fstab() {
	entries, malformed := parseDiskFstab(c.optional("/etc/fstab"))
	c.report.Fstab = append([]diskFstab{}, entries...)
	c.malformed("/etc/fstab", malformed)
}

// mounts reads the mounts of the host's first process, whose mount points are the host's
// paths; without the right to, those of this process.
func (c *diskCollection) mounts() error {
	c.report.Paths = c.paths()
	ms := newDiskMounts(c.report.Fstab, c.report.Paths)
	c.report.Mounts = ms
	ms.Source = "/proc/1/mountinfo"
	f, err := c.env.Host.Open(ms.Source)
	if err != nil {
		ms.Source = "/proc/self/mountinfo"
		if root := c.env.Host.Root(); root != "/" {
			ms.below = root
		}
		var again error
		if f, again = c.env.Host.Open(ms.Source); again != nil {
			c.missing("mounts", errors.Join(err, again))
			return nil
		}
	}
	defer func() { _ = f.Close() }()
	c.found++
	err = c.eachMount(f, ms)
	c.malformed(ms.Source, ms.Malformed)
	return err
}

// eachMount gives the lines of f to ms and copies them, as far as there is room.
func (c *diskCollection) eachMount(f io.Reader, ms *diskMounts) error {
	raw, err := newLineFile(c.out, "raw"+ms.Source, maxDiskMountBytes)
	if err != nil {
		return err
	}
	collect.Describe(raw.to, manifest.Source{Path: ms.Source})
	var failed error
	c.missing(ms.Source, eachLine(c.ctx, f, func(line []byte) {
		ms.add(line)
		if failed == nil {
			failed = raw.add(slices.Concat(line, []byte{'\n'}))
		}
	}))
	raw.warn(c.env.Log)
	return errors.Join(failed, raw.close())
}

// paths resolves the folders that people ask about; those that do not exist are left out.
func (c *diskCollection) paths() []*diskPath {
	paths := []*diskPath{}
	for _, p := range []diskPath{
		{Name: "root", Path: "/"}, {Name: "kubelet", Path: "/var/lib/kubelet"}, {Name: "containerd", Path: "/var/lib/containerd"},
		{Name: "docker", Path: "/var/lib/docker"}, {Name: "logs", Path: "/var/log"}, {Name: "podLogs", Path: "/var/log/pods"},
		{Name: "tmp", Path: "/tmp"},
	} {
		to, err := guarded(c.ctx, &c.guard, func() (string, error) { return diskResolve(c.env.Host, p.Path) })
		if errors.Is(err, errHung) {
			c.env.Log.Warn("resolve path", "path", p.Path, "err", err)
		}
		if err != nil {
			continue
		}
		if to != p.Path {
			p.Resolved = to
		}
		paths = append(paths, &p)
	}
	return paths
}

// diskResolve follows the symlinks in name, within the host's root.
func diskResolve(h host.FS, name string) (string, error) {
	done, rest := "/", strings.Trim(name, "/")
	for links := 0; rest != ""; {
		part, after, _ := strings.Cut(rest, "/")
		at := path.Join(done, part)
		info, err := h.Lstat(at)
		if err != nil {
			return "", err
		}
		if info.Mode()&fs.ModeSymlink == 0 {
			done, rest = at, after
			continue
		}
		if links++; links > 40 {
			return "", fmt.Errorf("resolve %s: too many symlinks", name)
		}
		target, err := h.ReadLink(at)
		if err != nil {
			return "", err
		}
		if !path.IsAbs(target) {
			target = path.Join(done, target)
		}
		done, rest = "/", strings.Trim(path.Join("/", target, after), "/")
	}
	return done, nil
}

// place says which disks hold what.
func (c *diskCollection) place(x *diskIndex) {
	for _, f := range c.report.Mounts.Filesystems {
		f.Disks = x.disks(f.Device, f.Source)
	}
	x.mark(c.report.Mounts)
	for _, p := range c.report.Paths {
		p.Disks = x.disks(p.Device, p.Source)
		p.On = x.on(p.Disks)
	}
	c.report.OSDisks, c.report.TemporaryDisks = []string{}, []string{}
	for _, b := range x.blocks {
		if b.OS {
			c.report.OSDisks = append(c.report.OSDisks, b.Name)
		}
		if b.Temporary != "" {
			c.report.TemporaryDisks = append(c.report.TemporaryDisks, b.Name)
		}
	}
}

// sizes asks every file system for its usage, local ones first: a dead server holds up
// only what comes after.
func (c *diskCollection) sizes() error {
	list := c.report.Mounts.Filesystems
	slices.SortStableFunc(list, func(a, b *diskFilesystem) int { return diskOrder(a) - diskOrder(b) })
	for _, f := range list {
		s, err := guarded(c.ctx, &c.guard, func() (host.Statfs, error) { return c.statfs(c.env.Host, f.MountPoint) })
		if c.ctx.Err() != nil {
			return context.Cause(c.ctx)
		}
		if err != nil {
			f.Error = diskReason(err)
			if !errors.Is(err, host.ErrDenied) && !errors.Is(err, errGaveUp) {
				c.env.Log.Warn("size of file system", "mount", f.MountPoint, "type", f.FSType, "err", f.Error)
			}
			continue
		}
		f.Bytes = newDiskUsage(s.Bytes.Total, s.Bytes.Free, s.Bytes.Available)
		f.Inodes = newDiskUsage(s.Inodes.Total, s.Inodes.Free, s.Inodes.Available)
	}
	return nil
}

func diskOrder(f *diskFilesystem) int {
	if f.Network {
		return 1
	}
	return 0
}

// diskReason is the cause of err without the path that is told beside it.
func diskReason(err error) string {
	if p := (*fs.PathError)(nil); errors.As(err, &p) {
		return p.Err.Error()
	}
	return err.Error()
}

// measure waits for the end of the sample and fills the report's IO.
func (c *diskCollection) measure(before map[string]diskStat, began time.Time) {
	if c.err = pause(c.ctx, c.sample-time.Since(began)); c.err != nil {
		return
	}
	span := time.Since(began)
	after := snapshotParse(&c.snapshot, "/proc/diskstats", parseDiskStats)
	x := newDiskIndex(c.report.BlockDevices, c.env.Host)
	c.report.IO = newDiskIO(before, after, span, x.kind)
	c.text("iostat.txt", diskIOTable(c.report.IO))
}
