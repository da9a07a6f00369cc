package cli

import (
	"bytes"
	"log/slog"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/periscope-k8s/periscope/internal/collect"
	"github.com/periscope-k8s/periscope/internal/manifest"
)

func TestSizes(t *testing.T) {
	for _, s := range []string{"0.5", "1e-3Ki", "0x1p-2", "0.0001k"} {
		var b byteSize
		if err := b.Set(s); err == nil && b == 0 {
			t.Errorf("--max-size %s means no limit at all", s)
		}
	}
	for s, want := range map[string]int64{"1Gi": 1 << 30, "1.5Ki": 1536, "2M": 2e6} {
		var b byteSize
		if err := b.Set(s); err != nil || int64(b) != want {
			t.Error(s, b, err)
		}
	}
	for s, want := range map[float64]string{59.7: "1m0s", 9.97: "10.0s", 0.04: "0.0s", 60: "1m0s"} {
		if got := formatSeconds(s); got != want {
			t.Errorf("formatSeconds(%v) = %s, want %s", s, got, want)
		}
	}
}

func TestProgressRace(t *testing.T) {
	var out bytes.Buffer
	p := newProgress(&Streams{Err: &out}, &collectOptions{verbose: true}, strings.ToUpper, make([]collect.Collector, 4))
	var wg sync.WaitGroup
	for i := range 4 {
		wg.Go(func() {
			for range 100 {
				p.observe(collect.Status{Index: i, Collector: "c", State: manifest.OK})
				p.logger().Warn("x")
			}
		})
	}
	wg.Wait()
	p.end()
}

func TestWarningsAreMasked(t *testing.T) {
	var out bytes.Buffer
	p := newProgress(&Streams{Err: &out}, &collectOptions{verbose: true}, testMask(t), nil)
	slog.New(p.logger().Handler()).Warn("run command", "err", "exit 1: helper --token=SUPERSECRETVALUE\x1b[31m")
	if strings.Contains(out.String(), "SUPERSECRET") {
		t.Errorf("a secret reaches the terminal: %s", &out)
	}
}

// Secrets in the names of files are masked like those in files.
func TestNamesAreMasked(t *testing.T) {
	dir := t.TempDir()
	hostFile(t, dir, "proc/sys/kernel/hostname", "node-1\n")
	hostFile(t, dir, "var/log/azure/run-password=hunter2hunter2.log", "hello\n")
	hostFile(t, dir, "var/log/azure/blob-sig=LEAKLEAKLEAKLEAKLEAK%2FLEAKLEAKLEAKLEAKLEAK%3D.log", "hello\n")
	var out, errs bytes.Buffer
	code := Main(t.Context(), []string{"periscope", "collect", "--local", "-v", "--host-root", dir, "--dir", filepath.Join(dir, "out"), "--collectors", "nodelogs"}, Streams{nil, &out, &errs})
	if code != exitDone {
		t.Fatalf("exit code %d\n%s%s", code, &out, &errs)
	}
	for name, data := range unzip(t, collectedZip(t, dir)) {
		for _, s := range []string{"hunter2hunter2", "LEAKLEAKLEAK"} {
			if strings.Contains(name, s) {
				t.Errorf("in the entry's name: %s", name)
			}
			if i := strings.Index(string(data), s); i >= 0 {
				t.Errorf("in %s: %.100s", name, data[max(0, i-40):])
			}
		}
	}
}

// A key whose BEGIN line lies before the part of a log that is kept.
func TestLogCutInsideAKey(t *testing.T) {
	dir := t.TempDir()
	hostFile(t, dir, "proc/sys/kernel/hostname", "node-1\n")
	key := "-----BEGIN RSA PRIVATE KEY-----\n" + strings.Repeat("MIIEpAIBAAKCAQEA7LEAKabcd1234LEAKefgh5678LEAKijkl9012LEAKmnop345\n", 25) + "-----END RSA PRIVATE KEY-----\n"
	tail := strings.Repeat("an ordinary line of the log follows\n", 20<<20/36-20)
	hostFile(t, dir, "var/log/syslog", strings.Repeat("old\n", 1000)+key+tail)
	var out, errs bytes.Buffer
	Main(t.Context(), []string{"periscope", "collect", "--local", "--host-root", dir, "--dir", filepath.Join(dir, "out"), "--collectors", "nodelogs"}, Streams{nil, &out, &errs})
	for name, data := range unzip(t, collectedZip(t, dir)) {
		if n := bytes.Count(data, []byte("LEAK")); n > 0 {
			t.Errorf("%s (%d bytes) begins with %d pieces of a private key: %.80q", name, len(data), n, data)
		}
	}
}

func testMask(t *testing.T) func(string) string {
	r, err := newRedactor(nil)
	if err != nil {
		t.Fatal(err)
	}
	return r.String
}
