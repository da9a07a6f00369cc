package cluster

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"
)

const (
	// journalLine is where a line is cut in two, as journald does (LineMax= of journald.conf(5)).
	journalLine = 48 << 10
	// journalFile is how many bytes of entries go into a journal file before it is archived.
	journalFile = 4 << 20
	// firstJournalFile is the same for the first file after a boot, so that a young node has an archived file too.
	firstJournalFile = 64 << 10
	// journalArchives is how many archived files are kept, the newest.
	journalArchives = 8
	// journalQueue is how many entries wait for a slow disk; more are dropped, as the units must not wait.
	journalQueue = 4096
	// stderrLevel is what systemd gives to every line of a unit's stderr, an error of klog's too.
	stderrLevel = 6
)

// An entry is one journal entry before it has a time.
type entry struct {
	unit, identifier, message string
	pid, priority             int
}

// A journal writes a node's journal files, with systemd-journal-remote, from entries in the Journal Export Format
// (https://systemd.io/JOURNAL_EXPORT_FORMATS/).
type journal struct {
	node    *nodeInit
	dir     string
	entries chan entry
	dropped atomic.Int64
}

func startJournal(n *nodeInit, s bootSpec) *journal {
	j := &journal{node: n, dir: filepath.Join("/var/log/journal", s.MachineID), entries: make(chan entry, journalQueue)}
	go j.write()
	return j
}

func (j *journal) add(e entry) {
	select {
	case j.entries <- e:
	default:
		j.dropped.Add(1)
	}
}

// write feeds one journal file after the other. An entry whose file could not be written is lost.
func (j *journal) write() {
	size := firstJournalFile
	for {
		err := j.writeFile(size)
		if err == nil {
			err = j.vacuum()
		}
		if err != nil {
			fmt.Fprintf(os.Stderr, "journal: %v\n", err)
			time.Sleep(time.Second)
		}
		size = journalFile
	}
}

// vacuum deletes the oldest archived files.
func (j *journal) vacuum() error {
	archives, err := filepath.Glob(filepath.Join(j.dir, "system@*"))
	if err != nil {
		return err
	}
	age := map[string]time.Time{}
	for _, path := range archives {
		info, err := os.Stat(path)
		if err != nil {
			return err
		}
		age[path] = info.ModTime()
	}
	slices.SortFunc(archives, func(a, b string) int { return age[b].Compare(age[a]) })
	for _, path := range archives[min(journalArchives, len(archives)):] {
		if err := os.Remove(path); err != nil {
			return err
		}
	}
	return nil
}

// writeFile writes system.journal until it has taken size bytes of entries, and archives it.
func (j *journal) writeFile(size int) error {
	if err := os.MkdirAll(j.dir, 0o755); err != nil {
		return err
	}
	path := filepath.Join(j.dir, "system.journal")
	r, w, err := os.Pipe()
	if err != nil {
		return err
	}
	defer w.Close()
	_, done, err := j.node.spawn(r.Fd(), 2, nil, "/lib/systemd/systemd-journal-remote", "--output="+path, "--split-mode=none", "-")
	r.Close()
	if err != nil {
		return err
	}
	var buf []byte
	for written := 0; written < size; written += len(buf) {
		e := <-j.entries
		if n := j.dropped.Swap(0); n > 0 {
			e.message = fmt.Sprintf("[%d messages before this one were lost] %s", n, e.message)
		}
		buf = j.appendEntry(buf[:0], e)
		if _, err := w.Write(buf); err != nil {
			return fmt.Errorf("systemd-journal-remote: %w (%s)", err, describe(<-done))
		}
	}
	w.Close()
	if status := <-done; status != 0 {
		return fmt.Errorf("systemd-journal-remote: %s", describe(status))
	}
	return archiveJournal(path)
}

func (j *journal) appendEntry(b []byte, e entry) []byte {
	var mono unix.Timespec
	_ = unix.ClockGettime(unix.CLOCK_MONOTONIC, &mono)
	field := func(name, value string) { b = append(append(append(append(b, name...), '='), value...), '\n') }
	field("__REALTIME_TIMESTAMP", strconv.FormatInt(time.Now().UnixMicro(), 10))
	field("__MONOTONIC_TIMESTAMP", strconv.FormatInt(mono.Nano()/1000, 10))
	field("_BOOT_ID", strings.ReplaceAll(j.node.spec.BootID, "-", ""))
	field("_MACHINE_ID", j.node.spec.MachineID)
	field("_HOSTNAME", j.node.spec.Name)
	field("PRIORITY", strconv.Itoa(e.priority))
	field("SYSLOG_FACILITY", "3")
	field("SYSLOG_IDENTIFIER", e.identifier)
	field("_PID", strconv.Itoa(e.pid))
	field("_UID", "0")
	field("_GID", "0")
	if e.pid == 1 {
		field("_TRANSPORT", "journal")
		field("_COMM", "systemd")
		field("_SYSTEMD_UNIT", "init.scope")
		field("UNIT", e.unit)
	} else {
		field("_TRANSPORT", "stdout")
		field("_COMM", e.identifier)
		field("_SYSTEMD_UNIT", e.unit)
		field("_SYSTEMD_CGROUP", "/system.slice/"+e.unit)
		field("_SYSTEMD_SLICE", "system.slice")
	}
	return append(appendMessage(b, e.message), '\n')
}

// appendMessage uses the binary form of a field where the text form cannot hold the message.
func appendMessage(b []byte, message string) []byte {
	plain := !strings.ContainsFunc(message, func(r rune) bool { return (r < ' ' && r != '\t') || r == 0xfffd })
	if plain {
		return append(append(append(b, "MESSAGE="...), message...), '\n')
	}
	b = append(b, "MESSAGE\n"...)
	b = binary.LittleEndian.AppendUint64(b, uint64(len(message)))
	return append(append(b, message...), '\n')
}

// archiveJournal does what journald does at rotation: sets the state of the file's header to archived and names the file by
// its first entry (https://systemd.io/JOURNAL_FILE_FORMAT/).
func archiveJournal(path string) error {
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	defer f.Close()
	const (
		stateAt, seqnumIDAt, headSeqnumAt, headTimeAt = 16, 72, 168, 184
		archived                                      = 2
	)
	var header [208]byte
	if _, err := io.ReadFull(f, header[:]); err != nil {
		return fmt.Errorf("read %s: %w", path, err)
	}
	if string(header[:8]) != "LPKSHHRH" {
		return fmt.Errorf("read %s: %w", path, errors.New("not a journal file"))
	}
	if _, err := f.WriteAt([]byte{archived}, stateAt); err != nil {
		return err
	}
	name := fmt.Sprintf("system@%x-%016x-%016x.journal", header[seqnumIDAt:seqnumIDAt+16],
		binary.LittleEndian.Uint64(header[headSeqnumAt:]), binary.LittleEndian.Uint64(header[headTimeAt:]))
	return os.Rename(path, filepath.Join(filepath.Dir(path), name))
}

// unitOutput carries what a unit prints to its log file and to the journal, line by line.
type unitOutput struct {
	unit    unit
	log     io.Writer
	journal *journal
	pid     atomic.Int64
}

func (o *unitOutput) copy(r io.Reader) {
	lines := bufio.NewReaderSize(r, journalLine)
	for {
		line, err := lines.ReadSlice('\n')
		if len(line) > 0 {
			_, _ = o.log.Write(line)
			if text := string(bytes.TrimRight(line, "\n")); o.unit.Journal && text != "" {
				o.journal.add(entry{unit: o.unit.Name + ".service", identifier: o.unit.Name, message: text, pid: int(o.pid.Load()), priority: stderrLevel})
			}
		}
		if err != nil && !errors.Is(err, bufio.ErrBufferFull) {
			return
		}
	}
}

// manager says something about the unit in the name of process 1.
func (o *unitOutput) manager(level int, message string) {
	fmt.Fprintf(os.Stderr, "%s\n", message)
	if o.unit.Journal {
		o.journal.add(entry{unit: o.unit.Name + ".service", identifier: "systemd", message: message, pid: 1, priority: level})
	}
}
