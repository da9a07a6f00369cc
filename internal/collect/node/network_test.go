package node

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"path/filepath"
	"reflect"
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

// A case has what netlink tells in netlink.json; without it netlink fails.
func TestNetwork(t *testing.T) {
	cases, err := filepath.Glob("testdata/network/*.txtar")
	if err != nil || len(cases) == 0 {
		t.Fatalf("no cases (%v)", err)
	}
	for _, name := range cases {
		collecttest.Run(t, name, networkFrom(recordedNetlink(t, name)))
	}
}

func recordedNetlink(t *testing.T, name string) networkSource {
	archive, err := txtar.ParseFile(name)
	if err != nil {
		t.Fatal(err)
	}
	i := slices.IndexFunc(archive.Files, func(f txtar.File) bool { return f.Name == "netlink.json" })
	if i < 0 {
		return brokenNetlink(func() error { return errors.New("no buffer space available") })
	}
	var r struct {
		Links      []networkLink
		Routes     []networkRoute
		Rules      []networkRule
		Neighbours []networkNeighbour
	}
	if err := json.Unmarshal(archive.Files[i].Data, &r); err != nil {
		t.Fatalf("%s: netlink.json: %v", name, err)
	}
	var addresses []networkAddress
	for i, l := range r.Links {
		for _, a := range l.Addresses {
			a.Link = l.Index
			addresses = append(addresses, a)
		}
		r.Links[i].Addresses = nil
	}
	return networkSource{networkItems(r.Links), networkItems(addresses), networkItems(r.Routes), networkItems(r.Rules), networkItems(r.Neighbours)}
}

func networkItems[T any](list []T) func(func(T) bool) error {
	return func(yield func(T) bool) error {
		for _, item := range list {
			if !yield(item) {
				break
			}
		}
		return nil
	}
}

// brokenNetlink ends every list as end does.
func brokenNetlink(end func() error) networkSource {
	return networkSource{
		links:      func(func(networkLink) bool) error { return end() },
		addresses:  func(func(networkAddress) bool) error { return end() },
		routes:     func(func(networkRoute) bool) error { return end() },
		rules:      func(func(networkRule) bool) error { return end() },
		neighbours: func(func(networkNeighbour) bool) error { return end() },
	}
}

func TestNetworkHere(t *testing.T) {
	fs, err := host.Open("/")
	if err != nil {
		t.Skip(err) // not Linux
	}
	res, files := collecttest.Collect(t, &collect.Env{Host: fs}, networkCollector())
	if res.State != "ok" {
		t.Fatalf("%s: %s", res.State, res.Reason)
	}
	if links := string(files["ip-addr.txt"]); !strings.Contains(links, "1: lo: <LOOPBACK") || !strings.Contains(links, "type device") {
		t.Errorf("no loopback link by netlink:\n%s", links)
	}
}

// A driver that hangs with the lock of all links held must not hang the collector.
func TestNetworkHungNetlink(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		release := make(chan struct{})
		defer close(release)
		h := hosttest.FromTxtar(t, &txtar.Archive{Files: []txtar.File{{Name: "host/proc/1/net/dev", Data: []byte("lo: 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16\n")}}})
		start := time.Now()
		res, files := collecttest.Collect(t, &collect.Env{Host: h}, networkFrom(brokenNetlink(func() error { <-release; return nil })))
		if took, want := time.Since(start), networkHangMost*networkHangWait; res.State != "ok" || took != want {
			t.Errorf("%s %s after %v; want ok after %v", res.State, res.Reason, took, want)
		}
		notes := strings.Join(res.Notes, "\n")
		if strings.Count(notes, errHung.Error()) != networkHangMost || strings.Count(notes, errGaveUp.Error()) != 3 {
			t.Errorf("notes: %s", notes)
		}
		if got := string(files["ip-addr.txt"]); !strings.Contains(got, "lo:") {
			t.Errorf("no links from /proc/net/dev: %q", got)
		}
	})
}

func TestNetworkCaps(t *testing.T) {
	routes := func(yield func(networkRoute) bool) error {
		for i := range maxNetworkRoutes + 5 {
			yield(networkRoute{Family: "inet", Table: fmt.Sprint(i), Type: "unicast", Destination: "default"})
		}
		return nil
	}
	links := func(yield func(networkLink) bool) error {
		for i := range maxNetworkLinks + 3 {
			yield(networkLink{Index: i + 1, Name: fmt.Sprint("veth", i)})
		}
		return nil
	}
	addresses := func(yield func(networkAddress) bool) error {
		yield(networkAddress{Link: 1, Address: "192.0.2.1/32"})
		yield(networkAddress{Link: maxNetworkLinks + 2, Address: "192.0.2.2/32"})
		return nil
	}
	source := networkSource{
		links: links, addresses: addresses, routes: routes,
		rules: networkItems[networkRule](nil), neighbours: networkItems[networkNeighbour](nil),
	}
	h := hosttest.FromTxtar(t, &txtar.Archive{})
	res, files := collecttest.Collect(t, &collect.Env{Host: h}, networkFrom(source))
	var r networkReport
	if err := json.Unmarshal(files["network.json"], &r); err != nil {
		t.Fatalf("%s %s: %v", res.State, res.Reason, err)
	}
	got := []int{r.Routes.Total, r.Routes.Listed, len(r.Routes.Defaults), len(r.Routes.ByTable["inet"]), len(r.Links), r.LinksNotListed, r.AddressesNotListed}
	want := []int{maxNetworkRoutes + 5, maxNetworkRoutes, maxNetworkDefaults, 1001, maxNetworkLinks, 3, 1}
	if !slices.Equal(got, want) {
		t.Errorf("got %v; want %v", got, want)
	}
	if n := strings.Count(string(files["routes.jsonl"]), "\n"); n != maxNetworkRoutes {
		t.Errorf("routes.jsonl has %d lines; want %d", n, maxNetworkRoutes)
	}
}

func TestNetworkEach(t *testing.T) {
	boom := errors.New("boom")
	for _, c := range []struct {
		name string
		list func(func(int) bool) error
		fn   func(int) error
		want string
		sum  int
	}{
		{"all", networkItems([]int{1, 2, 3}), nil, "<nil>", 6},
		{"fails after some", func(yield func(int) bool) error { yield(5); return boom }, nil, "boom", 5},
		{"panics after some", func(yield func(int) bool) error { yield(5); panic("bad message") }, nil, "panic: bad message", 5},
		{"taker fails", networkItems(make([]int, 1000)), func(int) error { return boom }, "boom", 0},
	} {
		sum := 0
		fn := c.fn
		if fn == nil {
			fn = func(i int) error { sum += i; return nil }
		}
		err := networkEach(t.Context(), &hangGuard{wait: time.Minute, most: 1}, c.list, fn)
		if fmt.Sprint(err) != c.want || sum != c.sum {
			t.Errorf("%s: got %v, sum %d; want %s, sum %d", c.name, err, sum, c.want, c.sum)
		}
	}
}

func TestParseNetworkSocket(t *testing.T) {
	line := "   7: 0000000000000000FFFF00000100007F:0050 B80D0120000000000000000001000000:C350 01 00000010:00000020 02:000003E8 00000000  1000        0 424242 2 0 20 4 30 10 -1\n"
	got, err := parseNetworkSocket([]byte(line))
	want := networkSocket{
		local: netip.MustParseAddrPort("[::ffff:127.0.0.1]:80"), remote: netip.MustParseAddrPort("[2001:db8::1]:50000"), state: 1,
		sendQueue: 16, receiveQueue: 32, uid: 1000, inode: 424242,
	}
	if err != nil || got != want {
		t.Errorf("got %+v, %v; want %+v", got, err, want)
	}
}

func TestNetworkInsert(t *testing.T) {
	var list []networkListener
	for i := range maxNetworkListeners + 100 {
		list = networkInsert(list, networkListener{port: uint16(i), Local: fmt.Sprint(i)})
	}
	list = networkInsert(list, networkListener{port: 60000, ReceiveQueue: 3})
	if n := len(list); n != maxNetworkListeners || list[0].port != 60000 || list[n-1].port != maxNetworkListeners-2 {
		t.Errorf("got %d from port %d to %d; want the longest queue first, then the lowest ports", n, list[0].port, list[n-1].port)
	}
}

func FuzzParseNetwork(f *testing.F) {
	f.Add([]byte("Ip: A B\nIp: 1 -2\nTcp: A\n"))
	f.Add([]byte("Ip6InReceives \t12\n"))
	f.Add([]byte("TCP: inuse 1 mem 2\n"))
	f.Add([]byte("0000a000 00000003 00000010\n"))
	f.Add([]byte("entries drop\n00000007 00000001\n"))
	f.Add([]byte("  eth0:1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16\n"))
	f.Add([]byte("0: 0100007F:0035 00000000:0000 0A 00000000:00000001 00:00000000 00000000 101 0 12345 1\n"))
	f.Add([]byte("Bonding Mode: x\nSlave Interface: a\nMII Status: up\nLink Failure Count: 3\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		for _, parse := range []func([]byte) (any, int){
			networkAnyParser(parseNetworkCounters), networkAnyParser(parseNetworkSNMP6), networkAnyParser(parseNetworkSockstat),
			networkAnyParser(parseNetworkSoftnet), networkAnyParser(parseNetworkConntrack), networkAnyParser(parseNetworkDevices),
		} {
			again, n := parse(data)
			if once, m := parse(data); n != m || n < 0 || !reflect.DeepEqual(once, again) {
				t.Errorf("%v, %d, then %v, %d", again, n, once, m)
			}
		}
		parseNetworkBond(data)
		r := networkReport{Sockets: map[string]*networkSockets{}}
		r.Links, _ = parseNetworkDevices(data)
		if s, err := parseNetworkSocket(data); err == nil {
			n := &networkSockets{ByState: map[string]int{}}
			r.Sockets["tcp"] = n
			l, _ := n.add("tcp", s)
			r.Listeners = networkInsert(nil, l)
		}
		networkLinkTable(r.Links)
		networkSocketTable(&r)
	})
}

func networkAnyParser[T any](parse func([]byte) (T, int)) func([]byte) (any, int) {
	return func(data []byte) (any, int) { return parse(data) }
}
