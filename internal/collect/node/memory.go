package node

import (
	"bytes"
	"context"
	"fmt"
	"path"
	"strconv"
	"strings"

	"github.com/periscope-k8s/periscope/internal/collect"
)

func memoryCollector() collect.Collector {
	return collect.Collector{
		Name: "memory",
		Doc:  "memory in use, pressure, swap, huge pages, NUMA nodes, zones, fragmentation and slabs, from /proc and /sys",
		Size: 16 << 20,
		Run:  collectMemory,
	}
}

// memoryFacts is memory.json. Parts that the kernel does not have are left out.
type memoryFacts struct {
	Memory    *memoryUse           `json:"memory,omitempty"`
	Swap      *memorySwapUse       `json:"swap,omitempty"`
	Swaps     []memorySwap         `json:"swaps"`
	Meminfo   map[string]uint64    `json:"meminfoBytes,omitempty"` // names as in /proc/meminfo; the HugePages_ fields are counts, not bytes
	Pressure  map[string]memoryPSI `json:"pressure,omitempty"`     // by cpu, io, memory, irq
	Vmstat    map[string]uint64    `json:"vmstat,omitempty"`       // names as in /proc/vmstat; counters since boot, or pages
	HugePages []memoryHugePages    `json:"hugePages,omitempty"`
	Huge      memoryTransparent    `json:"transparentHugePages"`
	Nodes     []memoryNode         `json:"numaNodes,omitempty"`
	Zones     []memoryZone         `json:"zones,omitempty"`
	Free      []memoryFreeBlocks   `json:"freeBlocks,omitempty"`
}

// A memoryUse is what free(1) of procps 4 shows.
type memoryUse struct {
	Total     uint64 `json:"totalBytes"`
	Used      uint64 `json:"usedBytes"` // total less available, as the kernel estimates it
	Free      uint64 `json:"freeBytes"`
	Shared    uint64 `json:"sharedBytes"`
	Cache     uint64 `json:"bufferCacheBytes"` // buffers, page cache and slabs that can be reclaimed
	Available uint64 `json:"availableBytes"`
}

type memorySwapUse struct {
	Total uint64 `json:"totalBytes"`
	Used  uint64 `json:"usedBytes"`
	Free  uint64 `json:"freeBytes"`
}

type memoryHugePages struct {
	Size     uint64 `json:"sizeBytes"`
	Total    uint64 `json:"total"`
	Free     uint64 `json:"free"`
	Reserved uint64 `json:"reserved"`
	Surplus  uint64 `json:"surplus"`
}

type memoryTransparent struct {
	Enabled string `json:"enabled,omitempty"`
	Defrag  string `json:"defrag,omitempty"`
}

type memoryNode struct {
	Node    int               `json:"node"`
	Meminfo map[string]uint64 `json:"meminfoBytes"`
}

// collectMemory leaves out /proc/pagetypeinfo: reading it walks the free lists with
// interrupts off, which can stall a node that is short of memory.
func collectMemory(ctx context.Context, env *collect.Env, out collect.Output) error {
	s := &snapshot{ctx: ctx, env: env, out: out}
	facts := memoryFacts{
		Meminfo: snapshotParse(s, "/proc/meminfo", parseMemoryInfo),
		Vmstat:  snapshotParse(s, "/proc/vmstat", parseMemoryVmstat),
		Swaps:   snapshotParseOptional(s, "/proc/swaps", parseMemorySwaps),
		Zones:   snapshotParseOptional(s, "/proc/zoneinfo", parseMemoryZones),
		Free:    snapshotParseOptional(s, "/proc/buddyinfo", parseMemoryFreeBlocks),
	}
	facts.Memory, facts.Swap = memorySums(facts.Meminfo)
	s.memoryPressure(&facts)
	s.memoryHuge(&facts)
	s.memoryNodes(&facts)
	s.json("memory.json", facts)
	s.keep("free.txt", "/proc/meminfo", memoryFreeText(facts))
	s.memorySlabs()
	return s.end("nothing of /proc/meminfo and its like could be read")
}

func (s *snapshot) memoryPressure(facts *memoryFacts) {
	facts.Pressure = map[string]memoryPSI{}
	for _, name := range []string{"cpu", "io", "memory", "irq"} {
		if psi := snapshotParseOptional(s, "/proc/pressure/"+name, parseMemoryPSI); psi.Some != nil || psi.Full != nil {
			facts.Pressure[name] = psi
		}
	}
}

func (s *snapshot) memoryHuge(facts *memoryFacts) {
	for _, dir := range s.glob("/sys/kernel/mm/hugepages/hugepages-*kB") {
		size := strings.TrimSuffix(strings.TrimPrefix(path.Base(dir), "hugepages-"), "kB")
		kib, err := strconv.ParseUint(size, 10, 32)
		if err != nil {
			continue
		}
		facts.HugePages = append(facts.HugePages, memoryHugePages{
			Size: kib << 10, Total: s.number(dir + "/nr_hugepages"), Free: s.number(dir + "/free_hugepages"),
			Reserved: s.number(dir + "/resv_hugepages"), Surplus: s.number(dir + "/surplus_hugepages"),
		})
	}
	facts.Huge.Enabled = s.memoryChoice("/sys/kernel/mm/transparent_hugepage/enabled")
	facts.Huge.Defrag = s.memoryChoice("/sys/kernel/mm/transparent_hugepage/defrag")
}

// memoryChoice reads a file like "always [madvise] never".
func (s *snapshot) memoryChoice(path string) string {
	text, _ := s.value(path)
	_, text, _ = strings.Cut(text, "[")
	choice, _, _ := strings.Cut(text, "]")
	return choice
}

// memoryMaxNodes is the most NUMA nodes that Linux can be built for.
const memoryMaxNodes = 1 << 10

func (s *snapshot) memoryNodes(facts *memoryFacts) {
	for _, dir := range s.glob("/sys/devices/system/node/node*") {
		n, err := strconv.ParseUint(strings.TrimPrefix(path.Base(dir), "node"), 10, 31)
		if err != nil || len(facts.Nodes) == memoryMaxNodes {
			continue
		}
		facts.Nodes = append(facts.Nodes, memoryNode{int(n), snapshotParseOptional(s, dir+"/meminfo", parseMemoryInfo)})
	}
}

// memorySlabs comes last: /proc/slabinfo takes a lock that a sick kernel may never give
// up, and all else is written by then.
func (s *snapshot) memorySlabs() {
	slabs := snapshotParseOptional(s, "/proc/slabinfo", parseMemorySlabs)
	if len(slabs) > 0 {
		s.json("slabs.json", map[string][]memorySlab{"slabs": slabs})
	}
}

// memorySums returns nil for a meminfo that lacks what it needs.
func memorySums(info map[string]uint64) (*memoryUse, *memorySwapUse) {
	if _, ok := info["MemAvailable"]; !ok || info["MemTotal"] == 0 {
		return nil, nil
	}
	m := &memoryUse{
		Total: info["MemTotal"], Free: info["MemFree"], Shared: info["Shmem"], Available: info["MemAvailable"],
		Cache: info["Buffers"] + info["Cached"] + info["SReclaimable"],
	}
	m.Used = m.Total - min(m.Available, m.Total)
	swap := &memorySwapUse{Total: info["SwapTotal"], Free: info["SwapFree"]}
	swap.Used = swap.Total - min(swap.Free, swap.Total)
	return m, swap
}

// memoryFreeText is the table of free(1), in KiB.
func memoryFreeText(facts memoryFacts) []byte {
	m, swap := facts.Memory, facts.Swap
	if m == nil {
		return nil
	}
	var b bytes.Buffer
	fmt.Fprintf(&b, "%8s%12s%12s%12s%12s%12s%12s\n", "", "total", "used", "free", "shared", "buff/cache", "available")
	fmt.Fprintf(&b, "%-8s%12d%12d%12d%12d%12d%12d\n", "Mem:",
		m.Total>>10, m.Used>>10, m.Free>>10, m.Shared>>10, m.Cache>>10, m.Available>>10)
	fmt.Fprintf(&b, "%-8s%12d%12d%12d\n", "Swap:", swap.Total>>10, swap.Used>>10, swap.Free>>10)
	return b.Bytes()
}
