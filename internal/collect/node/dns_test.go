package node

import (
	"errors"
	"io/fs"
	"reflect"
	"slices"
	"testing"

	"github.com/periscope-k8s/periscope/internal/collect"
	"github.com/periscope-k8s/periscope/internal/collect/collecttest"
	"github.com/periscope-k8s/periscope/internal/host"
)

// TestDNS takes /container/etc/resolv.conf of a case as the container's own file; without
// it the case is a process outside of containers.
func TestDNS(t *testing.T) {
	own := func(env *collect.Env) ([]byte, error) {
		data, err := env.Host.ReadFile("/container/etc/resolv.conf", snapshotFile)
		if errors.Is(err, fs.ErrNotExist) {
			err = errDNSNoContainer
		}
		return data, err
	}
	collecttest.Run(t, "testdata/dns/*.txtar", dnsWith(own))
}

func TestDNSOwnFile(t *testing.T) {
	root, err := host.Open("/")
	if err != nil {
		t.Fatal(err)
	}
	if data, err := dnsOwnFile(&collect.Env{Host: root}); !errors.Is(err, errDNSNoContainer) || data != nil {
		t.Errorf("on the host itself: got %q, %v, want %v", data, err, errDNSNoContainer)
	}
}

func TestParseDNSResolvConf(t *testing.T) {
	const data = "# c\n; c\nnameserver 10.0.0.10\nnameserver fe80::1%eth0\ndomain a.b c\nsearch x y\noptions ndots:5 edns0\noptions rotate\nsortlist 1.2.3.4\nnameserver\nnameserver bad\nwhat\n"
	got, bad := parseDNSResolvConf([]byte(data))
	want := dnsResolvConf{[]string{"10.0.0.10", "fe80::1%eth0", "bad"}, []string{"x", "y"}, []string{"ndots:5", "edns0", "rotate"}}
	if !reflect.DeepEqual(got, want) || bad != 3 {
		t.Errorf("got %+v, %d malformed, want %+v, 3", got, bad, want)
	}
}

func TestParseDNSSwitch(t *testing.T) {
	got, bad := parseDNSSwitch([]byte("# c\npasswd: files systemd\nhosts:  files dns [!UNAVAIL=return] # x\nwhat\n"))
	if want := []string{"files", "dns", "[!UNAVAIL=return]"}; !slices.Equal(got, want) || bad != 1 {
		t.Errorf("got %q, %d malformed, want %q, 1", got, bad, want)
	}
}

func TestParseDNSResolved(t *testing.T) {
	settings := map[string][]string{}
	bad := parseDNSResolved([]byte("[Resolve]\n#DNS=1.1.1.1\nDNS=10.0.0.1 10.0.0.2\nDNSSEC=yes\nwhat\n"), settings)
	bad += parseDNSResolved([]byte("[Resolve]\nDNS=10.0.0.3\nDNSSEC=no\n"), settings)
	want := map[string][]string{"DNS": {"10.0.0.1", "10.0.0.2", "10.0.0.3"}, "DNSSEC": {"no"}}
	if !reflect.DeepEqual(settings, want) || bad != 1 {
		t.Errorf("got %v, %d malformed, want %v, 1", settings, bad, want)
	}
	parseDNSResolved([]byte("DNS=\nDNS=10.0.0.4\n"), settings)
	if got, want := settings["DNS"], []string{"10.0.0.4"}; !slices.Equal(got, want) {
		t.Errorf("after an empty value: got %v, want %v", got, want)
	}
}

func TestParseDNSCorefile(t *testing.T) {
	const data = `# comment {
.:53 cluster.local:53 {
    errors
    bind 169.254.10.10
    forward . 168.63.129.16 10.1.0.4 {
        policy sequential
        bind 9.9.9.9
    }
    cache 3600 {
        success 9984
    }
}
}
(snippet) {
    forward .
}
`
	want := []dnsServer{
		{Zones: []string{".:53", "cluster.local:53"}, Bind: []string{"169.254.10.10"}, Forward: []string{"168.63.129.16", "10.1.0.4"}},
		{Zones: []string{"(snippet)"}},
	}
	if got := parseDNSCorefile([]byte(data)); !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v, want %+v", got, want)
	}
}

func TestDNSIn(t *testing.T) {
	for server, want := range map[string]bool{
		"127.0.0.53": true, "127.0.0.54:53": true, "127.0.0.1": false, "x": false, "": false, "127.0.0.530": false,
	} {
		if got := dnsIsStub(server); got != want {
			t.Errorf("dnsIsStub(%q) = %v, want %v", server, got, want)
		}
	}
}

func FuzzParseDNS(f *testing.F) {
	f.Add([]byte("nameserver 10.0.0.10\nsearch a b\noptions x\ndomain\nhosts: files dns\n[Resolve]\nDNS=\n"))
	f.Add([]byte(".:53 {\n bind 169.254.10.10\n forward . 1.2.3.4 {\n }\n}\n}\n{\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		parseDNSSwitch(data)
		parseDNSResolved(data, map[string][]string{})
		conf, _ := parseDNSResolvConf(data)
		facts := dnsFacts{
			Files:     []dnsFile{{Path: dnsHostFile, dnsResolvConf: conf}, {Path: dnsUplinkFile, dnsResolvConf: conf}},
			Corefiles: []dnsCorefile{{Servers: parseDNSCorefile(data)}},
		}
		facts.judge()
		if len(facts.Upstream) > len(data) {
			t.Error("more servers than bytes")
		}
	})
}
