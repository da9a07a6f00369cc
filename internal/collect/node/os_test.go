package node

import (
	"maps"
	"slices"
	"testing"
	"time"

	"github.com/periscope-k8s/periscope/internal/collect/collecttest"
)

func TestOS(t *testing.T) {
	collecttest.Run(t, "testdata/os/*.txtar", osCollector())
}

func TestParseOSRelease(t *testing.T) {
	got, bad := parseOSRelease([]byte("NAME=\"A \\\"b\\\" \\$c\"\nID=x\nONE='y z'\nQ=\"\n# c\nnonsense\n"))
	want := map[string]string{"NAME": `A "b" $c`, "ID": "x", "ONE": "y z", "Q": `"`}
	if !maps.Equal(got, want) || bad != 1 {
		t.Errorf("got %q, %d malformed, want %q, 1", got, bad, want)
	}
}

func TestParseOSBootTime(t *testing.T) {
	for data, want := range map[string]struct {
		boot time.Time
		bad  int
	}{
		"cpu 1 2\nbtime 1763690400\nctxt 9\n": {time.Date(2025, 11, 21, 2, 0, 0, 0, time.UTC), 0},
		"btime x\n":                           {time.Time{}, 1},
		"btime 99999999999999999\n":           {time.Time{}, 1},
		"btime 1 2\n":                         {time.Time{}, 1},
		"":                                    {time.Time{}, 0},
	} {
		if boot, bad := parseOSBootTime([]byte(data)); boot != want.boot || bad != want.bad {
			t.Errorf("%q: got %v, %d, want %v, %d", data, boot, bad, want.boot, want.bad)
		}
	}
}

func TestParseOSLoad(t *testing.T) {
	load, bad := parseOSLoad([]byte("0.10 0.20 12.5 3/456 789\n"))
	if want := (osLoad{0.1, 0.2, 12.5, 3, 456}); load == nil || *load != want || bad != 0 {
		t.Errorf("got %+v, %d malformed, want %+v", load, bad, want)
	}
	for _, data := range []string{"1 2 3 4 5", "1 2 3 4/x 5", "nan 2 3 4/5 6", "1 2 3"} {
		if load, bad := parseOSLoad([]byte(data)); load != nil || bad != 1 {
			t.Errorf("%q: got %+v, %d malformed, want none, 1", data, load, bad)
		}
	}
}

func TestParseOSCgroup(t *testing.T) {
	const (
		v2     = "30 23 0:26 / /sys/fs/cgroup rw,nosuid shared:9 - cgroup2 cgroup2 rw\n"
		tmp    = "31 23 0:28 / /sys/fs/cgroup ro shared:9 - tmpfs tmpfs ro,mode=755\n"
		cpu    = "33 31 0:29 / /sys/fs/cgroup/cpu,cpuacct rw shared:10 - cgroup cgroup rw,cpu,cpuacct\n"
		system = "34 31 0:30 / /sys/fs/cgroup/systemd rw shared:10 - cgroup cgroup rw,xattr,name=systemd\n"
		v2near = "35 31 0:31 / /sys/fs/cgroup/unified rw shared:10 - cgroup2 cgroup2 rw\n"
		cilium = "99 23 0:31 / /run/cilium/cgroupv2 rw shared:10 - cgroup2 none rw\n"
		near   = "98 23 0:31 / /sys/fs/cgroupfoo rw shared:10 - cgroup2 none rw\n"
	)
	for _, c := range []struct {
		data, version string
		controllers   []string
		bad           int
	}{
		{v2 + cilium, "v2", nil, 0},
		{tmp + cpu + system + cilium, "v1", []string{"cpu", "cpuacct"}, 0},
		{tmp + cpu + v2near, "hybrid", []string{"cpu", "cpuacct"}, 0},
		{near + cilium, "", nil, 0},
		{"x\n1 2 3 4 5 6 -\n", "", nil, 2},
	} {
		got, bad := parseOSCgroup([]byte(c.data))
		if got.Version != c.version || !slices.Equal(got.Controllers, c.controllers) || bad != c.bad {
			t.Errorf("%s: got %+v, %d malformed, want %s %v, %d", c.data, got, bad, c.version, c.controllers, c.bad)
		}
	}
}

func TestOSVirtual(t *testing.T) {
	for _, c := range []struct {
		dmi  map[string]string
		want osVirtualization
	}{
		{map[string]string{"sys_vendor": "Microsoft Corporation", "product_name": "Surface"}, osVirtualization{}},
		{map[string]string{"sys_vendor": "Microsoft Corporation", "product_name": "Virtual Machine"}, osVirtualization{Hypervisor: "microsoft"}},
		{map[string]string{"sys_vendor": "Google", "product_name": "Google Compute Engine"}, osVirtualization{Hypervisor: "google", Cloud: "gcp"}},
		{map[string]string{"sys_vendor": "QEMU", "product_name": "Standard PC"}, osVirtualization{Hypervisor: "qemu"}},
		{nil, osVirtualization{}},
	} {
		if got := osVirtual(c.dmi); got != c.want {
			t.Errorf("%v: got %+v, want %+v", c.dmi, got, c.want)
		}
	}
}

func TestOSTaints(t *testing.T) {
	got, want := osTaints(1<<0|1<<14|1<<63), []string{"proprietary module", "soft lockup"}
	if !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

func FuzzParseOS(f *testing.F) {
	f.Add([]byte("btime 1\nID='x\n0.1 0.2 0.3 1/2 3\nflags : lm a\nphysical id: 0\ncore id: 1"))
	f.Add([]byte("33 31 0:29 / /sys/fs/cgroup/cpu rw - cgroup cgroup rw\n1 1 1 1 /sys/fs/cgroup 1 - cgroup\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		parseOSRelease(data)
		parseOSUptime(data)
		parseOSLoad(data)
		cpu, _ := parseOSCPU(data)
		cpu.architecture()
		cgroup, _ := parseOSCgroup(data)
		boot, _ := parseOSBootTime(data)
		if _, err := boot.MarshalJSON(); err != nil {
			t.Errorf("boot time that JSON cannot hold: %v", err)
		}
		if len(cgroup.Controllers) > len(data) {
			t.Error("more controllers than bytes")
		}
	})
}
