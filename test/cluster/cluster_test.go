package cluster

import (
	"archive/tar"
	"bytes"
	"crypto/x509"
	"encoding/binary"
	"encoding/json"
	"errors"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
)

func TestVersions(t *testing.T) {
	mod, err := components.ReadFile("components/components.mod")
	if err != nil {
		t.Fatal(err)
	}
	if want := "k8s.io/kubernetes " + KubernetesVersion + "\n"; !bytes.Contains(mod, []byte(want)) {
		t.Errorf("components.mod does not require %q", want)
	}
	got, err := releaseVersion()
	if err != nil || !regexp.MustCompile(`^`+regexp.QuoteMeta(KubernetesVersion)+`-[0-9a-f]{12}$`).MatchString(got) {
		t.Errorf("releaseVersion() = %q, %v", got, err)
	}
}

func TestFurnish(t *testing.T) {
	for _, i := range []int{1, taintedIndex} {
		n := newNode(i, false)
		n.Disk = t.TempDir()
		v := nodeValues{Node: n, Nodes: []*Node{n}, MachineID: randomID(), Time: "2026-01-01T00:00:00Z", Version: KubernetesVersion, Gateway: gateway,
			ServiceNet: serviceNet, PodNet: podNet, ClusterDNS: clusterDNS, PlatformDNS: platformDNS, APIServer: apiServer}
		if err := furnish(n.Disk, v); err != nil {
			t.Fatal(err)
		}
		if got := content(t, n.Disk, "etc/hostname"); got != n.Name+"\n" {
			t.Errorf("hostname %q", got)
		}
		var config struct {
			RegisterWithTaints []struct{ Key, Effect string }
		}
		if err := json.Unmarshal([]byte(content(t, n.Disk, "etc/default/kubeletconfig.json")), &config); err != nil {
			t.Fatal(err)
		}
		if got := len(config.RegisterWithTaints); (got == 1) != (i == taintedIndex) {
			t.Errorf("%s registers with %d taints", n.Name, got)
		}
		var azure map[string]any
		if err := json.Unmarshal([]byte(content(t, n.Disk, "etc/kubernetes/azure.json")), &azure); err != nil {
			t.Fatal(err)
		}
		for _, key := range []string{"aadClientSecret", "aadClientId", "userAssignedIdentityID"} {
			if s, _ := azure[key].(string); !strings.HasPrefix(s, "FAKE-") {
				t.Errorf("azure.json: %s is %q, not marked as fake", key, s)
			}
		}
		for _, path := range []string{"etc/cni/net.d/10-bridge.conflist", "var/log/azure/aks/provision.json"} {
			if !json.Valid([]byte(content(t, n.Disk, path))) {
				t.Errorf("%s is no JSON", path)
			}
		}
		for _, path := range []string{"var/log/azure/cluster-provision.log", "var/log/azure/cluster-provision-cse-output.log", "var/log/waagent.log", "var/log/syslog"} {
			if !strings.Contains(content(t, n.Disk, path), "synthetic") {
				t.Errorf("%s does not say that it is synthetic", path)
			}
		}
	}
}

func TestWriteImage(t *testing.T) {
	program := filepath.Join(t.TempDir(), "program")
	if err := os.WriteFile(program, []byte("content"), 0o755); err != nil {
		t.Fatal(err)
	}
	to := program + ".tar"
	if err := WriteImage(to, "local/x:1", []string{"/bin/x"}, ImageFile{Path: "/bin/x", From: program}, ImageFile{Path: "/bin/y", Link: "x"}); err != nil {
		t.Fatal(err)
	}
	archive := readTar(t, content(t, to))
	var manifest []struct {
		Config           string
		RepoTags, Layers []string
	}
	if err := json.Unmarshal([]byte(archive["manifest.json"]), &manifest); err != nil {
		t.Fatal(err)
	}
	if len(manifest) != 1 || manifest[0].RepoTags[0] != "local/x:1" || archive[manifest[0].Config] == "" {
		t.Errorf("manifest: %+v", manifest)
	}
	layer := readTar(t, archive[manifest[0].Layers[0]])
	for name, want := range map[string]string{"bin/x": "content", "bin/y": "-> x", "tmp/": "", "bin/": ""} {
		if got, ok := layer[name]; !ok || got != want {
			t.Errorf("layer: %s is %q", name, got)
		}
	}
	if err := WriteImage(to, "local/x:1", nil, ImageFile{Path: "/x", From: "/nowhere"}); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("missing file: %v", err)
	}
}

func readTar(t *testing.T, data string) map[string]string {
	t.Helper()
	files := map[string]string{}
	r := tar.NewReader(strings.NewReader(data))
	for {
		h, err := r.Next()
		if errors.Is(err, io.EOF) {
			return files
		}
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(r)
		if err != nil {
			t.Fatal(err)
		}
		files[h.Name] = string(body)
		if h.Typeflag == tar.TypeSymlink {
			files[h.Name] = "-> " + h.Linkname
		}
	}
}

func TestPKI(t *testing.T) {
	dir := t.TempDir()
	if err := writePKI(dir); err != nil {
		t.Fatal(err)
	}
	ca, err := loadKeyPair(dir, "ca")
	if err != nil {
		t.Fatal(err)
	}
	server, err := loadKeyPair(dir, "apiserver")
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AddCert(ca.cert)
	for _, name := range []string{gateway, "127.0.0.1", serviceIP, "kubernetes.default.svc"} {
		if _, err := server.cert.Verify(x509.VerifyOptions{Roots: roots, DNSName: name}); err != nil {
			t.Errorf("API server as %s: %v", name, err)
		}
	}
	node, err := ca.issue(identity{user: "system:node:node-1", group: "system:nodes"})
	if err != nil {
		t.Fatal(err)
	}
	if s := node.cert.Subject; s.CommonName != "system:node:node-1" || s.Organization[0] != "system:nodes" {
		t.Errorf("subject %v", s)
	}
}

func TestAppendEntry(t *testing.T) {
	j := &journal{node: &nodeInit{spec: bootSpec{Name: "node-1", MachineID: "m", BootID: "b-c"}}}
	fields := func(e entry) map[string]string {
		got := map[string]string{}
		for line := range strings.Lines(string(j.appendEntry(nil, e))) {
			k, v, _ := strings.Cut(strings.TrimSuffix(line, "\n"), "=")
			got[k] = v
		}
		return got
	}
	got := fields(entry{unit: "kubelet.service", identifier: "kubelet", message: "hello=world", pid: 7, priority: 6})
	for k, want := range map[string]string{"_BOOT_ID": "bc", "_MACHINE_ID": "m", "_HOSTNAME": "node-1", "_SYSTEMD_UNIT": "kubelet.service",
		"SYSLOG_IDENTIFIER": "kubelet", "PRIORITY": "6", "_PID": "7", "MESSAGE": "hello=world"} {
		if got[k] != want {
			t.Errorf("%s is %q, want %q", k, got[k], want)
		}
	}
	if got["__REALTIME_TIMESTAMP"] == "" || got["__MONOTONIC_TIMESTAMP"] == "" {
		t.Error("no time")
	}
	got = fields(entry{unit: "kubelet.service", identifier: "systemd", pid: 1})
	if got["UNIT"] != "kubelet.service" || got["_SYSTEMD_UNIT"] != "init.scope" {
		t.Errorf("process 1 speaks as %v", got)
	}
}

func TestAppendMessage(t *testing.T) {
	for message, want := range map[string]string{
		"plain\ttext é": "MESSAGE=plain\ttext é\n",
		"\x1b[31mred":   "MESSAGE\n\x08\x00\x00\x00\x00\x00\x00\x00\x1b[31mred\n",
		"bad \xff byte": "MESSAGE\n\x0a\x00\x00\x00\x00\x00\x00\x00bad \xff byte\n",
		"":              "MESSAGE=\n",
	} {
		if got := string(appendMessage(nil, message)); got != want {
			t.Errorf("%q: got %q, want %q", message, got, want)
		}
	}
}

func TestArchiveJournal(t *testing.T) {
	dir := t.TempDir()
	header := make([]byte, 256)
	copy(header, "LPKSHHRH")
	for i := range 16 {
		header[72+i] = byte(i)
	}
	binary.LittleEndian.PutUint64(header[160:], 900) // the tail's number
	binary.LittleEndian.PutUint64(header[168:], 5)
	binary.LittleEndian.PutUint64(header[184:], 0x660c27bcd4c42)
	path := filepath.Join(dir, "system.journal")
	if err := os.WriteFile(path, header, 0o644); err != nil {
		t.Fatal(err)
	}
	if err := archiveJournal(path); err != nil {
		t.Fatal(err)
	}
	want := "system@000102030405060708090a0b0c0d0e0f-0000000000000005-000660c27bcd4c42.journal"
	if got := content(t, dir, want); got[16] != 2 {
		t.Errorf("state %d", got[16])
	}
	for _, bad := range []string{"", strings.Repeat("x", 300)} {
		if err := os.WriteFile(path, []byte(bad), 0o644); err != nil {
			t.Fatal(err)
		}
		if err := archiveJournal(path); err == nil || !exists(path) {
			t.Errorf("a file of %d bytes was archived: %v", len(bad), err)
		}
	}
}

func TestUnitOutput(t *testing.T) {
	var log bytes.Buffer
	j := &journal{entries: make(chan entry, 4)}
	o := &unitOutput{unit: unit{Name: "kubelet", Journal: true}, log: &log, journal: j}
	text := "one\n\n" + strings.Repeat("x", journalLine+10) + "\nlast"
	o.copy(strings.NewReader(text))
	if log.String() != text {
		t.Errorf("the log has %d bytes, want %d", log.Len(), len(text))
	}
	var lengths []int
	for len(j.entries) > 0 {
		lengths = append(lengths, len((<-j.entries).message))
	}
	if len(lengths) != 4 || lengths[0] != 3 || lengths[1] != journalLine || lengths[2] != 10 || lengths[3] != 4 {
		t.Errorf("entries of %v bytes", lengths)
	}
	o.copy(strings.NewReader(strings.Repeat("y\n", 10)))
	if got := j.dropped.Load(); got != 6 {
		t.Errorf("%d entries dropped, want 6", got)
	}
}

func TestDescribe(t *testing.T) {
	for status, want := range map[syscall.WaitStatus]string{0: "code=exited, status=0", 3 << 8: "code=exited, status=3", 9: "code=killed, status=9/KILL"} {
		if got := describe(status); got != want {
			t.Errorf("%d: got %q, want %q", status, got, want)
		}
	}
}

func TestLastErrors(t *testing.T) {
	path := filepath.Join(t.TempDir(), "log")
	for text, want := range map[string]string{
		"I1 a\nE1121 05:00 one\nI b\nE1121 05:01 two\nF1121 05:02 three\nEnd\n": "E1121 05:01 two\nF1121 05:02 three",
		"a\nb\nc\n": "b\nc",
		"":          "",
	} {
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		if got := string(lastErrors(path, 2)); got != want {
			t.Errorf("%q: got %q, want %q", text, got, want)
		}
	}
	if got := lastErrors("/nowhere", 2); got != nil {
		t.Errorf("no file: %q", got)
	}
}

func TestKernelAtLeast(t *testing.T) {
	for release, want := range map[string]bool{"6.18.44-fc": true, "5.4.0-1": true, "5.3.99": false, "4.19": false, "5.10": true, "x": false} {
		if got := kernelAtLeast(release, 5, 4); got != want {
			t.Errorf("%s: %v", release, got)
		}
	}
}
