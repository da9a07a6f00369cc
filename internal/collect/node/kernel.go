package node

import (
	"bytes"
	"context"
	"errors"
	"io"
	"strconv"
	"strings"
	"time"

	"github.com/periscope-k8s/periscope/internal/collect"
	"github.com/periscope-k8s/periscope/internal/host"
)

func kernelCollector() collect.Collector {
	return kernelWith(kernelSource{kernelRing, kernelNow})
}

// A kernelSource is where the ring buffer and its clock come from.
type kernelSource struct {
	// ring returns the newest end of the ring buffer as syslog(2) gives it.
	ring func(*collect.Env) ([]byte, error)
	// now returns the time of the wall clock and of CLOCK_MONOTONIC at one moment.
	now func() (wall time.Time, monotonic time.Duration)
}

func kernelWith(source kernelSource) collect.Collector {
	return collect.Collector{
		Name: "kernel",
		Doc:  "the kernel's log of this boot with wall-clock times, by syslog(2), or by journalctl where that is not allowed",
		Size: 32 << 20,
		Run: func(ctx context.Context, env *collect.Env, out collect.Output) error {
			return collectKernel(ctx, env, out, source)
		},
	}
}

// kernelFacts is kernel.json. It describes kernel.log, whose lines are
//
//	2026-11-20T10:00:00.123456Z warning [   12.345678] text
//
// wall-clock time in UTC, level, and the kernel's own time stamp in seconds since boot. A
// facility other than the kernel's stands before the level: daemon.info. Where the kernel
// writes no time stamps (printk.time=0) both times are "-".
//
// The wall-clock time of a line from the ring is computed: see kernelClock. That of a line
// from the journal was taken when it came, but is of no use before the clock was set at boot.
type kernelFacts struct {
	Source    string    `json:"source"`                 // "syslog" (the ring buffer) or "journal"
	ZeroTime  time.Time `json:"zeroTime,omitzero"`      // wall clock at time stamp 0, which is soon after power-on
	ClockRate float64   `json:"clockRate,omitempty"`    // wall-clock seconds in one second of time stamps; 0 means unknown, taken as 1
	RingBytes int       `json:"ringBytes,omitempty"`    // that the kernel returned
	Lines     int       `json:"lines"`                  // in kernel.log
	Outside   int       `json:"linesOutsideWindow"`     // left out
	Malformed int       `json:"malformedLines"`         // of the ring: in kernel.log under the time of the line before; of the journal: left out
	First     time.Time `json:"firstTime,omitzero"`     // of all lines, also those outside the window
	Last      time.Time `json:"lastTime,omitzero"`      // likewise
	FirstSecs float64   `json:"firstSeconds"`           // likewise, as time stamp
	LastSecs  float64   `json:"lastSeconds"`            // likewise
	Wrapped   bool      `json:"wrapped"`                // the log does not begin at boot: older lines were overwritten or cleared
	WhyNot    string    `json:"whyNotRing,omitempty"`   // why the source is not the ring
	Clock     string    `json:"clockOfLines,omitempty"` // how the wall-clock times were found
}

func collectKernel(ctx context.Context, env *collect.Env, out collect.Output, source kernelSource) error {
	log := &kernelLog{window: env.Window, create: func() (io.WriteCloser, error) { return collect.CreateLog(out, "kernel.log", 0) }}
	ring, err := source.ring(env)
	if err == nil {
		err = log.addRing(ctx, env, ring, source)
	} else {
		err = log.addJournal(ctx, env, err)
	}
	if err = errors.Join(err, log.close()); err != nil {
		return err
	}
	return writeJSON(out, "kernel.json", log.facts)
}

func (l *kernelLog) addRing(ctx context.Context, env *collect.Env, ring []byte, source kernelSource) error {
	clock := newKernelClock(env, source)
	l.facts.Source, l.facts.RingBytes = "syslog", len(ring)
	l.facts.ZeroTime, l.facts.ClockRate = clock.zero, clock.rate
	l.facts.Clock = "computed from time stamps by the clock of now; a step of the clock since shifts lines before it"
	if clock.rate == 0 {
		l.facts.Clock += "; drift unknown, up to seconds a day of uptime"
	}
	for line := range bytes.Lines(ring) {
		if err := context.Cause(ctx); err != nil {
			return err
		}
		parsed, ok := parseKernelLine(line)
		if ok && parsed.stamped {
			parsed.wall = clock.wall(parsed.stamp)
		}
		if err := l.add(parsed, ok); err != nil {
			return err
		}
	}
	if !l.any {
		l.facts.Clock = "none: no line has a time stamp"
	}
	return nil
}

// A kernelClock turns time stamps of the ring buffer into wall-clock times.
//
// The stamps count seconds since soon after power-on, without time in suspend, by a clock
// (sched_clock) that nothing disciplines: it drifts against the wall clock by up to some
// tens of parts per million, seconds a day. Where the scheduler's debug file can be read,
// which shows both clocks, the drift since boot is known, and taken out as if it had been
// even. What remains wrong: lines before a step of the wall clock or before a suspend.
// https://docs.kernel.org/timers/timekeeping.html
type kernelClock struct {
	zero time.Time
	rate float64
}

func newKernelClock(env *collect.Env, source kernelSource) kernelClock {
	now, monotonic := source.now()
	c := kernelClock{zero: now.Add(-monotonic).UTC()}
	// Only the head is wanted, and with so short a read the kernel makes little more than that.
	const head = 512
	for _, path := range []string{"/sys/kernel/debug/sched/debug", "/proc/sched_debug"} {
		data, err := env.Host.ReadFile(path, head)
		if err == nil || errors.Is(err, host.ErrTooLarge) {
			c.rate = parseKernelRate(data)
			break
		}
	}
	return c
}

func (c kernelClock) wall(stamp time.Duration) time.Time {
	if c.rate == 0 {
		return c.zero.Add(stamp)
	}
	return c.zero.Add(time.Duration(float64(stamp) * c.rate))
}

// parseKernelRate returns how fast CLOCK_MONOTONIC runs against the clock of the ring, by
// the head of the scheduler's debug file; 0 if that does not tell, or not believably.
// https://github.com/torvalds/linux/blob/master/kernel/sched/debug.c
func parseKernelRate(data []byte) float64 {
	clocks := map[string]float64{}
	snapshotPairs(data, ":", func(key, value string) {
		if n, err := strconv.ParseFloat(value, 64); err == nil {
			clocks[key] = n
		}
	})
	const minute, most = 60_000, 1e-3 // milliseconds, parts
	monotonic, ring := clocks["ktime"], clocks["cpu_clk"]
	if rate := monotonic / ring; ring >= minute && rate > 1-most && rate < 1+most {
		return rate
	}
	return 0
}

// A kernelLine is one line of the kernel's log.
type kernelLine struct {
	priority int // facility * 8 + level
	stamped  bool
	stamp    time.Duration
	wall     time.Time // zero: unknown
	text     []byte
}

// kernelMostSeconds keeps time stamps, and wall-clock times made of them, in range.
const kernelMostSeconds = 1 << 32

// parseKernelLine parses "<6>[   12.345678] text", the time stamp being optional. Of a line
// that is not so it returns the text alone, and false.
// https://man7.org/linux/man-pages/man2/syslog.2.html
func parseKernelLine(line []byte) (kernelLine, bool) {
	line = bytes.TrimRight(line, "\r\n\x00")
	rest, ok := bytes.CutPrefix(line, []byte("<"))
	number, rest, closed := bytes.Cut(rest, []byte(">"))
	priority, err := strconv.ParseUint(string(number[:min(len(number), 8)]), 10, 16)
	if !ok || !closed || err != nil || len(number) > 8 {
		return kernelLine{text: line}, false
	}
	l := kernelLine{priority: int(priority), text: rest}
	if inner, after, ok := kernelBrackets(rest); ok {
		if l.stamp, l.stamped = parseKernelStamp(inner); l.stamped {
			l.text = bytes.TrimPrefix(after, []byte(" "))
		}
	}
	return l, true
}

func kernelBrackets(text []byte) (inner string, after []byte, ok bool) {
	const longest = 32
	if len(text) == 0 || text[0] != '[' {
		return "", nil, false
	}
	end := bytes.IndexByte(text[:min(len(text), longest)], ']')
	if end < 0 {
		return "", nil, false
	}
	return string(text[1:end]), text[end+1:], true
}

// parseKernelStamp parses "   12.345678".
func parseKernelStamp(text string) (time.Duration, bool) {
	whole, fraction, ok := strings.Cut(strings.TrimLeft(text, " "), ".")
	seconds, err := strconv.ParseUint(whole, 10, 64)
	if !ok || err != nil || seconds > kernelMostSeconds || len(fraction) != 6 {
		return 0, false
	}
	micros, err := strconv.ParseUint(fraction, 10, 64)
	return time.Duration(seconds)*time.Second + time.Duration(micros)*time.Microsecond, err == nil
}
