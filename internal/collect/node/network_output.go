package node

import (
	"fmt"
	"maps"
	"slices"
	"strings"
)

// networkLinkTable is ip-addr.txt, laid out like ip -s addr.
func networkLinkTable(links []networkLink) string {
	var b strings.Builder
	for _, l := range links {
		if l.Index > 0 {
			fmt.Fprintf(&b, "%d: %s: <%s> mtu %d", l.Index, processPrintable(l.Name), strings.Join(l.Flags, ","), l.MTU)
		} else {
			b.WriteString(processPrintable(l.Name) + ":")
		}
		networkWords(&b, "master", l.MasterName, "state", strings.ToUpper(l.OperState), "type", l.Type)
		if l.QueueLen > 0 {
			fmt.Fprintf(&b, " qlen %d", l.QueueLen)
		}
		if l.Parent > 0 {
			fmt.Fprintf(&b, " parent if%d", l.Parent)
		}
		if l.MAC != "" {
			fmt.Fprintf(&b, "\n    link %s", l.MAC)
		}
		for _, a := range l.Addresses {
			fmt.Fprintf(&b, "\n    %s %s", a.Family, a.Address)
			networkWords(&b, "peer", a.Peer, "brd", a.Broadcast, "scope", a.Scope)
			for _, f := range a.Flags {
				b.WriteString(" " + f)
			}
			if a.ValidSeconds != nil {
				fmt.Fprintf(&b, " valid %ds", *a.ValidSeconds)
			}
		}
		fmt.Fprintf(&b, "\n    RX: bytes %d packets %d errors %d dropped %d missed %d fifo %d frame %d crc %d multicast %d",
			l.RXBytes, l.RXPackets, l.RXErrors, l.RXDropped, l.RXMissed, l.RXFIFO, l.RXFrame, l.RXCRC, l.Multicast)
		fmt.Fprintf(&b, "\n    TX: bytes %d packets %d errors %d dropped %d fifo %d carrier %d collisions %d\n",
			l.TXBytes, l.TXPackets, l.TXErrors, l.TXDropped, l.TXFIFO, l.TXCarrier, l.Collisions)
	}
	return b.String()
}

// networkWords writes pairs of a word and its value, without those that have none.
func networkWords(b *strings.Builder, pairs ...string) {
	for pair := range slices.Chunk(pairs, 2) {
		if pair[1] != "" {
			b.WriteString(" " + pair[0] + " " + processPrintable(pair[1]))
		}
	}
}

// networkRouteLine is a line of ip-route.txt, laid out like ip route show table all.
func networkRouteLine(r *networkRoute) string {
	var b strings.Builder
	if r.Type != "unicast" {
		b.WriteString(r.Type + " ")
	}
	b.WriteString(r.Destination)
	networkWords(&b, "encap", r.Encap, "via", r.Gateway, "dev", r.Device)
	if r.Table != "main" {
		networkWords(&b, "table", r.Table)
	}
	networkWords(&b, "proto", r.Protocol)
	if r.Family == "inet" && r.Scope != "global" {
		networkWords(&b, "scope", r.Scope)
	}
	networkWords(&b, "src", r.Source)
	if r.Metric > 0 {
		fmt.Fprintf(&b, " metric %d", r.Metric)
	}
	if r.MTU > 0 {
		fmt.Fprintf(&b, " mtu %d", r.MTU)
	}
	networkFlags(&b, r.Flags)
	for _, h := range r.NextHops {
		b.WriteString("\n\tnexthop")
		networkWords(&b, "via", h.Gateway, "dev", h.Device)
		fmt.Fprintf(&b, " weight %d", h.Weight)
		networkFlags(&b, h.Flags)
	}
	return b.String() + "\n"
}

func networkFlags(b *strings.Builder, flags []string) {
	for _, f := range flags {
		b.WriteString(" " + f)
	}
}

// networkRuleTable is ip-rule.txt, laid out like ip rule.
func networkRuleTable(rules []networkRule) string {
	var b strings.Builder
	family := ""
	for _, r := range rules {
		if r.Family != family {
			family = r.Family
			fmt.Fprintf(&b, "# %s\n", family)
		}
		fmt.Fprintf(&b, "%d:\t%s %s\n", r.Priority, processPrintable(r.Selector), r.Action)
	}
	return b.String()
}

// networkNeighbourLine is a line of ip-neigh.txt, laid out like ip neigh.
func networkNeighbourLine(n *networkNeighbour) string {
	var b strings.Builder
	b.WriteString(n.Address)
	networkWords(&b, "dev", n.Device, "lladdr", n.MAC)
	networkFlags(&b, n.Flags)
	networkFlags(&b, n.States)
	return b.String() + "\n"
}

// networkSocketTable is ss-summary.txt: sockets by protocol and state, then listeners.
func networkSocketTable(r *networkReport) string {
	var b strings.Builder
	for _, protocol := range slices.Sorted(maps.Keys(r.Sockets)) {
		n := r.Sockets[protocol]
		fmt.Fprintf(&b, "%-5s %7d", protocol, n.Total)
		for _, state := range slices.Sorted(maps.Keys(n.ByState)) {
			fmt.Fprintf(&b, "  %s %d", state, n.ByState[state])
		}
		if n.Drops > 0 {
			fmt.Fprintf(&b, "  drops %d", n.Drops)
		}
		b.WriteByte('\n')
	}
	b.WriteByte('\n')
	for _, protocol := range slices.Sorted(maps.Keys(r.SocketStat)) {
		fmt.Fprintf(&b, "%-9s", protocol+":")
		for _, name := range slices.Sorted(maps.Keys(r.SocketStat[protocol])) {
			fmt.Fprintf(&b, " %s %d", processPrintable(name), r.SocketStat[protocol][name])
		}
		b.WriteByte('\n')
	}
	fmt.Fprintf(&b, "\n%-5s %8s %8s %6s %12s  %s\n", "Netid", "Recv-Q", "Drops", "UID", "Inode", "Listens on")
	for _, l := range r.Listeners {
		fmt.Fprintf(&b, "%-5s %8d %8d %6d %12d  %s\n", l.Protocol, l.ReceiveQueue, l.Drops, l.UID, l.Inode, l.Local)
	}
	if r.ListenersNotListed > 0 {
		fmt.Fprintf(&b, "and %d more\n", r.ListenersNotListed)
	}
	return b.String()
}
