package node

import (
	"context"
	"fmt"
	"time"
)

// A networkSource lists what the kernel tells about the network namespace of this process.
// A function calls its argument for every item, until that returns false. Addresses are
// text as ip(8) shows it; devices are interface indexes.
type networkSource struct {
	links      func(func(networkLink) bool) error
	addresses  func(func(networkAddress) bool) error
	routes     func(func(networkRoute) bool) error
	rules      func(func(networkRule) bool) error
	neighbours func(func(networkNeighbour) bool) error
}

// A networkLink is a network interface. From procfs only its name and counters are known.
type networkLink struct {
	Index      int      `json:"index,omitempty"`
	Name       string   `json:"name"`
	AltNames   []string `json:"altNames,omitempty"`
	Alias      string   `json:"alias,omitempty"`
	Type       string   `json:"type,omitempty"` // kind of a virtual one: veth, bridge, vxlan, ...; else "device"
	MTU        int      `json:"mtu,omitempty"`
	Flags      []string `json:"flags,omitempty"`
	OperState  string   `json:"operState,omitempty"`
	MAC        string   `json:"mac,omitempty"`
	Master     int      `json:"masterIndex,omitempty"`
	MasterName string   `json:"master,omitempty"`
	Parent     int      `json:"parentIndex,omitempty"` // the peer of a veth, the lower device of a VLAN; perhaps of another namespace
	PeerNetns  *int     `json:"parentNamespaceID,omitempty"`
	QueueLen   int      `json:"txQueueLength,omitempty"`
	Queues     int      `json:"rxQueues,omitempty"`
	networkLinkCounters
	Addresses []networkAddress `json:"addresses,omitempty"`
}

// networkLinkCounters are the counters of a link since it was made.
// https://www.kernel.org/doc/html/latest/networking/statistics.html
type networkLinkCounters struct {
	RXBytes    uint64 `json:"rxBytes"`
	RXPackets  uint64 `json:"rxPackets"`
	RXErrors   uint64 `json:"rxErrors"`
	RXDropped  uint64 `json:"rxDropped"`
	RXMissed   uint64 `json:"rxMissed"`
	RXFIFO     uint64 `json:"rxFIFOErrors"`
	RXFrame    uint64 `json:"rxFrameErrors"`
	RXCRC      uint64 `json:"rxCRCErrors"`
	Multicast  uint64 `json:"multicast"`
	TXBytes    uint64 `json:"txBytes"`
	TXPackets  uint64 `json:"txPackets"`
	TXErrors   uint64 `json:"txErrors"`
	TXDropped  uint64 `json:"txDropped"`
	TXFIFO     uint64 `json:"txFIFOErrors"`
	TXCarrier  uint64 `json:"txCarrierErrors"`
	Collisions uint64 `json:"collisions"`
}

// A networkAddress is an address of a link.
type networkAddress struct {
	Link             int      `json:"-"`
	Family           string   `json:"family"`  // inet or inet6
	Address          string   `json:"address"` // with prefix length
	Peer             string   `json:"peer,omitempty"`
	Broadcast        string   `json:"broadcast,omitempty"`
	Scope            string   `json:"scope"`
	Label            string   `json:"label,omitempty"`
	Flags            []string `json:"flags,omitempty"`
	ValidSeconds     *int     `json:"validSeconds,omitempty"` // nil: for ever
	PreferredSeconds *int     `json:"preferredSeconds,omitempty"`
}

// A networkRoute is a line of routes.jsonl.
type networkRoute struct {
	Family      string           `json:"family"`
	Table       string           `json:"table"`       // main, local, default or a number
	Type        string           `json:"type"`        // unicast, local, blackhole, ...
	Destination string           `json:"destination"` // "default" or a prefix
	Gateway     string           `json:"gateway,omitempty"`
	Link        int              `json:"linkIndex,omitempty"`
	Device      string           `json:"device,omitempty"`
	Source      string           `json:"source,omitempty"`
	Protocol    string           `json:"protocol"`
	Scope       string           `json:"scope"`
	Metric      int              `json:"metric,omitempty"`
	MTU         int              `json:"mtu,omitempty"`
	Flags       []string         `json:"flags,omitempty"`
	NextHops    []networkNextHop `json:"nextHops,omitempty"`
	Encap       string           `json:"encapsulation,omitempty"`
}

// A networkNextHop is one way of a route that has several.
type networkNextHop struct {
	Gateway string   `json:"gateway,omitempty"`
	Link    int      `json:"linkIndex,omitempty"`
	Device  string   `json:"device,omitempty"`
	Weight  int      `json:"weight"`
	Flags   []string `json:"flags,omitempty"`
}

// A networkRule is a rule of the routing policy.
type networkRule struct {
	Family   string `json:"family"`
	Priority int    `json:"priority"`
	Selector string `json:"selector"` // as in ip rule: "from all fwmark 0x1/0xff iif eth0"
	Action   string `json:"action"`   // "lookup TABLE" or "goto PRIORITY"
}

// A networkNeighbour is a line of neighbours.jsonl.
type networkNeighbour struct {
	Family  string   `json:"family"`
	Address string   `json:"address"`
	Link    int      `json:"linkIndex"`
	Device  string   `json:"device,omitempty"`
	MAC     string   `json:"mac,omitempty"`
	States  []string `json:"states"`
	Flags   []string `json:"flags,omitempty"`
}

// A networkName is the name of a number, or of a bit.
type networkName struct {
	n    uint32
	name string
}

// networkNames returns the names of the bits that are set.
func networkNames(bits uint32, names []networkName) []string {
	var set []string
	for _, f := range names {
		if bits&f.n != 0 {
			set = append(set, f.name)
		}
	}
	return set
}

// networkNameOf returns the name of a number, or its digits.
func networkNameOf(n int, names []networkName) string {
	for _, f := range names {
		if int(f.n) == n {
			return f.name
		}
	}
	return fmt.Sprint(n)
}

// networkEach calls fn with every item that list gives. When the kernel gives nothing for
// longer than the guard waits, list is abandoned with its goroutine and errHung returned: a
// dump of links, for one, waits for a lock that a stuck driver may hold for ever.
func networkEach[T any](ctx context.Context, g *hangGuard, list func(func(T) bool) error, fn func(T) error) error {
	if g.hung >= g.most {
		return errGaveUp
	}
	items, done, stop := make(chan T, 64), make(chan error, 1), make(chan struct{})
	defer close(stop)
	go func() {
		defer close(items)
		defer func() {
			if p := recover(); p != nil {
				done <- fmt.Errorf("panic: %v", p)
			}
		}()
		done <- list(func(item T) bool {
			select {
			case items <- item:
				return true
			case <-stop:
				return false
			}
		})
	}()
	timer := time.NewTimer(g.wait)
	defer timer.Stop()
	for {
		select {
		case item, more := <-items:
			if !more {
				return <-done
			}
			if err := fn(item); err != nil {
				return err
			}
			timer.Reset(g.wait)
		case <-timer.C:
			g.hung++
			return errHung
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}
