package node

import (
	"bytes"
	"cmp"
	"encoding/hex"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"
)

// parseNetworkCounters parses the pairs of lines of /proc/net/snmp and netstat: names, then
// values, both after the protocol. https://www.kernel.org/doc/html/latest/networking/snmp_counter.html
func parseNetworkCounters(data []byte) (protocols map[string]map[string]int64, malformed int) {
	protocols = map[string]map[string]int64{}
	var names []string
	for line := range bytes.Lines(data) {
		fields := strings.Fields(string(line))
		switch {
		case len(fields) == 0:
		case names == nil:
			names = fields
		case names[0] != fields[0] || len(names) != len(fields):
			malformed++
			names = fields // perhaps the first line of the next pair
		default:
			counters := map[string]int64{}
			for i, name := range names[1:] {
				v, err := strconv.ParseInt(fields[i+1], 10, 64)
				if err != nil {
					malformed++
					continue
				}
				counters[name] = v
			}
			protocols[strings.TrimSuffix(fields[0], ":")] = counters
			names = nil
		}
	}
	return protocols, malformed
}

// parseNetworkSNMP6 parses the "name value" lines of /proc/net/snmp6.
func parseNetworkSNMP6(data []byte) (counters map[string]int64, malformed int) {
	counters = map[string]int64{}
	for line := range bytes.Lines(data) {
		fields := strings.Fields(string(line))
		if len(fields) == 2 {
			if v, err := strconv.ParseInt(fields[1], 10, 64); err == nil {
				counters[fields[0]] = v
				continue
			}
		}
		malformed++
	}
	return counters, malformed
}

// parseNetworkSockstat parses "TCP: inuse 5 orphan 0" lines of /proc/net/sockstat and sockstat6.
func parseNetworkSockstat(data []byte) (protocols map[string]map[string]int64, malformed int) {
	protocols = map[string]map[string]int64{}
	for line := range bytes.Lines(data) {
		fields := strings.Fields(string(line))
		if len(fields) < 3 || len(fields)%2 == 0 || !strings.HasSuffix(fields[0], ":") {
			malformed++
			continue
		}
		counters := map[string]int64{}
		for pair := range slices.Chunk(fields[1:], 2) {
			v, err := strconv.ParseInt(pair[1], 10, 64)
			if err != nil {
				malformed++
				continue
			}
			counters[pair[0]] = v
		}
		protocols[strings.TrimSuffix(fields[0], ":")] = counters
	}
	return protocols, malformed
}

// A networkSoftnet is how one CPU received packets.
// https://www.kernel.org/doc/html/latest/networking/scaling.html
type networkSoftnet struct {
	CPU       uint64 `json:"cpu"`
	Processed uint64 `json:"processed"`
	Dropped   uint64 `json:"dropped"`  // the backlog was full (net.core.netdev_max_backlog)
	Squeezed  uint64 `json:"squeezed"` // the budget was used up with packets left (net.core.netdev_budget)
	Steered   uint64 `json:"steered"`  // woken by another CPU to receive
	Backlog   uint64 `json:"backlog"`
}

// parseNetworkSoftnet parses /proc/net/softnet_stat: hexadecimal columns, a line for each
// CPU that is online. Kernels before 5.10 do not tell which CPU and how long its backlog is.
func parseNetworkSoftnet(data []byte) (cpus []networkSoftnet, malformed int) {
	cpus = []networkSoftnet{}
	for line := range bytes.Lines(data) {
		columns, ok := networkHex(line)
		if !ok || len(columns) < 3 {
			malformed++
			continue
		}
		at := func(i int, none uint64) uint64 {
			if i < len(columns) {
				return columns[i]
			}
			return none
		}
		cpus = append(cpus, networkSoftnet{
			CPU: at(12, uint64(len(cpus))), Processed: columns[0], Dropped: columns[1], Squeezed: columns[2], Steered: at(9, 0), Backlog: at(11, 0),
		})
	}
	return cpus, malformed
}

func networkHex(line []byte) (columns []uint64, ok bool) {
	for _, field := range strings.Fields(string(line)) {
		v, err := strconv.ParseUint(field, 16, 64)
		if err != nil {
			return nil, false
		}
		columns = append(columns, v)
	}
	return columns, true
}

// parseNetworkConntrack sums up the CPUs of /proc/net/stat/nf_conntrack, by column. The
// first column is the number of entries, the same on every line.
func parseNetworkConntrack(data []byte) (counters map[string]uint64, malformed int) {
	var names []string
	for line := range bytes.Lines(data) {
		if names == nil {
			names = strings.Fields(string(line))
			counters = make(map[string]uint64, len(names))
			continue
		}
		columns, ok := networkHex(line)
		if !ok || len(columns) != len(names) {
			malformed++
			continue
		}
		for i, name := range names {
			if name == "entries" {
				counters[name] = columns[i]
			} else {
				counters[name] += columns[i]
			}
		}
	}
	return counters, malformed
}

// parseNetworkDevices parses /proc/net/dev into links that have no more than a name and counters.
func parseNetworkDevices(data []byte) (links []networkLink, malformed int) {
	for line := range bytes.Lines(data) {
		if bytes.IndexByte(line, '|') >= 0 {
			continue // the heading
		}
		// The name may hold a colon, as in eth0:1; the counters may follow without a space.
		text := string(line)
		colon := strings.LastIndexByte(text, ':')
		fields := strings.Fields(text[colon+1:])
		if colon < 0 || len(fields) < 16 {
			malformed++
			continue
		}
		var c [16]uint64
		var bad error
		for i := range c {
			if c[i], bad = strconv.ParseUint(fields[i], 10, 64); bad != nil {
				break
			}
		}
		if bad != nil {
			malformed++
			continue
		}
		links = append(links, networkLink{Name: strings.TrimSpace(text[:colon]), networkLinkCounters: networkLinkCounters{
			RXBytes: c[0], RXPackets: c[1], RXErrors: c[2], RXDropped: c[3], RXFIFO: c[4], RXFrame: c[5], Multicast: c[7],
			TXBytes: c[8], TXPackets: c[9], TXErrors: c[10], TXDropped: c[11], TXFIFO: c[12], Collisions: c[13], TXCarrier: c[14],
		}})
	}
	return links, malformed
}

// A networkSocket is a line of /proc/net/{tcp,tcp6,udp,udp6}.
type networkSocket struct {
	local, remote netip.AddrPort
	state         uint8
	sendQueue     uint64
	receiveQueue  uint64 // of a listening TCP socket: connections that wait to be accepted
	uid           uint64
	inode         uint64
	drops         uint64 // UDP only
}

// parseNetworkSocket parses a line after the heading. Addresses are words of the host's
// byte order, which is little-endian on all that Periscope is built for.
// https://www.kernel.org/doc/html/latest/networking/proc_net_tcp.html
func parseNetworkSocket(line []byte) (s networkSocket, err error) {
	fields := strings.Fields(string(line))
	if len(fields) < 10 {
		return s, fmt.Errorf("%d fields", len(fields))
	}
	var bad [7]error
	s.local, bad[0] = parseNetworkAddrPort(fields[1])
	s.remote, bad[1] = parseNetworkAddrPort(fields[2])
	number := func(text string, base, bits int, bad *error) (v uint64) {
		v, *bad = strconv.ParseUint(text, base, bits)
		return v
	}
	s.state = uint8(number(fields[3], 16, 8, &bad[2]))
	tx, rx, _ := strings.Cut(fields[4], ":")
	s.sendQueue, s.receiveQueue = number(tx, 16, 32, &bad[3]), number(rx, 16, 32, &bad[4])
	s.uid, s.inode = number(fields[7], 10, 32, &bad[5]), number(fields[9], 10, 64, &bad[6])
	if len(fields) == 13 {
		s.drops, _ = strconv.ParseUint(fields[12], 10, 64)
	}
	return s, errors.Join(bad[:]...)
}

func parseNetworkAddrPort(text string) (netip.AddrPort, error) {
	addr, port, _ := strings.Cut(text, ":")
	raw, err := hex.DecodeString(addr)
	if err != nil {
		return netip.AddrPort{}, err
	}
	if len(raw)%4 == 0 {
		for word := range slices.Chunk(raw, 4) {
			slices.Reverse(word)
		}
	}
	ip, ok := netip.AddrFromSlice(raw)
	p, err := strconv.ParseUint(port, 16, 16)
	if !ok || err != nil {
		return netip.AddrPort{}, errors.New("malformed address " + strconv.Quote(text))
	}
	return netip.AddrPortFrom(ip, uint16(p)), nil
}

// networkTCPStates are the names that ss(8) uses, by number.
// https://git.kernel.org/pub/scm/linux/kernel/git/torvalds/linux.git/tree/include/net/tcp_states.h
func networkTCPState(n uint8) string {
	const names = "UNKNOWN ESTAB SYN-SENT SYN-RECV FIN-WAIT-1 FIN-WAIT-2 TIME-WAIT CLOSED CLOSE-WAIT LAST-ACK LISTEN CLOSING NEW-SYN-RECV"
	list := strings.Fields(names)
	if int(n) < len(list) {
		return list[n]
	}
	return list[0]
}

// A networkListener is a socket that waits for connections or datagrams.
type networkListener struct {
	Protocol     string `json:"protocol"` // tcp, tcp6, udp, udp6
	Local        string `json:"local"`
	ReceiveQueue uint64 `json:"receiveQueue"` // TCP: connections not yet accepted; UDP: bytes not yet read
	Drops        uint64 `json:"drops,omitempty"`
	UID          uint64 `json:"uid"`
	Inode        uint64 `json:"inode"` // as in /proc/PID/fd

	port uint16
}

// A networkSockets counts the sockets of one protocol.
type networkSockets struct {
	Total     int            `json:"total"`
	ByState   map[string]int `json:"byState,omitempty"`
	SendQueue uint64         `json:"sendQueueBytes"`      // not acknowledged, of all
	Queue     uint64         `json:"receiveQueueBytes"`   // not read, of all but listeners
	Drops     uint64         `json:"drops,omitempty"`     // datagrams, of all
	Malformed int            `json:"malformed,omitempty"` // lines
	Cut       bool           `json:"cut,omitempty"`       // there are more than were read
}

// add counts a socket and reports whether it is a listener.
func (n *networkSockets) add(protocol string, s networkSocket) (networkListener, bool) {
	const closed, listen = 7, 10
	n.Total++
	tcp := strings.HasPrefix(protocol, "tcp")
	if tcp {
		n.ByState[networkTCPState(s.state)]++
	}
	n.Drops += s.drops
	// An UDP socket that is bound and not connected is in state "closed".
	waits := (tcp && s.state == listen) || (!tcp && s.state == closed)
	if !tcp || !waits {
		n.SendQueue += s.sendQueue
		n.Queue += s.receiveQueue
	}
	return networkListener{protocol, s.local.String(), s.receiveQueue, s.drops, s.uid, s.inode, s.local.Port()}, waits
}

// maxNetworkListeners is how many listening sockets are listed.
const maxNetworkListeners = 1000

// networkInsert adds l to list, which is sorted: longest queue first, then by port. When
// it is full the last one goes.
func networkInsert(list []networkListener, l networkListener) []networkListener {
	at, _ := slices.BinarySearchFunc(list, l, func(a, b networkListener) int {
		return cmp.Or(cmp.Compare(b.ReceiveQueue, a.ReceiveQueue), cmp.Compare(a.port, b.port), strings.Compare(a.Protocol, b.Protocol), strings.Compare(a.Local, b.Local))
	})
	if at == maxNetworkListeners {
		return list
	}
	return slices.Insert(list[:min(len(list), maxNetworkListeners-1)], at, l)
}

// A networkBond is a bonding interface.
type networkBond struct {
	Name   string             `json:"name"`
	Mode   string             `json:"mode,omitempty"`
	Status string             `json:"miiStatus,omitempty"`
	Active string             `json:"activeSlave,omitempty"`
	Slaves []networkBondSlave `json:"slaves"`
}

// A networkBondSlave is a link of a bonding interface.
type networkBondSlave struct {
	Name     string `json:"name"`
	Status   string `json:"miiStatus,omitempty"`
	Speed    string `json:"speed,omitempty"`
	Failures int64  `json:"linkFailures"`
}

// parseNetworkBond parses a file of /proc/net/bonding.
// https://www.kernel.org/doc/html/latest/networking/bonding.html
func parseNetworkBond(data []byte) networkBond {
	b := networkBond{Slaves: []networkBondSlave{}}
	status := &b.Status
	for line := range bytes.Lines(data) {
		key, value, _ := strings.Cut(strings.TrimSpace(string(line)), ": ")
		var slave *networkBondSlave
		if n := len(b.Slaves); n > 0 {
			slave = &b.Slaves[n-1]
		}
		switch {
		case key == "Bonding Mode":
			b.Mode = value
		case key == "Currently Active Slave":
			b.Active = value
		case key == "Slave Interface" && len(b.Slaves) < 64:
			b.Slaves = append(b.Slaves, networkBondSlave{Name: value})
			status = &b.Slaves[len(b.Slaves)-1].Status
		case key == "MII Status":
			*status = value
		case key == "Speed" && slave != nil:
			slave.Speed = value
		case key == "Link Failure Count" && slave != nil:
			slave.Failures, _ = strconv.ParseInt(value, 10, 64)
		}
	}
	return b
}
