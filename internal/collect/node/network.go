package node

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"time"

	"github.com/periscope-k8s/periscope/internal/collect"
)

// Limits of the collector network.
const (
	networkHangWait    = 5 * time.Second // for the next answer of the kernel
	networkHangMost    = 2
	networkOutputBytes = 16 << 20
	networkListBytes   = 4 << 20 // of routes.jsonl; of neighbours.jsonl and of each table 2 MiB
	maxNetworkLinks    = 1000
	maxNetworkRoutes   = 20_000
	maxNetworkRules    = 2000
	maxNetworkNames    = 20_000
	maxNetworkDefaults = 64
	maxNetworkSockets  = 1_000_000 // lines read of one protocol
)

func networkCollector() collect.Collector { return networkFrom(newNetworkSource()) }

// networkFrom is the collector with links, addresses, routes, rules and neighbours from source.
func networkFrom(source networkSource) collect.Collector {
	return collect.Collector{
		Name: "network",
		Doc:  "links with counters, addresses, routes, rules and neighbours by netlink; sockets by state, listeners and protocol counters from /proc/net",
		Size: networkOutputBytes,
		Run: func(ctx context.Context, env *collect.Env, out collect.Output) error {
			c := networkCollection{
				snapshot: snapshot{ctx: ctx, env: env, out: out}, source: source,
				guard: hangGuard{wait: networkHangWait, most: networkHangMost}, names: map[int]string{},
			}
			return c.run()
		},
	}
}

// A networkReport is network.json. Routes and neighbours are listed in files of their own.
type networkReport struct {
	Folder             string                      `json:"folder"`                  // of procfs, whose network namespace the files tell of
	SameNamespace      *bool                       `json:"sameNamespace,omitempty"` // netlink tells of the host's; nil when unknown
	Links              []networkLink               `json:"links"`
	LinksNotListed     int                         `json:"linksNotListed,omitempty"`
	AddressesNotListed int                         `json:"addressesNotListed,omitempty"`
	LinksFrom          string                      `json:"linksFrom"` // netlink, or the file where netlink did not answer
	Routes             networkRouteCount           `json:"routes"`
	Rules              []networkRule               `json:"rules"`
	RulesNotListed     int                         `json:"rulesNotListed,omitempty"`
	Neighbours         networkNeighbourCount       `json:"neighbours"`
	Sockets            map[string]*networkSockets  `json:"sockets"` // by protocol
	Listeners          []networkListener           `json:"listeners"`
	ListenersNotListed int                         `json:"listenersNotListed,omitempty"`
	SocketStat         map[string]map[string]int64 `json:"socketStat"`
	Protocols          map[string]map[string]int64 `json:"protocols"` // by protocol and counter
	IPv6               map[string]int64            `json:"ipv6Counters,omitempty"`
	Softnet            []networkSoftnet            `json:"softnet"`
	Conntrack          map[string]uint64           `json:"conntrack,omitempty"` // summed up over CPUs
	Bonds              []networkBond               `json:"bonds,omitempty"`
}

// A networkRouteCount sums up routes.jsonl and what did not fit.
type networkRouteCount struct {
	Total    int                       `json:"total"`
	Listed   int                       `json:"listed"`
	ByTable  map[string]map[string]int `json:"byTable"`  // by family and table; those over 1,000 count as "other"
	Defaults []networkRoute            `json:"defaults"` // default routes, at most 64
}

// A networkNeighbourCount sums up neighbours.jsonl and what did not fit.
type networkNeighbourCount struct {
	Total   int                       `json:"total"`
	Listed  int                       `json:"listed"`
	ByState map[string]map[string]int `json:"byState"` // by family and state
}

type networkCollection struct {
	snapshot
	source networkSource
	guard  hangGuard
	names  map[int]string // of links, by index
	report networkReport
}

func (c *networkCollection) run() error {
	c.folder()
	c.links()
	c.counters()
	c.sockets()
	if c.found == 0 && len(c.report.Links) == 0 {
		return c.end("neither netlink nor /proc/net tells of a network")
	}
	c.routes()
	c.rules()
	c.neighbours()
	c.text("ip-addr.txt", networkLinkTable(c.report.Links))
	c.text("ip-rule.txt", networkRuleTable(c.report.Rules))
	c.text("ss-summary.txt", networkSocketTable(&c.report))
	c.err = errors.Join(c.err, context.Cause(c.ctx), writeJSON(c.out, "network.json", c.report))
	return c.err
}

func (c *networkCollection) text(name, content string) {
	if c.err == nil {
		c.err = collect.WriteFile(c.out, name, []byte(content))
	}
}

// folder chooses the files of the host's first process: they tell of the host's network
// namespace, wherever this process runs. It also finds out what netlink tells of.
func (c *networkCollection) folder() {
	c.report.Folder = "/proc/1/net"
	if _, err := c.env.Host.Stat(c.report.Folder + "/dev"); err != nil {
		c.report.Folder = "/proc/net"
	}
	first, err1 := c.env.Host.ReadLink("/proc/1/ns/net")
	own, err2 := c.env.Host.ReadLink("/proc/self/ns/net")
	if err1 != nil || err2 != nil {
		return // needs the right to trace the first process
	}
	same := first == own
	c.report.SameNamespace = &same
	if !same {
		c.env.Log.Warn("links, addresses, routes, rules and neighbours are not the host's: run with hostNetwork")
	}
}

// failed notes that what could not be listed, or not whole.
func (c *networkCollection) failed(what string, err error) {
	if err != nil && c.ctx.Err() == nil {
		c.env.Log.Warn("list "+what, "err", err)
	}
}

// counters reads the small files below /proc/net. A kernel without IPv6 has no snmp6, and
// one without connection tracking no nf_conntrack.
func (c *networkCollection) counters() {
	r, at := &c.report, c.report.Folder
	r.SocketStat = snapshotParse(&c.snapshot, at+"/sockstat", parseNetworkSockstat)
	for protocol, counters := range snapshotParseOptional(&c.snapshot, at+"/sockstat6", parseNetworkSockstat) {
		r.SocketStat[protocol] = counters
	}
	r.Protocols = snapshotParse(&c.snapshot, at+"/snmp", parseNetworkCounters)
	for protocol, counters := range snapshotParse(&c.snapshot, at+"/netstat", parseNetworkCounters) {
		r.Protocols[protocol] = counters
	}
	r.IPv6 = snapshotParseOptional(&c.snapshot, at+"/snmp6", parseNetworkSNMP6)
	r.Softnet = snapshotParse(&c.snapshot, at+"/softnet_stat", parseNetworkSoftnet)
	r.Conntrack = snapshotParseOptional(&c.snapshot, at+"/stat/nf_conntrack", parseNetworkConntrack)
	bonds, _ := c.env.Host.ReadDir(at+"/bonding", 64)
	for _, e := range bonds {
		bond := parseNetworkBond(c.optional(at + "/bonding/" + e.Name()))
		bond.Name = e.Name()
		r.Bonds = append(r.Bonds, bond)
	}
}

// sockets counts sockets line by line: there may be hundreds of thousands.
func (c *networkCollection) sockets() {
	c.report.Sockets, c.report.Listeners = map[string]*networkSockets{}, []networkListener{}
	for _, protocol := range []string{"tcp", "tcp6", "udp", "udp6"} {
		f, err := c.env.Host.Open(c.report.Folder + "/" + protocol)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err == nil {
			c.found++
			err = errors.Join(c.readSockets(f, protocol), f.Close())
		}
		c.failed(protocol+" sockets", err)
	}
}

func (c *networkCollection) readSockets(r io.Reader, protocol string) error {
	n := &networkSockets{ByState: map[string]int{}}
	c.report.Sockets[protocol] = n
	heading := true
	return eachLine(c.ctx, r, func(line []byte) {
		switch s, err := parseNetworkSocket(line); {
		case heading:
			heading = false
		case n.Total == maxNetworkSockets:
			n.Cut = true
		case err != nil:
			n.Malformed++
		default:
			if l, waits := n.add(protocol, s); waits {
				c.listener(l)
			}
		}
	})
}

func (c *networkCollection) listener(l networkListener) {
	if len(c.report.Listeners) == maxNetworkListeners {
		c.report.ListenersNotListed++
	}
	c.report.Listeners = networkInsert(c.report.Listeners, l)
}
