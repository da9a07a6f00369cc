package node

import (
	"cmp"
	"encoding/hex"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"
)

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
		return cmp.Or(
			cmp.Compare(b.ReceiveQueue, a.ReceiveQueue), cmp.Compare(a.port, b.port),
			strings.Compare(a.Protocol, b.Protocol), strings.Compare(a.Local, b.Local),
		)
	})
	if at == maxNetworkListeners {
		return list
	}
	return slices.Insert(list[:min(len(list), maxNetworkListeners-1)], at, l)
}
