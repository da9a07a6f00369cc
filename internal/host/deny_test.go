package host

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"math/big"
	"path"
	"strings"
	"testing"
	"time"
)

func TestDenied(t *testing.T) {
	for name, want := range map[string]bool{
		"/var/lib/kubelet/pods/9f1c/volumes/kubernetes.io~secret/tls/tls.crt":   true,
		"/var/lib/kubelet/pods/9f1c/volumes":                                    true,
		"/var/lib/kubelet/pods/9f1c/volume-subpaths/cfg/app/0":                  true,
		"/mnt/aks/kubelet/pods/9f1c/volumes/kubernetes.io~empty-dir/x":          true,
		"/host/var/lib/kubelet/pods/9f1c/volumes/x":                             true,
		"/var/lib/kubelet/pods/9f1c/etc-hosts":                                  false,
		"/var/lib/kubelet/pods/9f1c/containers/volumes/1":                       false,
		"/var/lib/kubelet/plugins/kubernetes.io/csi/disk/1/globalmount/db":      true,
		"/var/log/pods/ns_app_9f1c/volumes/0.log":                               false,
		"/var/log/pods/ns_app_9f1c/app/0.log":                                   false,
		"/var/log/containers/app_ns_app-1.log":                                  false,
		"/etc/kubernetes/certs/apiserver.key":                                   true,
		"/etc/kubernetes/certs/KUBELETSERVER.KEY":                               true,
		"/etc/kubernetes/certs/apiserver.crt":                                   false,
		"/etc/etcd/server-key.pem":                                              true,
		"/var/lib/kubelet/pki/kubelet-client-current.pem":                       true,
		"/var/lib/kubelet/pki/kubelet.crt":                                      false,
		"/var/lib/kubelet/config.yaml":                                          false,
		"/etc/kubernetes/sp.txt":                                                true,
		"/etc/kubernetes/azure.json":                                            false,
		"/etc/ssh/ssh_host_ed25519_key":                                         true,
		"/etc/ssh/ssh_host_ed25519_key.pub":                                     false,
		"/etc/ssh/sshd_config":                                                  false,
		"/etc/shadow":                                                           true,
		"/etc/shadow-":                                                          true,
		"/etc/gshadow":                                                          true,
		"/etc/passwd":                                                           false,
		"/root/.ssh/authorized_keys":                                            true,
		"/home/azureuser/.ssh/id_rsa":                                           true,
		"/var/lib/waagent/0A1B.prv":                                             true,
		"/var/lib/waagent/TransportPrivate.pem":                                 true,
		"/var/lib/waagent/Microsoft.Azure.CustomScript-2.1.1/config/0.settings": true,
		"/var/lib/waagent/CustomData":                                           true,
		"/var/lib/waagent/provisioned":                                          false,
		"/var/log/waagent.log":                                                  false,
		"/var/lib/cloud/instances/1/user-data.txt.i":                            true,
		"/var/lib/cloud/data/status.json":                                       false,
		"/var/lib/etcd/member/snap/db":                                          true,
		"/proc/1/environ":                                                       true,
		"/proc/1/task/7/environ":                                                true,
		"/proc/self/mem":                                                        true,
		"/proc/1/root/etc/hostname":                                             true,
		"/proc/1/cwd/file":                                                      true,
		"/proc/1/fd/3":                                                          true,
		"/proc/kcore":                                                           true,
		"/proc/kmsg":                                                            true,
		"/proc/1/status":                                                        false,
		"/proc/1/cmdline":                                                       false,
		"/proc/meminfo":                                                         false,
		"/proc/sys/fs/file-max":                                                 false,
		"/sys/kernel/tracing/trace_pipe":                                        true,
		"/":                                                                     false,
		"/pods/volumes":                                                         false,
		"/" + strings.Repeat("proc/", 1000) + "x":                               false,
		"/" + strings.Repeat("pods/", 1000) + "volumes":                         true,
		"/var/lib/kubelet/pods/\xff\xfe/volumes/\n":                             true,
	} {
		if got := denied(name); got != want {
			t.Errorf("denied(%.80q) = %v", name, got)
		}
	}
}

func TestOpenDenied(t *testing.T) {
	const volume = "var/lib/kubelet/pods/9f1c/volumes/kubernetes.io~secret/token"
	tree := newTree(t, map[string]string{
		volume + "/..data/token":                  "SECRET",
		volume + "/token -> ..data/token":         "",
		"var/log/direct -> /" + volume + "/token": "",
		"var/log/folder -> ../lib/kubelet/pods":   "",
		"var/log/hop -> direct":                   "",
		"etc/tls.key -> harmless":                 "",
		"etc/harmless":                            "",
		"etc/tls.crt -> tls.key":                  "",
		"etc/ssl.pem -> /etc/real.key":            "",
		"etc/real.key":                            "SECRET",
	})
	for _, name := range []string{
		"/" + volume + "/token",
		"/var/log/../lib/kubelet/pods/9f1c/volumes/kubernetes.io~secret/token/token",
		"/var/log/direct",
		"/var/log/hop",
		"/var/log/folder/9f1c/volumes/kubernetes.io~secret/token/token",
		"/etc/tls.key",
		"/etc/ssl.pem",
		"/etc/real.key",
	} {
		if file, err := tree.Open(name); !errors.Is(err, ErrDenied) {
			t.Errorf("Open(%s) = %v, %v, want ErrDenied", name, file, err)
		}
		if data, err := tree.ReadFile(name, 100); len(data) > 0 || !errors.Is(err, ErrDenied) {
			t.Errorf("ReadFile(%s) = %q, %v, want ErrDenied", name, data, err)
		}
		if _, err := tree.Stat(name); err != nil {
			t.Errorf("Stat(%s) = %v: what is denied can be seen", name, err)
		}
	}
	if entries, err := tree.ReadDir("/"+volume, 0); len(entries) != 2 || err != nil {
		t.Errorf("ReadDir = %v, %v", entries, err)
	}
	if found, err := tree.Glob("/" + volume + "/t*"); len(found) != 1 || err != nil {
		t.Errorf("Glob = %v, %v", found, err)
	}
	// A name is denied for itself and for where it leads, not for what lies between.
	if _, err := tree.Open("/etc/tls.crt"); err != nil {
		t.Errorf("Open(tls.crt) = %v", err)
	}
}

// newCertificate returns a certificate and its key, as PEM.
func newCertificate(t testing.TB, name string) (certificate, key string) {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1),
		Subject:      pkix.Name{CommonName: name},
		NotAfter:     time.Date(2030, 1, 1, 0, 0, 0, 0, time.UTC),
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, private.Public(), private)
	if err != nil {
		t.Fatal(err)
	}
	keyDER, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	encode := func(kind string, der []byte) string {
		return string(pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}))
	}
	return encode("CERTIFICATE", der), encode("PRIVATE KEY", keyDER)
}

func TestCertificates(t *testing.T) {
	one, key := newCertificate(t, "one")
	two, _ := newCertificate(t, "two")
	broken := "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"
	tree := newTree(t, map[string]string{
		"var/lib/kubelet/pki/kubelet-client-1.pem":                               one + key + "text\n" + two,
		"var/lib/kubelet/pki/kubelet-client-current.pem -> kubelet-client-1.pem": "",
		"etc/key-first.pem":                    key + one,
		"etc/broken.pem":                       broken + one,
		"etc/cut.pem":                          one + two[:len(two)/2],
		"etc/cut-before-key.pem":               one[:len(one)/2] + key,
		"etc/tls.key":                          key,
		"etc/large.pem":                        strings.Repeat("x", maxCertificates) + one,
		"etc/empty.pem":                        "",
		"var/lib/kubelet/pods/1/volumes/a.crt": one,
		"var/lib/waagent/TransportCert.pem":    one,
	})
	for _, test := range []struct {
		name string
		want string
		err  bool
	}{
		{"/var/lib/kubelet/pki/kubelet-client-current.pem", "one two", false},
		{"/etc/key-first.pem", "one", false},
		{"/etc/broken.pem", "one", true},
		{"/etc/cut.pem", "one", true},
		{"/etc/cut-before-key.pem", "", true},
		{"/etc/tls.key", "", true},
		{"/etc/large.pem", "", true},
		{"/etc/empty.pem", "", true},
		{"/etc/missing.pem", "", true},
		{"/var/lib/kubelet/pods/1/volumes/a.crt", "", true},
		{"/var/lib/waagent/TransportCert.pem", "one", false},
	} {
		certificates, err := tree.Certificates(test.name)
		var got []string
		for _, c := range certificates {
			got = append(got, c.Subject.CommonName)
		}
		if strings.Join(got, " ") != test.want || (err != nil) != test.err {
			t.Errorf("Certificates(%s) = %v, %v, want %q", test.name, got, err, test.want)
		}
		if err != nil && strings.Contains(err.Error(), "PRIVATE") {
			t.Errorf("Certificates(%s) = %v", test.name, err)
		}
	}
}

func FuzzCertificates(f *testing.F) {
	one, key := newCertificate(f, "one")
	f.Add([]byte(one + key))
	f.Add([]byte(key + one[:100] + one))
	f.Add([]byte("-----BEGIN CERTIFICATE-----\nA: b\n\n-----END CERTIFICATE-----\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		certificates, err := parseCertificates(data)
		if len(certificates) == 0 && err == nil {
			t.Error("neither certificates nor an error")
		}
		for _, c := range certificates {
			if c == nil {
				t.Error("nil certificate")
			}
		}
	})
}

// FuzzOpen checks that neither a name nor a symlink leads to the content of a denied file.
func FuzzOpen(f *testing.F) {
	secret := []byte("SECRET")
	files := map[string]string{
		"var/log/syslog":                          "harmless",
		"lib -> var/lib":                          "",
		"var/log/up -> ../../../..":               "",
		"var/log/pods/a_b_c/x/0.log":              "harmless",
		"k -> /var/lib/kubelet/pods/9f1c/../9f1c": "",
	}
	for _, name := range []string{
		"etc/shadow", "etc/Shadow-", "etc/ssh/ssh_host_rsa_key", "root/.ssh/id_rsa", "etc/tls.key", "etc/a-key.pem",
		"var/lib/kubelet/pods/9f1c/volumes/s/t", "var/lib/kubelet/pods/9f1c/volume-subpaths/s/t",
		"var/lib/kubelet/pki/client.pem", "var/lib/waagent/x.prv", "proc/1/environ", "proc/1/root/etc/hosts",
	} {
		files[name] = string(secret)
		f.Add("/"+name, "/"+name)
		f.Add("/var/log/up/"+name, "../../"+name)
		f.Add("/"+path.Base(name)+"/../"+name, strings.ToUpper(name))
	}
	f.Add("/k/volumes/s/t", "/k/volumes/s")
	f.Add("/lib/kubelet/pods/9f1c/volumes/s/t (deleted)", "a\x00b")
	f.Add("/var/log/link/9f1c/volumes/s/t", "/lib/kubelet/pods")
	tree := newTree(f, files)
	f.Fuzz(func(t *testing.T, name, target string) {
		if cleaned, err := clean(name); err == nil && (!path.IsAbs(cleaned) || path.Clean(cleaned) != cleaned) {
			t.Fatalf("clean(%q) = %q", name, cleaned)
		}
		tree := linked(t, tree, target)
		for _, name := range []string{name, "/link", "/link" + name} {
			if data, err := tree.ReadFile(name, 100); bytes.Contains(data, secret) {
				t.Errorf("ReadFile(%q) with /link -> %q = %q, %v", name, target, data, err)
			}
		}
	})
}
