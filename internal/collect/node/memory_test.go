package node

import (
	"maps"
	"reflect"
	"testing"

	"github.com/periscope-k8s/periscope/internal/collect/collecttest"
)

func TestMemory(t *testing.T) {
	collecttest.Run(t, "testdata/memory/*.txtar", memoryCollector())
}

func TestParseMemoryInfo(t *testing.T) {
	got, bad := parseMemoryInfo([]byte("MemTotal:  8 kB\nHugePages_Total: 3\nNode 0 MemFree: 2 kB\nx\nA 1 kB\nB: 99999999999999999999 kB\nC: 18014398509481984 kB\n"))
	want := map[string]uint64{"MemTotal": 8192, "HugePages_Total": 3, "MemFree": 2048}
	if !maps.Equal(got, want) || bad != 4 {
		t.Errorf("got %v, %d malformed, want %v, 4", got, bad, want)
	}
}

func TestParseMemoryPSI(t *testing.T) {
	got, bad := parseMemoryPSI([]byte("some avg10=1.50 avg60=2.00 avg300=0.25 total=1234\nfull avg10=x\nfull\n"))
	want := memoryPSI{Some: &memoryStall{1.5, 2, 0.25, 1234}}
	if !reflect.DeepEqual(got, want) || bad != 2 {
		t.Errorf("got %+v, %d malformed, want %+v, 2", got, bad, want)
	}
}

func TestParseMemorySwaps(t *testing.T) {
	got, bad := parseMemorySwaps([]byte("Filename Type Size Used Priority\n/mnt/swap\\040file file 2097148 4 -2\n/dev/zram0 partition x 0 100\n"))
	want := []memorySwap{{`/mnt/swap\040file`, "file", 2147479552, 4096, -2}}
	if !reflect.DeepEqual(got, want) || bad != 1 {
		t.Errorf("got %+v, %d malformed, want %+v, 1", got, bad, want)
	}
}

func TestParseMemoryZones(t *testing.T) {
	const data = `Node 0, zone   Normal
  per-node stats
      nr_free_pages 1
  pages free     8000
        boost    0
        min      16
        low      20
        high     24
        spanned  262144
        managed  250000
        protection: (0, 0, 0)
  pagesets
    cpu: 0
              count:    7
              high:     378
              high_min: 5
Node 1, zone  Movable
  pages free     x
Node x, zone Normal
`
	got, bad := parseMemoryZones([]byte(data))
	want := []memoryZone{
		{Node: 0, Zone: "Normal", Free: 8000, Min: 16, Low: 20, High: 24, Managed: 250000},
		{Node: 1, Zone: "Movable"},
	}
	if !reflect.DeepEqual(got, want) || bad != 2 {
		t.Errorf("got %+v, %d malformed, want %+v, 2", got, bad, want)
	}
}

func TestParseMemoryFreeBlocks(t *testing.T) {
	got, bad := parseMemoryFreeBlocks([]byte("Node 0, zone      DMA      0      1      3 \nNode 0, zone DMA x\nz\n"))
	want := []memoryFreeBlocks{{0, "DMA", []uint64{0, 1, 3}}}
	if !reflect.DeepEqual(got, want) || bad != 2 {
		t.Errorf("got %+v, %d malformed, want %+v, 2", got, bad, want)
	}
}

func TestParseMemorySlabs(t *testing.T) {
	got, bad := parseMemorySlabs([]byte("slabinfo - version: 2.1\n# name <active_objs>\nsmall 1 2 8 x\nempty 0 0 8\nbig 10 10 4096 1 1 : tunables\nhuge 1 9999999999 1\nx 1\n"))
	want := []memorySlab{{"big", 10, 10, 4096, 40960}, {"small", 1, 2, 8, 16}}
	if !reflect.DeepEqual(got, want) || bad != 2 {
		t.Errorf("got %+v, %d malformed, want %+v, 2", got, bad, want)
	}
}

func TestMemorySums(t *testing.T) {
	m, swap := memorySums(map[string]uint64{"MemTotal": 100, "MemAvailable": 200, "SwapTotal": 10, "SwapFree": 4})
	if m.Used != 0 || swap.Used != 6 {
		t.Errorf("used %d, swap used %d, want 0, 6", m.Used, swap.Used)
	}
	for _, info := range []map[string]uint64{nil, {"MemTotal": 1}, {"MemAvailable": 1}} {
		if m, swap := memorySums(info); m != nil || swap != nil {
			t.Errorf("%v: got %v, %v, want nil", info, m, swap)
		}
	}
}

func FuzzParseMemory(f *testing.F) {
	f.Add([]byte("MemTotal: 1 kB\nNode 0 MemFree: 2 kB\nnr_free_pages 5\nsome avg10=0.00 avg60=0.00 avg300=0.00 total=0\n"))
	f.Add([]byte("/swap file 1 2 -2\nNode 0, zone DMA 1 2\n  pages free 5\n  min 4\ndentry 1 2 3\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		parseMemoryVmstat(data)
		parseMemoryPSI(data)
		parseMemorySwaps(data)
		parseMemoryZones(data)
		parseMemoryFreeBlocks(data)
		info, _ := parseMemoryInfo(data)
		var facts memoryFacts
		facts.Memory, facts.Swap = memorySums(info)
		memoryFreeText(facts)
		slabs, _ := parseMemorySlabs(data)
		for _, s := range slabs {
			if s.Objects > 0 && s.Bytes/s.Objects != s.ObjectSize {
				t.Errorf("size overflows: %+v", s)
			}
		}
	})
}
