package node

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"strconv"
	"time"

	"github.com/periscope-k8s/periscope/internal/collect"
	"github.com/periscope-k8s/periscope/internal/host"
)

// kernelJournalLines is the most lines taken from the journal, the newest ones. It bounds
// what journalctl has to send, at some 700 bytes each.
const kernelJournalLines = 50_000

// addJournal adds the kernel's lines of this boot from the journal; refused is why the ring
// buffer could not be read. A journal without such lines is a skip.
func (l *kernelLog) addJournal(ctx context.Context, env *collect.Env, refused error) error {
	l.facts.Source, l.facts.WhyNot = "journal", refused.Error()
	l.facts.Clock = "taken when the line reached the journal"
	lines := &kernelJournal{log: l}
	exit, err := env.Exec(ctx, host.Command{
		Name: "journalctl",
		Args: []string{"-k", "-b", "-n", strconv.Itoa(kernelJournalLines), "-o", "json", "--no-pager", "-q",
			"--output-fields=MESSAGE,PRIORITY,SYSLOG_FACILITY,_SOURCE_MONOTONIC_TIMESTAMP"},
		Stdout: lines, MaxOutput: 128 << 20,
	})
	if lines.err != nil {
		return lines.err
	}
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	if lines.count == 0 {
		return collect.Skip("the kernel's log cannot be read: %v (run as root, give the capability SYSLOG, or set kernel.dmesg_restrict=0), nor its copy in the journal: %s",
			refused, kernelNoLines(exit, err))
	}
	if err != nil {
		env.Log.Warn("read the kernel's lines of the journal", "err", err)
	}
	env.Log.Warn("the ring buffer cannot be read, the journal was taken instead", "err", refused)
	return nil
}

// kernelNoLines tells why journalctl gave no lines.
func kernelNoLines(exit host.Exit, err error) string {
	switch {
	case err != nil:
		return err.Error()
	case exit.Stderr != "":
		return "journalctl: " + exit.Stderr
	}
	return "it has no such lines"
}

// A kernelJournal takes the output of journalctl in any pieces.
type kernelJournal struct {
	log   *kernelLog
	rest  []byte // begin of a line
	long  bool   // the line is too long and is being passed over
	count int
	err   error // of writing kernel.log
}

// kernelJournalLine bounds what is held of a line, which is mostly under 1 KiB: the
// kernel's messages are that short.
const kernelJournalLine = 64 << 10

// Write implements io.Writer. It fails when kernel.log cannot be written.
func (j *kernelJournal) Write(p []byte) (int, error) {
	for piece := range bytes.Lines(p) {
		if j.long = j.long || len(j.rest)+len(piece) > kernelJournalLine; !j.long {
			j.rest = append(j.rest, piece...)
		}
		if piece[len(piece)-1] != '\n' {
			break
		}
		j.line()
		j.rest, j.long = j.rest[:0], false
		if j.err != nil {
			return 0, j.err
		}
	}
	return len(p), nil
}

// line adds the complete line in rest. A message of several lines becomes several lines
// with the same time.
func (j *kernelJournal) line() {
	parsed, err := parseKernelJournal(j.rest)
	if err != nil || j.long {
		j.log.facts.Malformed++
		return
	}
	j.count++
	for text := range bytes.SplitSeq(parsed.text, []byte("\n")) {
		parsed.text = text
		if j.err = j.log.add(parsed, true); j.err != nil {
			return
		}
	}
}

// parseKernelJournal parses one entry of journalctl -o json:
// https://systemd.io/JOURNAL_EXPORT_FORMATS/#journal-json-format
func parseKernelJournal(data []byte) (kernelLine, error) {
	var entry struct {
		Message   kernelMessage `json:"MESSAGE"`
		Priority  string        `json:"PRIORITY"`
		Facility  string        `json:"SYSLOG_FACILITY"`
		Real      string        `json:"__REALTIME_TIMESTAMP"`
		Monotonic string        `json:"__MONOTONIC_TIMESTAMP"`
		Source    string        `json:"_SOURCE_MONOTONIC_TIMESTAMP"`
	}
	if err := json.Unmarshal(data, &entry); err != nil {
		return kernelLine{}, err
	}
	wall, ok := kernelMicros(entry.Real)
	if !ok {
		return kernelLine{}, errors.New("no time")
	}
	level, _ := strconv.ParseUint(entry.Priority, 10, 3)
	facility, _ := strconv.ParseUint(entry.Facility, 10, 7)
	l := kernelLine{priority: int(facility<<3 | level), text: entry.Message, wall: time.Unix(0, 0).Add(wall).UTC()}
	if l.stamp, l.stamped = kernelMicros(entry.Source); !l.stamped {
		l.stamp, l.stamped = kernelMicros(entry.Monotonic)
		return l, nil
	}
	// Lines from before the journal was started reach it late, but soon enough for the two
	// clocks to be still the same.
	const early = time.Minute
	if came, ok := kernelMicros(entry.Monotonic); ok && came > l.stamp && came < early {
		l.wall = l.wall.Add(l.stamp - came)
	}
	return l, nil
}

func kernelMicros(text string) (time.Duration, bool) {
	n, err := strconv.ParseUint(text, 10, 64)
	if err != nil || n > kernelMostSeconds*1_000_000 {
		return 0, false
	}
	return time.Duration(n) * time.Microsecond, true
}

// A kernelMessage is text, or where that is not UTF-8 an array of bytes.
type kernelMessage []byte

// UnmarshalJSON implements json.Unmarshaler.
func (m *kernelMessage) UnmarshalJSON(data []byte) error {
	var text string
	if err := json.Unmarshal(data, &text); err == nil {
		*m = kernelMessage(text)
		return nil
	}
	var numbers []uint16 // a []byte would be decoded from base64
	if err := json.Unmarshal(data, &numbers); err != nil {
		return err
	}
	for _, n := range numbers {
		*m = append(*m, byte(n))
	}
	return nil
}
