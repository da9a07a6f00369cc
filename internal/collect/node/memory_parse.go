package node

import (
	"cmp"
	"slices"
	"strconv"
	"strings"
)

// parseMemoryInfo parses /proc/meminfo and the meminfo of NUMA nodes, whose lines begin
// with "Node N". Numbers in kB become bytes, others stay as they are.
// https://docs.kernel.org/filesystems/proc.html#meminfo
func parseMemoryInfo(data []byte) (map[string]uint64, int) {
	info := map[string]uint64{}
	bad := snapshotLines(data, func(fields []string) bool {
		if fields[0] == "Node" && len(fields) > 2 {
			fields = fields[2:]
		}
		name, ok := strings.CutSuffix(fields[0], ":")
		if !ok || len(fields) < 2 {
			return false
		}
		n, err := strconv.ParseUint(fields[1], 10, 54) // so that bytes fit 64 bits
		if err != nil {
			return false
		}
		if len(fields) > 2 && fields[2] == "kB" {
			n <<= 10
		}
		info[name] = n
		return true
	})
	return info, bad
}

// parseMemoryVmstat parses lines of a name and a number, as in /proc/vmstat.
func parseMemoryVmstat(data []byte) (map[string]uint64, int) {
	stat := map[string]uint64{}
	bad := snapshotLines(data, func(fields []string) bool {
		numbers, ok := snapshotNumbers(fields[1:])
		if !ok || len(numbers) != 1 {
			return false
		}
		stat[fields[0]] = numbers[0]
		return true
	})
	return stat, bad
}

// A memoryPSI is one file of /proc/pressure: https://docs.kernel.org/accounting/psi.html
type memoryPSI struct {
	Some *memoryStall `json:"some,omitempty"`
	Full *memoryStall `json:"full,omitempty"`
}

// A memoryStall is the share of time in which some or all tasks waited.
type memoryStall struct {
	Avg10  float64 `json:"avg10Percent"`
	Avg60  float64 `json:"avg60Percent"`
	Avg300 float64 `json:"avg300Percent"`
	Total  uint64  `json:"totalMicroseconds"`
}

func parseMemoryPSI(data []byte) (psi memoryPSI, bad int) {
	bad = snapshotLines(data, func(fields []string) bool {
		stall, ok := parseMemoryStall(fields[1:])
		switch {
		case !ok:
			return false
		case fields[0] == "some":
			psi.Some = stall
		case fields[0] == "full":
			psi.Full = stall
		}
		return true
	})
	return psi, bad
}

func parseMemoryStall(fields []string) (*memoryStall, bool) {
	stall := &memoryStall{}
	for _, field := range fields {
		key, value, _ := strings.Cut(field, "=")
		numbers, ok := osFloats([]string{value})
		if !ok {
			return nil, false
		}
		switch key {
		case "avg10":
			stall.Avg10 = numbers[0]
		case "avg60":
			stall.Avg60 = numbers[0]
		case "avg300":
			stall.Avg300 = numbers[0]
		case "total":
			stall.Total = uint64(numbers[0])
		}
	}
	return stall, len(fields) >= 4
}

// A memorySwap is one line of /proc/swaps.
type memorySwap struct {
	Name     string `json:"name"`
	Type     string `json:"type"`
	Size     uint64 `json:"sizeBytes"`
	Used     uint64 `json:"usedBytes"`
	Priority int    `json:"priority"`
}

func parseMemorySwaps(data []byte) ([]memorySwap, int) {
	swaps := []memorySwap{}
	bad := snapshotLines(data, func(fields []string) bool {
		if fields[0] == "Filename" {
			return true
		}
		if len(fields) != 5 {
			return false
		}
		sizes, ok := snapshotNumbers(fields[2:4])
		priority, err := strconv.Atoi(fields[4])
		if !ok || err != nil || max(sizes[0], sizes[1]) >= 1<<54 {
			return false
		}
		swaps = append(swaps, memorySwap{fields[0], fields[1], sizes[0] << 10, sizes[1] << 10, priority})
		return true
	})
	return swaps, bad
}

// A memoryZone is one zone of /proc/zoneinfo. Below Low the kernel reclaims in the
// background, below Min every allocation does. Pages are of the kernel's page size.
type memoryZone struct {
	Node    int    `json:"node"`
	Zone    string `json:"zone"`
	Free    uint64 `json:"freePages"`
	Min     uint64 `json:"minPages"`
	Low     uint64 `json:"lowPages"`
	High    uint64 `json:"highPages"`
	Managed uint64 `json:"managedPages"`
}

// parseMemoryZones takes lines that it has no use for as they are; only what stands for a
// wanted number and is none counts as malformed.
func parseMemoryZones(data []byte) (zones []memoryZone, bad int) {
	bad = snapshotLines(data, func(fields []string) bool {
		if fields[0] == "Node" {
			node, zone, ok := memoryZoneName(fields)
			if ok {
				zones = append(zones, memoryZone{Node: node, Zone: zone})
			}
			return ok
		}
		if len(zones) == 0 {
			return true
		}
		name := fields[len(fields)-min(len(fields), 2)]
		to := zones[len(zones)-1].number(name)
		if to == nil || len(fields) != 2 && fields[0] != "pages" {
			return true
		}
		n, err := strconv.ParseUint(fields[len(fields)-1], 10, 64)
		*to = n
		return err == nil
	})
	return zones, bad
}

// number returns where the number goes that the kernel calls name, nil for any that is
// not wanted.
func (z *memoryZone) number(name string) *uint64 {
	switch name {
	case "free":
		return &z.Free
	case "min":
		return &z.Min
	case "low":
		return &z.Low
	case "high":
		return &z.High
	case "managed":
		return &z.Managed
	}
	return nil
}

// memoryZoneName parses "Node 0, zone Normal".
func memoryZoneName(fields []string) (node int, zone string, ok bool) {
	if len(fields) < 4 || fields[2] != "zone" {
		return 0, "", false
	}
	n, err := strconv.ParseUint(strings.TrimSuffix(fields[1], ","), 10, 31)
	return int(n), fields[3], err == nil
}

// A memoryFreeBlocks is one line of /proc/buddyinfo: how many free blocks of 2^i pages a
// zone has.
type memoryFreeBlocks struct {
	Node   int      `json:"node"`
	Zone   string   `json:"zone"`
	Orders []uint64 `json:"orders"`
}

func parseMemoryFreeBlocks(data []byte) (free []memoryFreeBlocks, bad int) {
	bad = snapshotLines(data, func(fields []string) bool {
		node, zone, ok := memoryZoneName(fields)
		if !ok {
			return false
		}
		orders, ok := snapshotNumbers(fields[4:])
		if ok {
			free = append(free, memoryFreeBlocks{node, zone, orders})
		}
		return ok
	})
	return free, bad
}

// A memorySlab is one cache of /proc/slabinfo:
// https://man7.org/linux/man-pages/man5/slabinfo.5.html
type memorySlab struct {
	Name       string `json:"name"`
	Active     uint64 `json:"activeObjects"`
	Objects    uint64 `json:"objects"`
	ObjectSize uint64 `json:"objectBytes"`
	Bytes      uint64 `json:"bytes"` // of all objects, in use or not
}

// parseMemorySlabs returns the caches that hold objects, the greatest first.
func parseMemorySlabs(data []byte) (slabs []memorySlab, bad int) {
	bad = snapshotLines(data, func(fields []string) bool {
		if fields[0] == "slabinfo" || fields[0][0] == '#' {
			return true
		}
		if len(fields) < 4 {
			return false
		}
		n, ok := snapshotNumbers(fields[1:4])
		if !ok || max(n[1], n[2]) >= 1<<32 {
			return false
		}
		if n[1] > 0 {
			slabs = append(slabs, memorySlab{fields[0], n[0], n[1], n[2], n[1] * n[2]})
		}
		return true
	})
	slices.SortStableFunc(slabs, func(a, b memorySlab) int { return cmp.Compare(b.Bytes, a.Bytes) })
	return slabs, bad
}
