package node

import (
	"fmt"
	"math"
	"strings"
)

// A diskUsage counts bytes or inodes. Used are those neither free nor reserved for root.
type diskUsage struct {
	Total       uint64  `json:"total"`
	Used        uint64  `json:"used"`
	Free        uint64  `json:"free"`      // reserved ones included
	Available   uint64  `json:"available"` // to processes of users
	UsedPercent float64 `json:"usedPercent"`
}

// newDiskUsage is nil where nothing is counted. The percentage is that of df(1): of what
// users may have in all.
func newDiskUsage(total, free, available uint64) *diskUsage {
	if total == 0 {
		return nil
	}
	u := &diskUsage{Total: total, Used: total - min(free, total), Free: free, Available: available}
	if all := float64(u.Used) + float64(available); all > 0 {
		u.UsedPercent = math.Round(1000*float64(u.Used)/all) / 10
	}
	return u
}

// diskTable is df.txt: bytes as df -h shows them, then inodes as df -i does.
func diskTable(list []*diskFilesystem) string {
	var b strings.Builder
	row := func(f *diskFilesystem, u *diskUsage, show func(uint64) string) {
		fmt.Fprintf(&b, "%-28s %-9s ", processPrintable(f.Source), f.FSType)
		if u == nil {
			fmt.Fprintf(&b, "%6s %6s %6s %5s", "-", "-", "-", "-")
		} else {
			fmt.Fprintf(&b, "%6s %6s %6s %4.0f%%", show(u.Total), show(u.Used), show(u.Available), math.Ceil(u.UsedPercent))
		}
		b.WriteString(" " + processPrintable(f.MountPoint))
		for _, note := range []string{f.Error, f.Suspect} {
			if note != "" {
				b.WriteString(" (" + processPrintable(note) + ")")
			}
		}
		b.WriteByte('\n')
	}
	fmt.Fprintf(&b, "%-28s %-9s %6s %6s %6s %5s %s\n", "Filesystem", "Type", "Size", "Used", "Avail", "Use%", "Mounted on")
	for _, f := range list {
		row(f, f.Bytes, diskBytes)
	}
	fmt.Fprintf(&b, "\n%-28s %-9s %6s %6s %6s %5s %s\n", "Filesystem", "Type", "Inodes", "IUsed", "IFree", "IUse%", "Mounted on")
	for _, f := range list {
		row(f, f.Inodes, diskCount)
	}
	return b.String()
}

// diskBytes is a size in powers of 1024, rounded up, as df -h shows it.
func diskBytes(n uint64) string { return diskScaled(n, 1024) }

// diskCount is a number in powers of 1000, rounded up.
func diskCount(n uint64) string { return diskScaled(n, 1000) }

func diskScaled(n, base uint64) string {
	const units = " KMGTPE"
	v, unit := float64(n), 0
	for v >= float64(base) && unit < len(units)-1 {
		v /= float64(base)
		unit++
	}
	if unit == 0 {
		return fmt.Sprint(n)
	}
	if up := math.Ceil(v*10) / 10; up < 10 {
		return fmt.Sprintf("%.1f%c", up, units[unit])
	}
	return fmt.Sprintf("%.0f%c", math.Ceil(v), units[unit])
}

// diskIOTable is iostat.txt, with the columns of iostat -x.
func diskIOTable(io *diskIO) string {
	var b strings.Builder
	fmt.Fprintf(&b, "Sample of %.1f s; await in ms, request sizes in KiB. Partitions and devices made of others count twice.\n\n", io.SampleSeconds)
	fmt.Fprintf(&b, "%-12s %-9s %9s %10s %9s %8s %9s %9s %10s %9s %8s %9s %8s %8s %8s %6s\n", "Device", "kind", "r/s", "rkB/s", "rrqm/s",
		"r_await", "rareq-sz", "w/s", "wkB/s", "wrqm/s", "w_await", "wareq-sz", "d/s", "f/s", "aqu-sz", "%util")
	for _, d := range io.Devices {
		name := processPrintable(d.Name)
		if d.diskRate == nil {
			fmt.Fprintf(&b, "%-12s %-9s not in both samples\n", name, d.Kind)
			continue
		}
		fmt.Fprintf(&b, "%-12s %-9s %9.2f %10.2f %9.2f %8.2f %9.2f %9.2f %10.2f %9.2f %8.2f %9.2f %8.2f %8.2f %8.2f %6.2f\n", name, d.Kind,
			d.ReadsPerSecond, d.ReadBytesPerSecond/1024, d.ReadsMerged, d.ReadAwaitMillis, d.ReadSizeBytes/1024,
			d.WritesPerSecond, d.WriteBytesPerSecond/1024, d.WritesMerged, d.WriteAwaitMillis, d.WriteSizeBytes/1024,
			d.DiscardsPerSecond, d.FlushesPerSecond, d.QueueSize, d.UtilisationPercent)
	}
	return b.String()
}
