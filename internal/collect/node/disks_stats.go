package node

import (
	"math"
	"slices"
	"strconv"
	"strings"
	"time"
)

// diskSector is the unit of sectors in diskstats and sysfs, whatever the device's is.
const diskSector = 512

// diskCounters are the fields of a line of /proc/diskstats after the name, from the first.
// https://www.kernel.org/doc/html/latest/admin-guide/iostats.html
type diskCounters struct {
	Reads          uint64 `json:"reads"`
	ReadsMerged    uint64 `json:"readsMerged"`
	ReadSectors    uint64 `json:"readSectors"`
	ReadMillis     uint64 `json:"readMilliseconds"`
	Writes         uint64 `json:"writes"`
	WritesMerged   uint64 `json:"writesMerged"`
	WrittenSectors uint64 `json:"writtenSectors"`
	WriteMillis    uint64 `json:"writeMilliseconds"`
	InFlight       uint64 `json:"inFlight"`
	BusyMillis     uint64 `json:"busyMilliseconds"`
	QueueMillis    uint64 `json:"queueMilliseconds"`
	Discards       uint64 `json:"discards"`
	DiscardsMerged uint64 `json:"discardsMerged"`
	DiscardSectors uint64 `json:"discardedSectors"`
	DiscardMillis  uint64 `json:"discardMilliseconds"`
	Flushes        uint64 `json:"flushes"`
	FlushMillis    uint64 `json:"flushMilliseconds"`
}

// fields returns the counters in the order of the file.
func (c *diskCounters) fields() []*uint64 {
	return []*uint64{
		&c.Reads, &c.ReadsMerged, &c.ReadSectors, &c.ReadMillis, &c.Writes, &c.WritesMerged, &c.WrittenSectors, &c.WriteMillis,
		&c.InFlight, &c.BusyMillis, &c.QueueMillis, &c.Discards, &c.DiscardsMerged, &c.DiscardSectors, &c.DiscardMillis, &c.Flushes, &c.FlushMillis,
	}
}

// A diskStat is a line of /proc/diskstats.
type diskStat struct {
	device string // "8:0"
	name   string
	diskCounters
}

// parseDiskStats parses /proc/diskstats, by name. Counters that an older kernel does not
// have are 0.
func parseDiskStats(data []byte) (stats map[string]diskStat, malformed int) {
	stats = map[string]diskStat{}
	for line := range strings.Lines(string(data)) {
		fields := strings.Fields(line)
		if len(fields) == 0 {
			continue
		}
		const first, required = 3, 11
		if len(fields) < first+required {
			malformed++
			continue
		}
		s := diskStat{device: fields[0] + ":" + fields[1], name: fields[2]}
		var bad error
		for i, to := range s.fields() {
			if i < len(fields)-first && bad == nil {
				*to, bad = strconv.ParseUint(fields[first+i], 10, 64)
			}
		}
		if bad != nil {
			malformed++
			continue
		}
		stats[s.name] = s
	}
	return stats, malformed
}

// A diskRate is the use of a block device between two samples. Formulas:
// https://www.kernel.org/doc/html/latest/admin-guide/iostats.html
type diskRate struct {
	ReadsPerSecond      float64 `json:"readsPerSecond"`
	WritesPerSecond     float64 `json:"writesPerSecond"`
	DiscardsPerSecond   float64 `json:"discardsPerSecond"`
	FlushesPerSecond    float64 `json:"flushesPerSecond"`
	IOPS                float64 `json:"iops"` // reads and writes
	ReadBytesPerSecond  float64 `json:"readBytesPerSecond"`
	WriteBytesPerSecond float64 `json:"writeBytesPerSecond"`
	ReadsMerged         float64 `json:"readsMergedPerSecond"`
	WritesMerged        float64 `json:"writesMergedPerSecond"`
	ReadSizeBytes       float64 `json:"averageReadBytes"`
	WriteSizeBytes      float64 `json:"averageWriteBytes"`
	RequestSizeBytes    float64 `json:"averageRequestBytes"`
	ReadAwaitMillis     float64 `json:"readAwaitMilliseconds"` // from the queue's entry to completion
	WriteAwaitMillis    float64 `json:"writeAwaitMilliseconds"`
	AwaitMillis         float64 `json:"awaitMilliseconds"`
	FlushAwaitMillis    float64 `json:"flushAwaitMilliseconds"`
	QueueSize           float64 `json:"averageQueueSize"`
	UtilisationPercent  float64 `json:"utilisationPercent"` // of the time with a request in flight; a device with parallel queues can do more at 100
}

// newDiskRate compares two samples taken span apart. ok is false when the counters began
// anew between them, as for a device that was replaced, or span is too short to tell.
func newDiskRate(before, after diskCounters, span time.Duration) (r diskRate, ok bool) {
	if span < time.Millisecond {
		return r, false
	}
	var d diskCounters
	was, is, delta := before.fields(), after.fields(), d.fields()
	for i := range delta {
		if delta[i] == &d.InFlight {
			continue
		}
		if *delta[i], ok = diskDelta(*was[i], *is[i]); !ok {
			return r, false
		}
	}
	seconds := span.Seconds()
	r = diskRate{
		ReadsPerSecond: float64(d.Reads) / seconds, WritesPerSecond: float64(d.Writes) / seconds,
		DiscardsPerSecond: float64(d.Discards) / seconds, FlushesPerSecond: float64(d.Flushes) / seconds,
		IOPS:               float64(d.Reads+d.Writes) / seconds,
		ReadBytesPerSecond: diskSector * float64(d.ReadSectors) / seconds, WriteBytesPerSecond: diskSector * float64(d.WrittenSectors) / seconds,
		ReadsMerged: float64(d.ReadsMerged) / seconds, WritesMerged: float64(d.WritesMerged) / seconds,
		ReadSizeBytes: diskPer(diskSector*d.ReadSectors, d.Reads), WriteSizeBytes: diskPer(diskSector*d.WrittenSectors, d.Writes),
		RequestSizeBytes: diskPer(diskSector*(d.ReadSectors+d.WrittenSectors), d.Reads+d.Writes),
		ReadAwaitMillis:  diskPer(d.ReadMillis, d.Reads), WriteAwaitMillis: diskPer(d.WriteMillis, d.Writes),
		AwaitMillis: diskPer(d.ReadMillis+d.WriteMillis, d.Reads+d.Writes), FlushAwaitMillis: diskPer(d.FlushMillis, d.Flushes),
		QueueSize:          float64(d.QueueMillis) / 1000 / seconds,
		UtilisationPercent: min(100, float64(d.BusyMillis)/10/seconds),
	}
	r.round()
	return r, true
}

// diskDelta is how far a counter went. Times are 32 bits wide and wrap, on 32-bit kernels
// the others too; ok is false for a step back that no wrap explains.
func diskDelta(before, after uint64) (delta uint64, ok bool) {
	if after >= before {
		return after - before, true
	}
	if before > math.MaxUint32 {
		return 0, false
	}
	delta = after + 1<<32 - before
	return delta, delta < 1<<31
}

func diskPer(sum, count uint64) float64 {
	if count == 0 {
		return 0
	}
	return float64(sum) / float64(count)
}

// round rounds everything to a hundredth.
func (r *diskRate) round() {
	for _, v := range []*float64{
		&r.ReadsPerSecond, &r.WritesPerSecond, &r.DiscardsPerSecond, &r.FlushesPerSecond, &r.IOPS, &r.ReadBytesPerSecond, &r.WriteBytesPerSecond,
		&r.ReadsMerged, &r.WritesMerged, &r.ReadSizeBytes, &r.WriteSizeBytes, &r.RequestSizeBytes, &r.ReadAwaitMillis, &r.WriteAwaitMillis,
		&r.AwaitMillis, &r.FlushAwaitMillis, &r.QueueSize, &r.UtilisationPercent,
	} {
		*v = math.Round(*v*100) / 100
	}
}

// A diskIO is what the two samples say together.
type diskIO struct {
	SampleSeconds float64        `json:"sampleSeconds"`
	Devices       []diskDeviceIO `json:"devices"`
	Disks         *diskTotal     `json:"disks,omitempty"` // over whole disks, so that nothing counts twice
}

// A diskDeviceIO is one block device or partition.
type diskDeviceIO struct {
	Name     string       `json:"name"`
	Device   string       `json:"device"`
	Kind     string       `json:"kind"`
	Counters diskCounters `json:"counters"` // since boot; times wrap after 2^32 ms
	*diskRate
}

// A diskTotal sums up whole disks.
type diskTotal struct {
	IOPS                float64 `json:"iops"`
	ReadBytesPerSecond  float64 `json:"readBytesPerSecond"`
	WriteBytesPerSecond float64 `json:"writeBytesPerSecond"`
	MaxAwaitMillis      float64 `json:"maxAwaitMilliseconds"`
	MaxUtilisation      float64 `json:"maxUtilisationPercent"`
}

// newDiskIO compares two samples. Devices that were never used are left out.
func newDiskIO(before, after map[string]diskStat, span time.Duration, kind func(name string) string) *diskIO {
	io := &diskIO{SampleSeconds: math.Round(span.Seconds()*1000) / 1000, Devices: []diskDeviceIO{}}
	for name, s := range after {
		if s.diskCounters == (diskCounters{}) {
			continue
		}
		d := diskDeviceIO{Name: name, Device: s.device, Kind: kind(name), Counters: s.diskCounters}
		if first, ok := before[name]; ok && first.device == s.device {
			if r, ok := newDiskRate(first.diskCounters, s.diskCounters, span); ok {
				d.diskRate = &r
				io.total(d)
			}
		}
		io.Devices = append(io.Devices, d)
	}
	slices.SortFunc(io.Devices, func(a, b diskDeviceIO) int { return strings.Compare(a.Name, b.Name) })
	return io
}

func (io *diskIO) total(d diskDeviceIO) {
	if d.Kind != diskKindDisk {
		return
	}
	if io.Disks == nil {
		io.Disks = &diskTotal{}
	}
	t := io.Disks
	t.IOPS += d.IOPS
	t.ReadBytesPerSecond += d.ReadBytesPerSecond
	t.WriteBytesPerSecond += d.WriteBytesPerSecond
	t.MaxAwaitMillis = max(t.MaxAwaitMillis, d.AwaitMillis)
	t.MaxUtilisation = max(t.MaxUtilisation, d.UtilisationPercent)
}
