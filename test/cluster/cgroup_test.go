package cluster

import (
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
)

func TestParseCgroups(t *testing.T) {
	split := cgroups{}
	for _, c := range []string{"cpu", "cpuacct", "cpuset", "memory", "devices", "freezer", "blkio", "pids"} {
		split.Hierarchies = append(split.Hierarchies, hierarchy{"/sys/fs/cgroup/" + c, c})
	}
	split.Hierarchies = append(split.Hierarchies, hierarchy{"/sys/fs/cgroup/systemd", "none,name=systemd"})
	for file, want := range map[string]cgroups{
		"mountinfo-v1-split": split,
		"mountinfo-v1-hybrid": {Hierarchies: []hierarchy{
			{"/sys/fs/cgroup/systemd", "none,name=systemd"}, {"/sys/fs/cgroup/cpu,cpuacct", "cpu,cpuacct"}, {"/sys/fs/cgroup/cpuset", "cpuset"},
			{"/sys/fs/cgroup/memory", "memory"}, {"/sys/fs/cgroup/pids", "pids"}}},
		"mountinfo-v2": {Unified: true, Hierarchies: []hierarchy{{Mount: "/sys/fs/cgroup"}}},
	} {
		f, err := os.Open(filepath.Join("testdata", file))
		if err != nil {
			t.Fatal(err)
		}
		got, err := parseCgroups(f)
		f.Close()
		if err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("%s: got %+v, %v; want %+v", file, got, err, want)
		}
	}
	if got, err := parseCgroups(strings.NewReader("no\n1 2 3\n - cgroup\n")); err != nil || len(got.Hierarchies) != 0 {
		t.Errorf("garbage: got %+v, %v", got, err)
	}
}

// fakeTree makes the files that the kernel would make in the given cgroup folders.
func fakeTree(t *testing.T, root string, files map[string]string) {
	t.Helper()
	for name, content := range files {
		if err := writeFile(filepath.Join(root, name), []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

func content(t *testing.T, path ...string) string {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(path...))
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

func TestCreateV1FillsCpusets(t *testing.T) {
	root := t.TempDir()
	fakeTree(t, root, map[string]string{
		"cpuset/cpuset.cpus": "0-1\n", "cpuset/cpuset.mems": "0\n",
		"cpuset/base/cpuset.cpus": "\n", "cpuset/base/cpuset.mems": "\n",
		"cpuset/base/node/cpuset.cpus": "", "cpuset/base/node/cpuset.mems": "",
		"memory/cgroup.procs": ""})
	g := cgroups{Hierarchies: []hierarchy{{filepath.Join(root, "cpuset"), "cpuset"}, {filepath.Join(root, "memory"), "memory"}}}
	if err := g.create("base/node"); err != nil {
		t.Fatal(err)
	}
	for _, dir := range []string{"base", "base/node"} {
		if got := content(t, root, "cpuset", dir, "cpuset.cpus"); got != "0-1\n" {
			t.Errorf("%s: cpuset.cpus is %q", dir, got)
		}
		if got := content(t, root, "cpuset", dir, "cpuset.mems"); got != "0\n" {
			t.Errorf("%s: cpuset.mems is %q", dir, got)
		}
	}
	if !exists(filepath.Join(root, "memory/base/node")) {
		t.Error("no memory cgroup")
	}
}

func TestCreateV2DelegatesControllers(t *testing.T) {
	root := t.TempDir()
	fakeTree(t, root, map[string]string{"cgroup.subtree_control": "", "base/cgroup.subtree_control": "", "base/node/cgroup.subtree_control": "",
		"base/node/cpuset.cpus": "", "base/cpuset.cpus": ""})
	g := cgroups{Unified: true, Hierarchies: []hierarchy{{Mount: root}}}
	if err := g.create("base/node"); err != nil {
		t.Fatal(err)
	}
	for dir, want := range map[string]string{".": v2Controllers, "base": v2Controllers, "base/node": ""} {
		if got := content(t, root, dir, "cgroup.subtree_control"); got != want {
			t.Errorf("%s: subtree_control is %q, want %q", dir, got, want)
		}
	}
	if got := content(t, root, "base/node/cpuset.cpus"); got != "" {
		t.Errorf("v2 cpuset was filled: %q", got)
	}
}

func TestProcsFiles(t *testing.T) {
	v1 := cgroups{Hierarchies: []hierarchy{{"/cg/cpu", "cpu"}, {"/cg/memory", "memory"}}}
	if got, want := v1.procsFiles("base/node"), []string{"/cg/cpu/base/node/cgroup.procs", "/cg/memory/base/node/cgroup.procs"}; !reflect.DeepEqual(got, want) {
		t.Errorf("v1: got %v, want %v", got, want)
	}
	root := t.TempDir()
	v2 := cgroups{Unified: true, Hierarchies: []hierarchy{{Mount: root}}}
	if got, want := v2.procsFiles("node"), []string{root + "/node/cgroup.procs"}; !reflect.DeepEqual(got, want) {
		t.Errorf("v2 before boot: got %v, want %v", got, want)
	}
	fakeTree(t, root, map[string]string{"node/init.scope/cgroup.procs": ""})
	if got, want := v2.procsFiles("node"), []string{root + "/node/init.scope/cgroup.procs"}; !reflect.DeepEqual(got, want) {
		t.Errorf("v2 after boot: got %v, want %v", got, want)
	}
}

func TestPids(t *testing.T) {
	root := t.TempDir()
	fakeTree(t, root, map[string]string{"a/base/cgroup.procs": "12\n7\n", "a/base/pod/x/cgroup.procs": "30\n", "b/base/cgroup.procs": "7\n0\nnone\n", "a/cgroup.procs": "1\n"})
	g := cgroups{Hierarchies: []hierarchy{{root + "/a", "a"}, {root + "/b", "b"}, {root + "/gone", "c"}}}
	if got, want := g.pids("base"), []int{7, 12, 30}; !reflect.DeepEqual(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}
