package node

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"os"
	"slices"
	"strings"

	"github.com/periscope-k8s/periscope/internal/collect"
)

func dnsCollector() collect.Collector {
	return dnsWith(dnsOwnFile)
}

// dnsWith is dnsCollector with another way to read the resolv.conf of the container that
// this process is in.
func dnsWith(own func(*collect.Env) ([]byte, error)) collect.Collector {
	return collect.Collector{
		Name: "dns",
		Doc:  "how names are resolved: resolv.conf of host and container, systemd-resolved, hosts, nsswitch, LocalDNS, from /etc and /run",
		Size: 8 << 20,
		Run: func(ctx context.Context, env *collect.Env, out collect.Output) error {
			return collectDNS(ctx, env, out, own)
		},
	}
}

const (
	dnsHostFile     = "/etc/resolv.conf"
	dnsUplinkFile   = "/run/systemd/resolve/resolv.conf"
	dnsStubFile     = "/run/systemd/resolve/stub-resolv.conf"
	dnsResolvedFile = "/etc/systemd/resolved.conf"
)

// dnsFacts is dns.json.
type dnsFacts struct {
	Files         []dnsFile           `json:"files"`                   // every resolv.conf that was read
	ContainerNote string              `json:"containerNote,omitempty"` // why there is no file "kubernetes"
	ResolvedStub  bool                `json:"systemdResolvedStub"`     // the host asks systemd-resolved on 127.0.0.53 or .54
	LocalDNS      bool                `json:"localDNS"`                // the host or systemd-resolved asks LocalDNS on 169.254.10.10 or .11
	Upstream      []string            `json:"upstream"`                // who answers the host in the end, as far as files tell
	Resolved      map[string][]string `json:"systemdResolved,omitempty"`
	Hosts         []string            `json:"nsswitchHosts,omitempty"` // the hosts line of nsswitch.conf
	Corefiles     []dnsCorefile       `json:"localDNSCorefiles,omitempty"`
}

// A dnsFile is a resolv.conf.
type dnsFile struct {
	Name string `json:"name"`           // in the bundle
	Path string `json:"path"`           // on the host, or in the container
	Link string `json:"link,omitempty"` // where the path leads, if it is a symlink
	dnsResolvConf
}

// A dnsCorefile is the configuration of LocalDNS.
type dnsCorefile struct {
	Path    string      `json:"path"`
	Servers []dnsServer `json:"servers"`
}

func collectDNS(ctx context.Context, env *collect.Env, out collect.Output, own func(*collect.Env) ([]byte, error)) error {
	s := &snapshot{ctx: ctx, env: env, out: out}
	facts := dnsFacts{Files: []dnsFile{}, Upstream: []string{}}
	s.dnsHost(&facts)
	s.dnsContainer(&facts, own)
	s.dnsResolved(&facts)
	facts.Hosts = snapshotParseOptional(s, "/etc/nsswitch.conf", parseDNSSwitch)
	s.optional("/etc/hosts")
	s.optional("/etc/gai.conf")
	for _, pattern := range []string{"/opt/azure/containers/localdns/*.corefile", "/etc/localdns/*"} {
		s.dnsCorefiles(&facts, pattern)
	}
	facts.judge()
	s.json("dns.json", facts)
	return s.end("no resolv.conf, hosts or nsswitch.conf could be read")
}

// dnsHost copies the host's file under the name that its readers know from AKS Periscope.
func (s *snapshot) dnsHost(facts *dnsFacts) {
	data, err := s.load(dnsHostFile, snapshotFile)
	s.missing(dnsHostFile, err)
	if err != nil && len(data) == 0 {
		return
	}
	s.keep("virtualmachine", dnsHostFile, data)
	s.dnsAdd(facts, "virtualmachine", dnsHostFile, data)
}

func (s *snapshot) dnsAdd(facts *dnsFacts, name, path string, data []byte) {
	conf, bad := parseDNSResolvConf(data)
	s.malformed(path, bad)
	f := dnsFile{Name: name, Path: path, dnsResolvConf: conf}
	if name != "kubernetes" {
		link, _ := s.env.Host.ReadLink(path)
		f.Link = snapshotText(link)
	}
	facts.Files = append(facts.Files, f)
}

// errDNSNoContainer: this process sees the host's files as its own.
var errDNSNoContainer = errors.New("not in a container: there is no resolv.conf but the host's")

// dnsOwnFile reads the resolv.conf that the container of this process has. It is the one
// source outside the host's root.
func dnsOwnFile(env *collect.Env) ([]byte, error) {
	if env.Host.Root() == "/" {
		return nil, errDNSNoContainer
	}
	f, err := os.Open(dnsHostFile)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return io.ReadAll(io.LimitReader(f, snapshotFile))
}

func (s *snapshot) dnsContainer(facts *dnsFacts, own func(*collect.Env) ([]byte, error)) {
	data, err := own(s.env)
	if err != nil {
		facts.ContainerNote = snapshotText(err.Error())
		if !errors.Is(err, errDNSNoContainer) {
			s.env.Log.Warn("read the container's resolv.conf", "err", err)
		}
		return
	}
	s.keep("kubernetes", "container:"+dnsHostFile, data)
	s.dnsAdd(facts, "kubernetes", dnsHostFile, data)
}

func (s *snapshot) dnsResolved(facts *dnsFacts) {
	for _, path := range []string{dnsUplinkFile, dnsStubFile} {
		if data := s.optional(path); len(data) > 0 {
			s.dnsAdd(facts, "raw"+path, path, data)
		}
	}
	facts.Resolved = map[string][]string{}
	for _, path := range append([]string{dnsResolvedFile}, s.glob(dnsResolvedFile+".d/*.conf")...) {
		bad := parseDNSResolved(s.optional(path), facts.Resolved)
		s.malformed(path, bad)
	}
}

func (s *snapshot) dnsCorefiles(facts *dnsFacts, pattern string) {
	const most = 64
	for _, path := range s.glob(pattern) {
		info, err := s.env.Host.Stat(path)
		if err != nil || !info.Mode().IsRegular() {
			continue
		}
		if len(facts.Corefiles) == most {
			s.env.Log.Warn("left out files", "pattern", pattern, "limit", fmt.Sprint(most))
			return
		}
		facts.Corefiles = append(facts.Corefiles, dnsCorefile{path, parseDNSCorefile(s.optional(path))})
	}
}

// judge follows the host's name servers from one local resolver to the next.
func (f *dnsFacts) judge() {
	servers := f.servers(dnsHostFile)
	if f.ResolvedStub = slices.ContainsFunc(servers, dnsIsStub); f.ResolvedStub {
		servers = f.servers(dnsUplinkFile)
	}
	if f.LocalDNS = slices.ContainsFunc(servers, dnsIsLocal); f.LocalDNS {
		servers = f.forwards(servers)
	}
	f.Upstream = append(f.Upstream, servers...)
}

// servers are the name servers that the host's file at path has.
func (f *dnsFacts) servers(path string) []string {
	for _, file := range f.Files {
		if file.Path == path && file.Name != "kubernetes" {
			return file.Nameservers
		}
	}
	return nil
}

// forwards are the servers that LocalDNS forwards to, over all zones, when it is asked on
// one of the addresses asked: it answers node and pods by different rules.
func (f *dnsFacts) forwards(asked []string) (all []string) {
	for _, file := range f.Corefiles {
		for _, server := range file.Servers {
			if len(server.Bind) == 0 || slices.ContainsFunc(server.Bind, func(b string) bool { return slices.Contains(asked, b) }) {
				all = append(all, server.Forward...)
			}
		}
	}
	slices.Sort(all)
	return slices.Compact(all)
}

func dnsIsStub(server string) bool {
	return dnsIn(server, "127.0.0.53", "127.0.0.54")
}

// dnsIsLocal knows the addresses of AKS LocalDNS:
// https://learn.microsoft.com/azure/aks/localdns-custom
func dnsIsLocal(server string) bool {
	return dnsIn(server, "169.254.10.10", "169.254.10.11")
}

// dnsIn reports whether server, which may have a port, is one of addresses.
func dnsIn(server string, addresses ...string) bool {
	if at, err := netip.ParseAddrPort(server); err == nil {
		server = at.Addr().String()
	}
	return slices.Contains(addresses, strings.TrimSpace(server))
}
