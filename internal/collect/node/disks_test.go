package node

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/tools/txtar"

	"github.com/periscope-k8s/periscope/internal/collect"
	"github.com/periscope-k8s/periscope/internal/collect/collecttest"
	"github.com/periscope-k8s/periscope/internal/host"
	"github.com/periscope-k8s/periscope/internal/host/hosttest"
)

func TestDisks(t *testing.T) {
	collecttest.Run(t, "testdata/disks/*.txtar", onFakeTime(t, disksSampled(diskSample, recordedStatfs)))
}

// recordedStatfs answers from the file /.statfs of a case.
func recordedStatfs(h host.FS, name string) (s host.Statfs, err error) {
	data, err := h.ReadFile("/.statfs", 1<<20)
	if err != nil {
		return s, err
	}
	for line := range strings.Lines(string(data)) {
		fields := strings.Fields(line)
		if diskUnescape(fields[0]) != name {
			continue
		}
		if fields[1] == "hangs" {
			return s, errHung
		}
		_, err := fmt.Sscan(strings.Join(fields[1:], " "), &s.Bytes.Total, &s.Bytes.Free, &s.Bytes.Available, &s.Inodes.Total, &s.Inodes.Free)
		if err != nil {
			return s, &fs.PathError{Op: "statfs", Path: name, Err: errors.New("input/output error")}
		}
		s.Inodes.Available = s.Inodes.Free
		return s, nil
	}
	return s, &fs.PathError{Op: "statfs", Path: name, Err: fs.ErrNotExist}
}

const diskTestMounts = `31 1 8:1 / / rw - ext4 /dev/sda1 rw
40 31 0:61 / /a rw - nfs4 10.0.0.1:/a rw
41 31 0:62 / /b rw - nfs4 10.0.0.1:/b rw
42 31 0:63 / /c rw - fuse.blobfuse2 blobfuse2 rw
43 31 0:64 / /d rw - cifs //10.0.0.1/d rw
44 31 8:17 / /e rw - ext4 /dev/sdb1 rw
`

// Servers that do not answer cost the collector no more than their own sizes, and no time
// beyond the sample's.
func TestDisksHungServers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		release := make(chan struct{})
		defer close(release)
		statfs := func(_ host.FS, name string) (host.Statfs, error) {
			if name != "/" && name != "/e" {
				<-release
			}
			return host.Statfs{Bytes: host.Usage{Total: 10, Free: 5, Available: 5}}, nil
		}
		fs := hosttest.FromTxtar(t, &txtar.Archive{Files: []txtar.File{
			{Name: "host/proc/1/mountinfo", Data: []byte(diskTestMounts)},
			{Name: "host/proc/diskstats", Data: []byte("8 0 sda 1 0 8 1 1 0 8 1 0 2 2\n")},
		}})
		start := time.Now()
		res, files := collecttest.Collect(t, &collect.Env{Host: fs}, disksSampled(diskSample, statfs))
		if took := time.Since(start); res.State != "ok" || took != diskSample {
			t.Errorf("%s %s after %v; want ok after %v", res.State, res.Reason, took, diskSample)
		}
		df := string(files["df.txt"])
		for line, want := range map[string]int{" 50% /\n": 1, " 50% /e\n": 1, errHung.Error(): 2 * diskHangMost, errGaveUp.Error(): 2} {
			if got := strings.Count(df, line); got != want {
				t.Errorf("df.txt has %q %d times; want %d:\n%s", line, got, want, df)
			}
		}
	})
}

// Without the right to read the mounts of the first process a collector in a container sees
// its own: only those below the host's root are the host's.
func TestDisksOwnMounts(t *testing.T) {
	folder := t.TempDir()
	for name, data := range map[string]string{
		"proc/self/mountinfo": "1 0 0:99 / / rw - overlay overlay rw\n2 1 8:1 / " + folder + " rw - ext4 /dev/sda1 rw\n" +
			"3 2 8:17 / " + folder + "/data rw - ext4 /dev/sdb1 rw\n4 1 8:33 / " + folder + "x rw - ext4 /dev/sdc1 rw\n",
		"proc/diskstats": "",
	} {
		if err := os.MkdirAll(filepath.Dir(filepath.Join(folder, name)), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(folder, name), []byte(data), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	h, err := host.Open(folder)
	if err != nil {
		t.Fatal(err)
	}
	statfs := func(host.FS, string) (host.Statfs, error) { return host.Statfs{}, nil }
	_, files := collecttest.Collect(t, &collect.Env{Host: h}, disksSampled(0, statfs))
	var report struct {
		Mounts struct{ Filesystems []diskFilesystem }
	}
	if err := json.Unmarshal(files["disks.json"], &report); err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, f := range report.Mounts.Filesystems {
		got = append(got, f.MountPoint)
	}
	if want := []string{"/", "/data"}; !slices.Equal(got, want) {
		t.Errorf("got mounts %q; want %q", got, want)
	}
}

func TestParseDiskMount(t *testing.T) {
	for _, c := range []struct {
		line string
		want string
	}{
		{`36 35 98:0 /mnt1 /mnt\0402 rw,noatime master:1 - ext3 /dev/root rw,errors=continue`, "98:0 /mnt1 /mnt 2 [rw noatime] ext3 /dev/root [rw errors=continue]"},
		{`36 35 98:0 / / rw shared:1 master:2 unbindable - tmpfs none`, "98:0 / / [rw] tmpfs none []"},
		{`36 35 0:1 / /a\134b\011 rw - fuse a\999 rw`, "0:1 / /a\\b\t [rw] fuse a\\999 [rw]"},
		{"", ""}, {"36 35 98:0 / / rw", ""}, {"36 35 98:0 / / rw - ext4", ""}, {"36 35 98:0 / relative rw - ext4 x rw", ""},
	} {
		m, ok := parseDiskMount([]byte(c.line))
		got := ""
		if ok {
			got = fmt.Sprint(m.device, " ", m.root, " ", m.point, " ", m.options, " ", m.fsType, " ", m.source, " ", m.super)
		}
		if got != c.want {
			t.Errorf("%q: got %q; want %q", c.line, got, c.want)
		}
	}
}

func TestDiskDelta(t *testing.T) {
	for _, c := range []struct {
		name          string
		before, after uint64
		want          uint64
		ok            bool
	}{
		{"same", 7, 7, 0, true},
		{"on", 7, 9, 2, true},
		{"wrapped", 1<<32 - 10, 5, 15, true},
		{"reset", 1000, 5, 0, false},
		{"reset of a large one", 1 << 40, 5, 0, false},
		{"large", 1 << 40, 1<<40 + 3, 3, true},
	} {
		got, ok := diskDelta(c.before, c.after)
		if ok != c.ok || (ok && got != c.want) {
			t.Errorf("%s: got %d, %v; want %d, %v", c.name, got, ok, c.want, c.ok)
		}
	}
}

func TestNewDiskRate(t *testing.T) {
	before := diskCounters{Reads: 10, Writes: 20, BusyMillis: 100}
	if r, ok := newDiskRate(before, before, 5*time.Second); !ok || r != (diskRate{}) {
		t.Errorf("idle: got %+v, %v; want zero", r, ok)
	}
	if _, ok := newDiskRate(before, diskCounters{Reads: 1}, 5*time.Second); ok {
		t.Error("a device that began anew has a rate")
	}
	if _, ok := newDiskRate(before, before, 0); ok {
		t.Error("no time has a rate")
	}
	after := before
	after.BusyMillis += 5100 // the clocks of the two are not the same
	if r, _ := newDiskRate(before, after, 5*time.Second); r.UtilisationPercent != 100 {
		t.Errorf("got utilisation %v; want 100", r.UtilisationPercent)
	}
}

func TestDiskKindOf(t *testing.T) {
	for name, want := range map[string]string{
		"sda": "disk", "nvme0n1": "disk", "vda": "disk", "xvda": "disk", "sr0": "optical", "loop12": "loop", "ram0": "ram", "zram0": "zram", "fd0": "floppy",
		"dm-3": "mapper", "md127": "raid", "md_d0": "raid", "nbd1": "network", "sraid": "disk", "bcache0": "cache",
	} {
		if got := diskKindOf(name); got != want {
			t.Errorf("%s: got %s; want %s", name, got, want)
		}
	}
}

func TestDiskScaled(t *testing.T) {
	for n, want := range map[uint64]string{0: "0", 1023: "1023", 1024: "1.0K", 1025: "1.1K", 9 << 30: "9.0G", 10<<30 + 1: "11G", 1<<64 - 1: "16E"} {
		if got := diskBytes(n); got != want {
			t.Errorf("%d: got %s; want %s", n, got, want)
		}
	}
}

func TestDiskResolve(t *testing.T) {
	h := hosttest.FromTxtar(t, &txtar.Archive{Files: []txtar.File{
		{Name: "host/mnt/aks/kubelet/"}, {Name: "host/var/lib/kubelet -> /mnt/aks/kubelet"}, {Name: "host/var/loop -> loop"},
		{Name: "host/var/up -> ../../../mnt/aks"}, {Name: "host/var/dead -> nowhere"},
	}})
	for name, want := range map[string]string{
		"/": "/", "/mnt/aks": "/mnt/aks", "/var/lib/kubelet": "/mnt/aks/kubelet", "/var/up/kubelet": "/mnt/aks/kubelet", "/var/loop": "", "/var/dead": "", "/none": "",
	} {
		if got, err := diskResolve(h, name); got != want || (err == nil) != (want != "") {
			t.Errorf("%s: got %q, %v; want %q", name, got, err, want)
		}
	}
}

func FuzzParseDisks(f *testing.F) {
	f.Add([]byte(diskTestMounts))
	f.Add([]byte(`36 35 98:0 /mnt1 /mnt\0402 ro,noatime master:1 - ext3 /dev/root ro,errors=remount-ro` + "\n"))
	f.Add([]byte("   8       0 sda 1 0 8 1 1 0 8 1 0 2 2 1 1 1 1 1 1\n"))
	f.Add([]byte("UUID=1 / ext4 discard,errors=remount-ro 0 1\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		fstab, _ := parseDiskFstab(data)
		ms := newDiskMounts(fstab, []*diskPath{{Path: "/var/lib/kubelet"}})
		for line := range bytes.Lines(data) {
			ms.add(line)
		}
		if len(ms.Filesystems) > maxDiskFilesystems || len(ms.ByType) > 101 {
			t.Errorf("%d file systems, %d types", len(ms.Filesystems), len(ms.ByType))
		}
		x := &diskIndex{owner: map[string]*diskBlock{}, readLink: func(string) (string, error) { return "", fs.ErrNotExist }}
		x.mark(ms)
		diskTable(ms.Filesystems)
		stats, _ := parseDiskStats(data)
		io := newDiskIO(stats, stats, time.Second, x.kind)
		for _, d := range io.Devices {
			if d.diskRate == nil || *d.diskRate != (diskRate{}) {
				t.Errorf("%s: the same sample twice has rate %+v", d.Name, d.diskRate)
			}
		}
		diskIOTable(io)
	})
}
