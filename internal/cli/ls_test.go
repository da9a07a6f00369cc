package cli

import (
	"archive/zip"
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

const testManifest = `{
	"format": 1, "runID": "2026-03-04T05-06-07Z", "node": "node-1", "outcome": "Succeeded",
	"files": [
		{"name": "journal/kubelet.log", "size": 12, "source": "journalctl -u kubelet", "cutFront": 2048, "redactions": {"jwt": 2, "sas": 1}, "modTime": "2026-03-04T05:00:00Z", "sha256": "abc"},
		{"name": "journal/kubelet.log.001", "size": 5, "source": "journalctl -u kubelet"},
		{"name": "journal/kubelet.log.002~", "size": 4, "source": "journalctl -u kubelet"},
		{"name": "journal/kubelet.log.002", "size": 6, "source": "/var/log/kubelet.log.002"},
		{"name": "os/esc\u001b[2J\u202e.txt", "size": 8}
	]
}`

// testBundle writes a bundle with local headers that hold the sizes, so that it can be cut.
func testBundle(t *testing.T) (path string, data []byte) {
	t.Helper()
	files := []struct{ name, text string }{
		{"journal/kubelet.log", "first lines\n"}, {"journal/kubelet.log.001", "more\n"},
		{"journal/kubelet.log.002~", "end\n"}, {"journal/kubelet.log.002", "other\n"},
		{"os/esc\x1b[2J\u202e.txt", "a\x1b[31mb\n"},
		{"manifest.json", testManifest},
	}
	var b bytes.Buffer
	z := zip.NewWriter(&b)
	for _, f := range files {
		w, err := z.CreateRaw(rawHeader(f.name, f.text))
		if err != nil {
			t.Fatal(err)
		}
		io.WriteString(w, f.text)
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	return writeFile(t, "node-1.zip", b.Bytes()), b.Bytes()
}

func writeFile(t *testing.T, name string, data []byte) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// runMain runs a command line and returns the exit code.
func runMain(t *testing.T, args ...string) (code int, out, errs string) {
	t.Helper()
	var stdout, stderr bytes.Buffer
	code = Main(t.Context(), append([]string{"periscope"}, args...), Streams{In: strings.NewReader(""), Out: &stdout, Err: &stderr})
	return code, stdout.String(), stderr.String()
}

func TestLs(t *testing.T) {
	path, data := testBundle(t)
	cut := writeFile(t, "cut.zip", data[:bytes.Index(data, []byte("PK\x01\x02"))-4])
	header := "Run 2026-03-04T05-06-07Z, node node-1: Succeeded\n\n"
	tests := []struct {
		name string
		args []string
		code int
		out  []string // lines that must be there
		not  string   // must not be there
		errs string
	}{
		{"all", []string{path}, exitDone, []string{
			header + "SIZE",
			"12 B   2026-03-04T05:00:00Z  2.0 KiB  3       journal/kubelet.log\n",
			"8 B    2026-01-02T03:04:06Z  -        -       " + `os/esc\x1b[2J\u202e.txt` + "\n",
			"manifest.json\n",
		}, "\x1b", ""},
		{"wide", []string{path, "-o", "wide", "journal/kubelet.log"}, exitDone, []string{"SHA256", "abc", "journalctl -u kubelet"}, "manifest.json", ""},
		{"folder", []string{path, "os"}, exitDone, []string{"os/esc"}, "journal", ""},
		{"patterns", []string{path, "jour*/", "./manifest.json"}, exitDone, []string{"kubelet.log.001", "manifest.json"}, "os/", ""},
		{"dot", []string{path, "."}, exitDone, []string{"os/esc", "manifest.json"}, "", ""},
		{"nothing fits", []string{path, "os", "nope*"}, exitFailed, []string{"os/esc"}, "journal", `no file fits ["nope*"]`},
		{"bad pattern", []string{path, "[a"}, exitUsage, nil, "SIZE", `"[a" is not a pattern`},
		{"bad format", []string{path, "-o", "xml"}, exitUsage, nil, "SIZE", "must be one of json, yaml, wide"},
		{"no argument", nil, exitUsage, nil, "SIZE", "requires at least 1 arg"},
		{"cut", []string{cut}, exitIncomplete, []string{"journal/kubelet.log\n", "manifest.json\n"}, "Run", `the archive is cut: it has no directory; entries found before the cut: 6`},
		{"missing", []string{path + "x"}, exitFailed, nil, "SIZE", "no such file or directory"},
		{"no bundle", []string{writeFile(t, "a\x1b.log", []byte("text"))}, exitFailed, nil, "SIZE", `a\x1b.log: not a bundle`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			code, out, errs := runMain(t, append([]string{"ls"}, tt.args...)...)
			if code != tt.code {
				t.Errorf("exit code %d, want %d", code, tt.code)
			}
			for _, want := range tt.out {
				if !strings.Contains(out, want) {
					t.Errorf("output\n%s\nwant %q in it", out, want)
				}
			}
			if tt.not != "" && strings.Contains(out, tt.not) {
				t.Errorf("output\n%s\nwant no %q in it", out, tt.not)
			}
			if !strings.Contains(errs, tt.errs) || (tt.errs == "" && errs != "") || strings.Contains(errs, "\x1b") {
				t.Errorf("errors %q, want %q", errs, tt.errs)
			}
		})
	}
}

func TestLsProblems(t *testing.T) {
	var b bytes.Buffer
	z := zip.NewWriter(&b)
	for name, text := range map[string]string{"../evil\x1b": "x", "manifest.json": `{"format":1,"files":[{"name":"gone","size":1}]}`} {
		w, err := z.Create(name)
		if err != nil {
			t.Fatal(err)
		}
		io.WriteString(w, text)
	}
	z.Close()
	path := writeFile(t, "n.zip", b.Bytes())
	code, out, errs := runMain(t, "ls", path, "-o", "json")
	var got listing
	if err := json.Unmarshal([]byte(out), &got); err != nil {
		t.Fatal(err)
	}
	if code != exitIncomplete || len(got.Problems) != 2 || len(got.Files) != 1 || got.Files[0].Name != "manifest.json" {
		t.Errorf("exit code %d, %+v", code, got)
	}
	if !strings.Contains(errs, `"../evil\x1b" is not offered`) || !strings.Contains(errs, `"gone" is missing`) {
		t.Errorf("errors %q", errs)
	}
}

func TestLsFormats(t *testing.T) {
	path, _ := testBundle(t)
	code, out, _ := runMain(t, "ls", path, "-o", "json", "journal/kubelet.log")
	var got listing
	if err := json.Unmarshal([]byte(out), &got); err != nil || code != exitDone {
		t.Fatalf("exit code %d, %v in %s", code, err, out)
	}
	want := listedFile{
		Name: "journal/kubelet.log", Size: 12, Modified: time.Date(2026, 3, 4, 5, 0, 0, 0, time.UTC),
		CutFront: 2048, Masked: 3, SHA256: "abc", Source: "journalctl -u kubelet",
	}
	if got.RunID != "2026-03-04T05-06-07Z" || len(got.Files) != 1 || got.Files[0] != want {
		t.Errorf("got %+v, want %+v", got, want)
	}
	code, out, _ = runMain(t, "ls", path, "-o", "yaml", "os")
	if code != exitDone || !strings.Contains(out, `- name: "os/esc\e[2J\u202e.txt"`) || !strings.HasPrefix(out, "runID: 2026-03-04T05-06-07Z\nnode: node-1\n") {
		t.Errorf("exit code %d, %s", code, out)
	}
}

func TestLsURLHidesTheSignature(t *testing.T) {
	_, data := testBundle(t)
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/n.zip" || r.URL.RawQuery != "sig=SECRET" {
			http.NotFound(w, r)
			return
		}
		http.ServeContent(w, r, "n.zip", time.Time{}, bytes.NewReader(data))
	}))
	defer srv.Close()
	if code, out, errs := runMain(t, "ls", srv.URL+"/n.zip?sig=SECRET"); code != exitDone || !strings.Contains(out, "kubelet.log") || errs != "" {
		t.Errorf("exit code %d, %q, %q", code, out, errs)
	}
	code, out, errs := runMain(t, "ls", srv.URL+"/other.zip?sig=SECRET")
	if code != exitFailed || !strings.Contains(errs, "404 Not Found") || strings.Contains(out+errs, "SECRET") {
		t.Errorf("exit code %d, %q, %q", code, out, errs)
	}
}
