package node

import (
	"math"
	"strconv"
	"strings"
	"time"
)

// parseSystemctlShow reads what systemctl show prints: lines of NAME=VALUE, with an empty
// line between units. A line of another shape continues the value before it; if there is
// none it is malformed.
func parseSystemctlShow(data []byte) (units []systemdUnit, malformed int) {
	properties, last := map[string]string{}, ""
	end := func() {
		if len(properties) > 0 {
			units = append(units, newSystemdUnit(properties))
		}
		properties, last = map[string]string{}, ""
	}
	for line := range strings.Lines(strings.ToValidUTF8(string(data), "\uFFFD")) {
		line = strings.TrimRight(line, "\r\n")
		key, value, ok := strings.Cut(line, "=")
		switch {
		case line == "":
			end()
		case ok && isSystemdProperty(key):
			last = key
			if before, again := properties[key]; again {
				value = before + "\n" + value
			}
			properties[key] = value
		case last != "":
			properties[last] += "\n" + line
		default:
			malformed++
		}
	}
	end()
	return units, malformed
}

func isSystemdProperty(key string) bool {
	for _, c := range key {
		if (c < 'A' || c > 'Z') && (c < 'a' || c > 'z') && (c < '0' || c > '9') {
			return false
		}
	}
	return key != "" && key[0] >= 'A' && key[0] <= 'Z'
}

func newSystemdUnit(p map[string]string) systemdUnit {
	u := systemdUnit{
		Name: p["Id"], LoadState: p["LoadState"], ActiveState: p["ActiveState"], SubState: p["SubState"], Result: p["Result"],
		UnitFileState: p["UnitFileState"], FragmentPath: p["FragmentPath"], DropInPaths: strings.Fields(p["DropInPaths"]),
		MainPID: systemdNumber(p["MainPID"]), Restarts: systemdNumber(p["NRestarts"]), ExecMainStatus: systemdNumber(p["ExecMainStatus"]),
		ExecMainStarted: systemdTime(p["ExecMainStartTimestamp"]), ExecMainExited: systemdTime(p["ExecMainExitTimestamp"]),
		ActiveSince: systemdTime(p["ActiveEnterTimestamp"]), OOMScoreAdjust: systemdNumber(p["OOMScoreAdjust"]),
		MemoryCurrentBytes: systemdNumber(p["MemoryCurrent"]), MemoryPeakBytes: systemdNumber(p["MemoryPeak"]),
		MemoryHighBytes: systemdNumber(p["MemoryHigh"]), MemoryMaxBytes: systemdNumber(p["MemoryMax"]),
		TasksCurrent: systemdNumber(p["TasksCurrent"]), TasksMax: systemdNumber(p["TasksMax"]),
		CPUUsageNanoseconds: systemdNumber(p["CPUUsageNSec"]), Properties: p,
	}
	if u.MemoryMaxBytes == nil {
		u.MemoryMaxBytes = systemdNumber(p["MemoryLimit"])
	}
	return u
}

// systemdNumber returns nil for what is no number: "infinity", "[not set]", and the
// greatest number, by which older versions of systemd say the same.
func systemdNumber(s string) *int64 {
	n, err := strconv.ParseInt(s, 10, 64)
	if err != nil || n == math.MaxInt64 {
		return nil
	}
	return &n
}

// systemdTime reads a time such as "Fri 2026-11-20 08:00:00 UTC". One in another zone is
// zero: its abbreviation does not tell the offset.
func systemdTime(s string) time.Time {
	t, err := time.Parse("Mon 2006-01-02 15:04:05 MST", s)
	if err != nil || !strings.HasSuffix(s, " UTC") {
		return time.Time{}
	}
	return t
}

// parseSystemctlFailed reads what systemctl --failed --plain --no-legend prints. Lines with
// fewer than four words are skipped.
func parseSystemctlFailed(data []byte) []failedUnit {
	units := []failedUnit{}
	for line := range strings.Lines(strings.ToValidUTF8(string(data), "\uFFFD")) {
		words := strings.Fields(strings.TrimLeft(line, "●* \t"))
		if len(words) < 4 {
			continue
		}
		units = append(units, failedUnit{words[0], words[1], words[2], words[3], strings.Join(words[4:], " ")})
	}
	return units
}
