package node

import (
	"bytes"
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
