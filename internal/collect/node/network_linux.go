package node

import (
	"cmp"
	"errors"
	"fmt"
	"net"
	"net/netip"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"
)

// newNetworkSource asks the kernel by rtnetlink(7); reading needs no privilege.
func newNetworkSource() networkSource {
	return networkSource{netlinkLinks, netlinkAddresses, netlinkRoutes, netlinkRules, netlinkNeighbours}
}

// netlinkDump calls fn with every message of a dump.
func netlinkDump(request int, answer uint16, header nl.NetlinkRequestData, fn func([]byte) bool) error {
	req := nl.NewNetlinkRequest(request, unix.NLM_F_DUMP)
	req.AddData(header)
	return req.ExecuteIter(unix.NETLINK_ROUTE, answer, fn)
}

// netlinkFamilies calls list for IPv4 and IPv6. A kernel without one of them has nothing to list for it.
func netlinkFamilies(list func(family int) error) error {
	var errs []error
	for _, family := range []int{unix.AF_INET, unix.AF_INET6} {
		err := list(family)
		if errors.Is(err, unix.EAFNOSUPPORT) || errors.Is(err, unix.EOPNOTSUPP) {
			err = nil
		}
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}

func netlinkLinks(yield func(networkLink) bool) error {
	var bad error
	err := netlinkDump(unix.RTM_GETLINK, unix.RTM_NEWLINK, nl.NewIfInfomsg(unix.AF_UNSPEC), func(m []byte) bool {
		link, err := netlink.LinkDeserialize(nil, m)
		if err != nil {
			bad = err
			return true
		}
		return yield(netlinkLink(link))
	})
	return errors.Join(err, bad)
}

func netlinkLink(link netlink.Link) networkLink {
	a := link.Attrs()
	l := networkLink{
		Index: a.Index, Name: a.Name, AltNames: a.AltNames, Alias: a.Alias, Type: link.Type(), MTU: a.MTU,
		Flags:     networkNames(a.RawFlags, netlinkLinkFlags),
		OperState: a.OperState.String(), MAC: a.HardwareAddr.String(), Master: a.MasterIndex, Parent: a.ParentIndex,
		QueueLen: a.TxQLen, Queues: a.NumRxQueues,
	}
	if a.NetNsID >= 0 && a.ParentIndex != 0 {
		l.PeerNetns = &a.NetNsID
	}
	if s := a.Statistics; s != nil {
		l.networkLinkCounters = networkLinkCounters{
			RXBytes: s.RxBytes, RXPackets: s.RxPackets, RXErrors: s.RxErrors, RXDropped: s.RxDropped, RXMissed: s.RxMissedErrors, RXFIFO: s.RxFifoErrors,
			RXFrame: s.RxFrameErrors, RXCRC: s.RxCrcErrors, Multicast: s.Multicast, TXBytes: s.TxBytes, TXPackets: s.TxPackets, TXErrors: s.TxErrors,
			TXDropped: s.TxDropped, TXFIFO: s.TxFifoErrors, TXCarrier: s.TxCarrierErrors, Collisions: s.Collisions,
		}
	}
	return l
}

func netlinkAddresses(yield func(networkAddress) bool) error {
	list, err := netlink.AddrList(nil, unix.AF_UNSPEC)
	for _, a := range list {
		if a.IPNet == nil {
			continue
		}
		if !yield(netlinkAddress(a)) {
			break
		}
	}
	return err
}

func netlinkAddress(a netlink.Addr) networkAddress {
	n := networkAddress{
		Link: a.LinkIndex, Family: netlinkFamily(a.IP), Address: netlinkPrefix(a.IPNet), Peer: netlinkPrefix(a.Peer), Broadcast: netlinkIP(a.Broadcast),
		Scope: networkNameOf(a.Scope, netlinkScopes), Label: a.Label, Flags: networkNames(uint32(a.Flags), netlinkAddressFlags),
	}
	const forever = 1<<32 - 1
	if uint32(a.ValidLft) != forever {
		n.ValidSeconds, n.PreferredSeconds = &a.ValidLft, &a.PreferedLft
	}
	return n
}

func netlinkRoutes(yield func(networkRoute) bool) error {
	return netlinkFamilies(func(family int) error {
		all := &netlink.Route{Table: unix.RT_TABLE_UNSPEC}
		return netlink.RouteListFilteredIter(family, all, netlink.RT_FILTER_TABLE, func(r netlink.Route) bool { return yield(netlinkRoute(r)) })
	})
}

func netlinkRoute(r netlink.Route) networkRoute {
	n := networkRoute{
		Family: netlinkFamilyName(r.Family), Table: networkNameOf(r.Table, netlinkTables), Type: networkNameOf(r.Type, netlinkRouteTypes),
		Destination: netlinkDestination(r.Dst), Gateway: netlinkIP(r.Gw), Link: r.LinkIndex, Source: netlinkIP(r.Src),
		Protocol: networkNameOf(int(r.Protocol), netlinkProtocols),
		Scope:    networkNameOf(int(r.Scope), netlinkScopes), Metric: r.Priority, MTU: r.MTU, Flags: networkNames(uint32(r.Flags), netlinkRouteFlags),
	}
	if r.Via != nil {
		n.Gateway = cmp.Or(n.Gateway, netlinkVia(r.Via))
	}
	if r.Encap != nil {
		n.Encap = r.Encap.String()
	}
	for _, h := range r.MultiPath {
		hop := networkNextHop{Gateway: netlinkIP(h.Gw), Link: h.LinkIndex, Weight: h.Hops + 1, Flags: networkNames(uint32(h.Flags), netlinkRouteFlags)}
		if h.Via != nil {
			hop.Gateway = cmp.Or(hop.Gateway, netlinkVia(h.Via))
		}
		n.NextHops = append(n.NextHops, hop)
	}
	return n
}

func netlinkDestination(n *net.IPNet) string {
	if n != nil {
		if ones, _ := n.Mask.Size(); ones > 0 {
			return netlinkNetwork(n)
		}
	}
	return "default"
}

func netlinkNeighbours(yield func(networkNeighbour) bool) error {
	return netlinkFamilies(func(family int) error {
		return netlinkDump(unix.RTM_GETNEIGH, unix.RTM_NEWNEIGH, &netlink.Ndmsg{Family: uint8(family)}, func(m []byte) bool {
			n, err := netlink.NeighDeserialize(m)
			if err != nil || n.Family != family {
				return true
			}
			return yield(netlinkNeighbour(n))
		})
	})
}

func netlinkNeighbour(n *netlink.Neigh) networkNeighbour {
	states := networkNames(uint32(n.State), netlinkNeighbourStates)
	if states == nil {
		states = []string{"NONE"}
	}
	return networkNeighbour{
		Family: netlinkFamilyName(n.Family), Address: netlinkIP(n.IP), Link: n.LinkIndex, MAC: n.HardwareAddr.String(),
		States: states, Flags: networkNames(uint32(n.Flags), netlinkNeighbourFlags),
	}
}

// netlinkIP is an address as text, "" for none.
func netlinkIP(ip net.IP) string {
	a, ok := netip.AddrFromSlice(ip)
	if !ok {
		return ""
	}
	return a.String()
}

// netlinkPrefix is a network as text, "" for none.
func netlinkPrefix(n *net.IPNet) string {
	if n == nil {
		return ""
	}
	ones, _ := n.Mask.Size()
	return fmt.Sprintf("%s/%d", netlinkIP(n.IP), ones)
}

// netlinkNetwork is netlinkPrefix without the length where it is that of an address.
func netlinkNetwork(n *net.IPNet) string {
	if n != nil {
		if ones, bits := n.Mask.Size(); ones == bits {
			return netlinkIP(n.IP)
		}
	}
	return netlinkPrefix(n)
}

// netlinkVia is a gateway of another family than the route's.
func netlinkVia(d netlink.Destination) string {
	if via, ok := d.(*netlink.Via); ok {
		return netlinkIP(via.Addr)
	}
	return d.String()
}

func netlinkFamily(ip net.IP) string {
	if ip.To4() != nil {
		return "inet"
	}
	return "inet6"
}

func netlinkFamilyName(family int) string {
	if family == unix.AF_INET6 {
		return "inet6"
	}
	return "inet"
}

// Numbers of rtnetlink and the names that ip(8) gives them; nothing writes to these tables.
// https://man7.org/linux/man-pages/man7/rtnetlink.7.html
var (
	netlinkLinkFlags = []networkName{
		{unix.IFF_LOOPBACK, "LOOPBACK"}, {unix.IFF_BROADCAST, "BROADCAST"}, {unix.IFF_POINTOPOINT, "POINTOPOINT"}, {unix.IFF_MULTICAST, "MULTICAST"},
		{unix.IFF_NOARP, "NOARP"}, {unix.IFF_ALLMULTI, "ALLMULTI"}, {unix.IFF_PROMISC, "PROMISC"}, {unix.IFF_MASTER, "MASTER"}, {unix.IFF_SLAVE, "SLAVE"},
		{unix.IFF_UP, "UP"}, {unix.IFF_RUNNING, "RUNNING"}, {unix.IFF_LOWER_UP, "LOWER_UP"}, {unix.IFF_DORMANT, "DORMANT"},
	}
	netlinkAddressFlags = []networkName{
		{unix.IFA_F_SECONDARY, "secondary"}, {unix.IFA_F_NODAD, "nodad"}, {unix.IFA_F_OPTIMISTIC, "optimistic"}, {unix.IFA_F_DADFAILED, "dadfailed"},
		{unix.IFA_F_DEPRECATED, "deprecated"}, {unix.IFA_F_TENTATIVE, "tentative"}, {unix.IFA_F_NOPREFIXROUTE, "noprefixroute"},
	}
	netlinkRouteFlags = []networkName{
		{unix.RTNH_F_DEAD, "dead"}, {unix.RTNH_F_PERVASIVE, "pervasive"}, {unix.RTNH_F_ONLINK, "onlink"}, {unix.RTNH_F_LINKDOWN, "linkdown"},
	}
	netlinkScopes = []networkName{
		{unix.RT_SCOPE_UNIVERSE, "global"}, {unix.RT_SCOPE_SITE, "site"}, {unix.RT_SCOPE_LINK, "link"}, {unix.RT_SCOPE_HOST, "host"},
		{unix.RT_SCOPE_NOWHERE, "nowhere"},
	}
	netlinkTables     = []networkName{{unix.RT_TABLE_DEFAULT, "default"}, {unix.RT_TABLE_MAIN, "main"}, {unix.RT_TABLE_LOCAL, "local"}}
	netlinkRouteTypes = []networkName{
		{unix.RTN_UNICAST, "unicast"}, {unix.RTN_LOCAL, "local"}, {unix.RTN_BROADCAST, "broadcast"},
		{unix.RTN_ANYCAST, "anycast"}, {unix.RTN_MULTICAST, "multicast"},
		{unix.RTN_BLACKHOLE, "blackhole"}, {unix.RTN_UNREACHABLE, "unreachable"}, {unix.RTN_PROHIBIT, "prohibit"},
		{unix.RTN_THROW, "throw"}, {unix.RTN_NAT, "nat"},
	}
	netlinkProtocols = []networkName{
		{unix.RTPROT_UNSPEC, "unspec"}, {unix.RTPROT_REDIRECT, "redirect"}, {unix.RTPROT_KERNEL, "kernel"},
		{unix.RTPROT_BOOT, "boot"}, {unix.RTPROT_STATIC, "static"},
		{unix.RTPROT_RA, "ra"}, {unix.RTPROT_ZEBRA, "zebra"}, {unix.RTPROT_BIRD, "bird"}, {unix.RTPROT_DHCP, "dhcp"},
		{unix.RTPROT_BGP, "bgp"}, {unix.RTPROT_OSPF, "ospf"},
	}
	netlinkNeighbourStates = []networkName{
		{netlink.NUD_INCOMPLETE, "INCOMPLETE"}, {netlink.NUD_REACHABLE, "REACHABLE"}, {netlink.NUD_STALE, "STALE"}, {netlink.NUD_DELAY, "DELAY"},
		{netlink.NUD_PROBE, "PROBE"}, {netlink.NUD_FAILED, "FAILED"}, {netlink.NUD_NOARP, "NOARP"}, {netlink.NUD_PERMANENT, "PERMANENT"},
	}
	netlinkNeighbourFlags = []networkName{{netlink.NTF_PROXY, "proxy"}, {netlink.NTF_ROUTER, "router"}, {netlink.NTF_EXT_LEARNED, "extern_learn"}}
)
