package cli

import (
	"archive/zip"
	"bytes"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// planted are secrets of every kind that a bundle must not hold. LEAK marks the part that
// must be gone; it is replaced by other letters to make more secrets of the same kind.
var planted = []string{
	`Authorization: Bearer LEAKLEAKLEAKLEAKLEAKLEAK`,
	`curl -H "Authorization: Basic TEVBSzpMRUFLTEVBS0xFQUs="`,
	`token eyJhbGciOiJSUzI1NiIsImtpZCI6IkxFQUsifQ.eyJpc3MiOiJMRUFLTEVBS0xFQUsifQ.LEAKLEAKLEAKLEAKLEAKLEAKLEAKLEAK`,
	`https://acct.blob.core.windows.net/c?sv=2024-01-01&ss=b&srt=sco&sp=rl&sig=LEAKLEAKLEAKLEAKLEAK%2FLEAKLEAKLEAK%3D`,
	`DefaultEndpointsProtocol=https;AccountName=acct;AccountKey=LEAKLEAKLEAKLEAKLEAKLEAKLEAKLEAKLEAKLEAKLEAKLEAKLEAKLEAKLEAKLEAKLEAKLEAKLEAKLEA==;EndpointSuffix=core.windows.net`,
	`Endpoint=sb://x.servicebus.windows.net/;SharedAccessKeyName=Root;SharedAccessKey=LEAKLEAKLEAKLEAKLEAKLEAKLEAKLEAKLEAKLEAKLEA=`,
	`Server=tcp:db;User ID=sa;Password=LEAK-passw0rd;Encrypt=True`,
	`password=LEAK-passw0rd`,
	`passwd: LEAK-passw0rd`,
	`pwd=LEAK-passw0rd`,
	`DB_PASSWORD=LEAK-passw0rd`,
	`secret: LEAK-secret-value`,
	`AZURE_CLIENT_SECRET=LEAK~secret.value`,
	`{"client_secret":"LEAK-secret-value"}`,
	`{"msg":"{\"apiKey\":\"LEAK-key-value\",\"n\":1}"}`,
	`{"a":"{\"b\":\"{\\\"password\\\":\\\"LEAK-nested\\\"}\"}"}`,
	`apiKey: LEAK-key-value`,
	`export MY_TOKEN=LEAK-token-value`,
	`postgres://user:LEAK-passw0rd@db:5432/app`,
	`aws_access_key_id = AKIALEAKLEAKLEAKLEAK`,
	`aws_secret_access_key = LEAKLEAK/LEAKLEAKLEAKLEAKLEAKLEAKLEAKLEA`,
	`key=AIzaLEAKLEAKLEAKLEAKLEAKLEAKLEAKLEAKLEA`,
	`ghp_LEAKLEAKLEAKLEAKLEAKLEAKLEAKLEAKLEAK`,
	`xoxb-1234567890-1234567890-LEAKLEAKLEAKLEAK`,
	`kubelet --bootstrap-token=abcdef.leakleakleakleak --v=2`,
	`helper --token LEAK-token-value --v=2`,
	`client-key-data: TEFLTEVBS0xFQUtMRUFLTEVBS0xFQUtMRUFLTEVBSw==`,
	`{"auths":{"registry.example":{"auth":"TEVBSzpMRUFLTEVBS0xFQUs="}}}`,
	`{"aadClientId":"id","aadClientSecret":"LEAK-secret-value"}`,
	"-----BEGIN RSA PRIVATE KEY-----\nLEAKLEAKLEAKLEAKLEAKLEAKLEAKLEAKLEAKLEAKLEAKLEAKLEAKLEAKLEAKLEAK\nLEAKLEAK\n-----END RSA PRIVATE KEY-----",
	`"-----BEGIN PRIVATE KEY-----\nLEAKLEAKLEAKLEAKLEAKLEAKLEAKLEAK\n-----END PRIVATE KEY-----\n"`,
}

// leaks are what must not be in a bundle, in the encodings of planted.
var leaks = []string{"LEAK", "leakleak", "TEVBS", "TEFLTEVB", "IkxFQUsi", "JMRUFL"}

func TestNoPlantedSecretIsInTheBundle(t *testing.T) {
	dir := t.TempDir()
	secrets := strings.Join(planted, "\n") + "\n"
	hostFile(t, dir, "proc/sys/kernel/hostname", "node-1\n")
	hostFile(t, dir, "var/log/syslog", secrets)
	hostFile(t, dir, "etc/os-release", secrets)
	hostFile(t, dir, "proc/cmdline", "quiet password=LEAK-passw0rd\n")
	hostFile(t, dir, "var/log/pods/ns_pod_uid/app/0.log", criLines(secrets))
	hostFile(t, dir, "var/log/pods/ns_pod_uid/docker/0.log", fmt.Sprintf("{\"log\":%q,\"stream\":\"stdout\",\"time\":\"2026-01-01T00:00:00Z\"}\n", secrets))
	hostFile(t, dir, "var/log/cloud-init.log", longLine(100<<20))
	hostFile(t, dir, "var/log/waagent.log", acrossBoundaries(3<<20))

	var out, errs bytes.Buffer
	code := Main(t.Context(), []string{"periscope", "collect", "--local", "--host-root", dir, "--dir", filepath.Join(dir, "out"), "--skip", "processes,disks,network"}, Streams{nil, &out, &errs})
	if code != exitDone {
		t.Fatalf("exit code %d\n%s%s", code, &out, &errs)
	}
	path := collectedZip(t, dir)
	raw, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	noLeak(t, "the bytes of the zip", raw)
	noLeak(t, "the summary", append(out.Bytes(), errs.Bytes()...))
	files := unzip(t, path)
	for name, data := range files {
		noLeak(t, name, data)
	}
	for _, name := range []string{"nodelogs/var_log_syslog", "nodelogs/var_log_cloud-init.log", "nodelogs/var_log_waagent.log", "podlogs/ns_pod_uid/app/0.log"} {
		if len(files[name]) == 0 {
			t.Errorf("%s was not collected", name)
		}
	}
}

// collectedZip is the one bundle of node-1 below dir/out.
func collectedZip(t *testing.T, dir string) string {
	t.Helper()
	zips, err := filepath.Glob(filepath.Join(dir, "out/*/node-1/node-1.zip"))
	if err != nil || len(zips) != 1 {
		t.Fatal(zips, err)
	}
	return zips[0]
}

// unzip returns all files of an archive by name, read by archive/zip.
func unzip(t *testing.T, path string) map[string][]byte {
	t.Helper()
	z, err := zip.OpenReader(path)
	if err != nil {
		t.Fatal(err)
	}
	defer z.Close()
	files := map[string][]byte{}
	for _, f := range z.File {
		in, err := f.Open()
		if err != nil {
			t.Fatal(err)
		}
		if files[f.Name], err = io.ReadAll(in); err != nil {
			t.Fatalf("%s: %v", f.Name, err)
		}
	}
	return files
}

func noLeak(t *testing.T, name string, data []byte) {
	t.Helper()
	for _, l := range leaks {
		if i := bytes.Index(data, []byte(l)); i >= 0 {
			t.Errorf("%s holds a secret: ...%q...", name, data[max(0, i-60):min(len(data), i+20)])
		}
	}
}

func hostFile(t *testing.T, root, name, text string) {
	t.Helper()
	path := filepath.Join(root, name)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

// criLines gives each line the prefix of a container's log.
func criLines(text string) string {
	var b strings.Builder
	for line := range strings.Lines(text) {
		b.WriteString("2026-01-01T00:00:00.000000000Z stdout F " + line)
	}
	return b.String()
}

// longLine is one line of n bytes with secrets all over it.
func longLine(n int) string {
	filler := strings.Repeat("the quick brown fox jumps over the lazy dog ", 1500)
	var b strings.Builder
	for i := 0; b.Len() < n; i++ {
		b.WriteString(filler[:len(filler)-i%977])
		b.WriteString(" " + strings.ReplaceAll(planted[i%29], "\n", " ") + " ")
	}
	return b.String() + "\n"
}

// acrossBoundaries puts secrets at every offset around the sizes in which files are read.
func acrossBoundaries(n int) string {
	var b strings.Builder
	for i := 0; b.Len() < n; i++ {
		next := (b.Len()/(4<<10) + 1) * (4 << 10)
		b.WriteString(strings.Repeat("x", max(1, next-b.Len()-i%70)) + "\n")
		b.WriteString(planted[i%len(planted)] + "\n")
	}
	return b.String()
}
