package node

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"

	"github.com/periscope-k8s/periscope/internal/collect"
)

// A processWriter writes processes.jsonl and ps.txt, each up to a limit of its own so that
// the summary, written last, always has room.
type processWriter struct {
	list, table *lineFile
}

func newProcessWriter(out collect.Output) (*processWriter, error) {
	list, err := newLineFile(out, "processes.jsonl", processListBytes)
	if err != nil {
		return nil, err
	}
	table, err := newLineFile(out, "ps.txt", processTableBytes)
	if err != nil {
		return nil, errors.Join(err, list.close())
	}
	w := &processWriter{list, table}
	return w, table.add([]byte(processHeader))
}

func (w *processWriter) write(p *process, branches string, now time.Time) error {
	line, err := json.Marshal(p)
	if err != nil {
		return fmt.Errorf("encode process %d: %w", p.PID, err)
	}
	return errors.Join(w.list.add(append(line, '\n')), w.table.add([]byte(processLine(p, branches, now))))
}

func (w *processWriter) close() error { return errors.Join(w.list.close(), w.table.close()) }

func (w *processWriter) warn(log *slog.Logger) {
	w.list.warn(log)
	w.table.warn(log)
}

const processHeader = "USER             PID    PPID STAT  %CPU %MEM      RSS         VSZ NLWP START          TIME WCHAN                COMMAND\n"

// processLine is a line of ps.txt. Sizes are KiB; times are UTC.
func processLine(p *process, branches string, now time.Time) string {
	return fmt.Sprintf("%-12s %7d %7d %-4s %5.1f %4.1f %8d %11d %4d %-5s %13s %-20s %s%s\n",
		cmp.Or(processCut(p.User, 12), processUID(p)), p.PID, p.PPID, p.Stat, p.CPUPercent, p.MemoryPercent,
		p.RSSBytes/1024, p.VSZBytes/1024, p.Threads, processStart(p.Started, now), processTime(p.CPUSeconds),
		cmp.Or(processCut(p.WaitChannel, 20), "-"), branches, processCommand(p))
}

func processUID(p *process) string {
	if p.UID == nil {
		return "?"
	}
	return strconv.FormatInt(*p.UID, 10)
}

// processCut cuts s to width bytes, the last of them a plus when it was longer.
func processCut(s string, width int) string {
	s = processPrintable(s)
	if len(s) > width {
		return strings.ToValidUTF8(s[:width-1], "") + "+"
	}
	return s
}

// processPrintable replaces what could move the cursor or break the line.
func processPrintable(s string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsPrint(r) {
			return r
		}
		return '?'
	}, s)
}

// processCommand is the command line, or the name in brackets where there is none.
func processCommand(p *process) string {
	if p.Args != "" {
		return processPrintable(p.Args)
	}
	name := "[" + processPrintable(p.Comm) + "]"
	if p.State == "Z" {
		name += " <defunct>"
	}
	return name
}

// processStart is the time of day of a start within the last day, else its date, else its year.
func processStart(start, now time.Time) string {
	switch age := now.Sub(start); {
	case start.IsZero():
		return "?"
	case now.IsZero() || age > 300*24*time.Hour:
		return start.Format("2006")
	case age > 24*time.Hour:
		return start.Format("Jan02")
	}
	return start.Format("15:04")
}

// processTime is CPU time as [days-]hours:minutes:seconds.
func processTime(seconds float64) string {
	s := int64(seconds)
	days := ""
	if s >= 86400 {
		days = fmt.Sprintf("%d-", s/86400)
	}
	return fmt.Sprintf("%s%02d:%02d:%02d", days, s/3600%24, s/60%60, s%60)
}

// How many processes the summary names.
const (
	processTop     = 20
	processBlocked = 200
)

// A processSummary is processes.json. It counts all processes, also those that did not fit
// into the other files.
type processSummary struct {
	Total         int            `json:"total"`
	ByState       map[string]int `json:"byState"`
	KernelThreads int            `json:"kernelThreads"`
	Threads       int            `json:"threads"`
	PIDMax        int64          `json:"pidMax,omitempty"`
	ThreadsMax    int64          `json:"threadsMax,omitempty"`
	Gone          int            `json:"gone"`     // ended while they were read
	Listed        int            `json:"listed"`   // in processes.jsonl
	Complete      bool           `json:"complete"` // false: the collector was ended before it had read all
	TopCPU        []process      `json:"topCPU"`   // by use in the sample, then by CPU time
	TopRSS        []process      `json:"topRSS"`
	Blocked       []process      `json:"blocked"` // in uninterruptible sleep (state D)
	BlockedMore   int            `json:"blockedMore,omitempty"`
}

func newProcessSummary(env *collect.Env) *processSummary {
	number := func(path string) int64 {
		data, err := env.Host.ReadFile(path, 64)
		if err != nil {
			env.Log.Warn("read file", "path", path, "err", err)
		}
		n, _ := strconv.ParseInt(strings.TrimSpace(string(data)), 10, 64)
		return n
	}
	return &processSummary{
		ByState: map[string]int{}, PIDMax: number("/proc/sys/kernel/pid_max"), ThreadsMax: number("/proc/sys/kernel/threads-max"),
		TopCPU: []process{}, TopRSS: []process{}, Blocked: []process{},
	}
}

func (s *processSummary) add(p *process) {
	s.Total++
	s.ByState[p.State]++
	s.Threads += p.Threads
	if p.KernelThread {
		s.KernelThreads++
	}
	s.TopCPU = processInsert(s.TopCPU, p, processByCPU)
	if p.RSSBytes > 0 {
		s.TopRSS = processInsert(s.TopRSS, p, func(a, b *process) int { return cmp.Compare(b.RSSBytes, a.RSSBytes) })
	}
	if p.State != "D" {
		return
	}
	if len(s.Blocked) == processBlocked {
		s.BlockedMore++
		return
	}
	s.Blocked = append(s.Blocked, *p)
}

func processByCPU(a, b *process) int {
	sample := func(p *process) float64 {
		if p.CPUPercentSample == nil {
			return 0
		}
		return *p.CPUPercentSample
	}
	return cmp.Or(cmp.Compare(sample(b), sample(a)), cmp.Compare(b.CPUSeconds, a.CPUSeconds))
}

// processInsert puts p into top, which is sorted by less first and keeps processTop.
func processInsert(top []process, p *process, compare func(a, b *process) int) []process {
	at, _ := slices.BinarySearchFunc(top, p, func(a process, p *process) int {
		return cmp.Or(compare(&a, p), -1) // after its equals
	})
	if at == processTop {
		return top
	}
	if len(top) == processTop {
		top = top[:processTop-1]
	}
	return slices.Insert(top, at, *p)
}
