package collect

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"
	"strconv"
	"strings"
	"sync"
	"unicode/utf8"

	"github.com/periscope-k8s/periscope/internal/manifest"
)

// errEnded is what a collector gets that writes after its end.
var errEnded = errors.New("the collector's time is over")

// An output is the Output of one collector: it puts files into the collector's folder,
// takes every byte from the budget, and can be sealed while the collector hangs.
type output struct {
	clock  *clock // of the collector; ends waits for room
	index  int    // of the collector in the budget
	folder string
	to     Output
	budget *budget
	report func(files int, bytes int64)

	mu      sync.Mutex
	sealed  bool
	open    map[*file]bool
	names   map[string]bool
	files   int
	bytes   int64
	cut     int64
	sizeHit bool
	held    int64 // reserved and not yet written
	errs    []error
}

// Create makes a file of the archive; see Output.
func (o *output) Create(name string) (io.WriteCloser, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.sealed {
		return nil, errEnded
	}
	w, err := o.create(SafeName(name))
	if err != nil {
		return nil, err
	}
	f := &file{o: o, w: w}
	o.open[f] = true
	o.files++
	return f, nil
}

// create makes a file of the archive under the next name that is free, there too: parts of
// long files have names of their own.
func (o *output) create(name string) (io.WriteCloser, error) {
	for try := 0; ; try++ {
		free := o.unique(name)
		w, err := o.to.Create(path.Join(o.folder, free))
		if err == nil {
			return w, nil
		}
		if !errors.Is(err, fs.ErrExist) || try == maxTries {
			return nil, fmt.Errorf("create %s: %w", free, err)
		}
	}
}

const maxTries = 1000

// unique adds ~2, ~3, ... to a name that is taken. Names that differ only in case count
// as the same: a bundle must unpack anywhere.
func (o *output) unique(name string) string {
	for n, try := 2, name; ; n++ {
		if key := strings.ToLower(try); !o.names[key] {
			o.names[key] = true
			return try
		}
		try = name + "~" + strconv.Itoa(n)
	}
}

// Reserve is explained at the function Reserve.
func (o *output) Reserve(want int64) (int64, error) {
	got, byRun, err := o.budget.take(o.clock, o.index, want)
	o.mu.Lock()
	defer o.mu.Unlock()
	o.held += got
	o.sizeHit = o.sizeHit || byRun
	return got, err
}

// take returns how many of n bytes may be written.
func (o *output) take(n int64) (int64, error) {
	o.mu.Lock()
	held := min(n, o.held)
	o.held -= held
	o.mu.Unlock()
	if held == n {
		return n, nil
	}
	got, byRun, err := o.budget.take(o.clock, o.index, n-held)
	o.mu.Lock()
	defer o.mu.Unlock()
	o.sizeHit = o.sizeHit || byRun
	return held + got, err
}

func (o *output) count(wrote, cut int64) {
	o.mu.Lock()
	o.bytes += wrote
	o.cut += cut
	files, bytes := o.files, o.bytes
	o.mu.Unlock()
	o.report(files, bytes)
}

// seal ends the collector's writing and closes what it left open.
func (o *output) seal() {
	o.mu.Lock()
	o.sealed = true
	left := make([]*file, 0, len(o.open))
	for f := range o.open {
		left = append(left, f)
	}
	o.mu.Unlock()
	for _, f := range left {
		o.endLeft(f)
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	o.budget.give(o.index, o.held)
	o.held = 0
	o.budget.finish(o.index)
}

// endLeft closes a file that the collector left open. Its error is in o.errs; a panic, such as
// of the masker, must not leave the engine's goroutine.
func (o *output) endLeft(f *file) {
	defer func() {
		if p := recover(); p != nil {
			o.mu.Lock()
			o.errs = append(o.errs, &panicError{value: p})
			o.mu.Unlock()
		}
	}()
	_ = f.end(true)
}

// A file is one open file of a collector.
type file struct {
	o       *output
	w       io.WriteCloser
	mu      sync.Mutex
	keepEnd bool
	limit   int64 // of a log: most bytes it keeps
	closed  bool
	full    bool  // it was cut at its end
	taken   int64 // of the budget, for bytes that are still in the file
	err     error // first error of the archive; the file is over then
}

// Write writes what the limits allow and counts the rest as cut.
func (f *file) Write(p []byte) (int, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.closed {
		return 0, errEnded
	}
	if f.err != nil {
		return 0, f.err
	}
	all := len(p)
	p, err := f.fit(p)
	if err != nil {
		return 0, err
	}
	if _, f.err = f.w.Write(p); f.err != nil {
		return 0, f.err
	}
	f.taken += int64(len(p))
	f.o.count(int64(len(p)), int64(all-len(p)))
	return all, nil
}

// fit takes room for p and returns what of it may be written: of a log its newest end, of
// another file its start. Nothing follows what was cut off: a secret may lie across a gap.
func (f *file) fit(p []byte) ([]byte, error) {
	if f.keepEnd {
		return f.fitEnd(p)
	}
	var room int64
	var err error
	if !f.full {
		room, err = f.o.take(int64(len(p)))
	}
	if rest := int64(len(p)) - room; err == nil && rest > 0 {
		f.full = true
		Describe(f.w, manifest.Source{CutEnd: rest})
	}
	return p[:room], err
}

func (f *file) fitEnd(p []byte) ([]byte, error) {
	want := min(int64(len(p)), f.limit)
	if over := f.taken + int64(len(p)) - f.limit; over > 0 {
		f.drop(over)
	}
	room, err := f.o.take(want)
	if err == nil && room < want {
		room, err = f.makeRoom(room, want)
	}
	if err != nil || room == int64(len(p)) {
		return p, err
	}
	f.drop(f.taken)
	from := len(p) - int(room)
	if i := bytes.IndexByte(p[from:], '\n'); from > 0 && p[from-1] != '\n' && i >= 0 {
		from += i + 1
	}
	f.o.budget.give(f.o.index, room-int64(len(p)-from))
	Describe(f.w, manifest.Source{CutFront: int64(from)})
	return p[from:], nil
}

// makeRoom drops old lines of a log until want bytes fit, as far as that goes.
func (f *file) makeRoom(room, want int64) (int64, error) {
	f.drop(want - room)
	more, err := f.o.take(want - room)
	return room + more, err
}

// drop lets at least n old bytes of a log go, as far as the archive can.
func (f *file) drop(n int64) {
	d, ok := f.w.(interface{ DropFront(n int64) int64 })
	if !ok {
		return
	}
	freed := min(d.DropFront(n), f.taken) // masking may have made the text longer than what was taken
	f.taken -= freed
	f.o.budget.give(f.o.index, freed)
	f.o.count(-freed, freed)
}

// KeepEnd makes the file a log, see CreateLog, of which the newest limit bytes stay; 0
// means the collector's limit. The limit also tells the archive how finely to cut.
func (f *file) KeepEnd(limit int64) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.keepEnd = true
	if limit == 0 {
		limit = f.o.room()
	}
	f.limit = limit
	if k, ok := f.w.(interface{ KeepEnd(limit int64) }); ok {
		k.KeepEnd(limit)
	}
}

func (o *output) room() int64 {
	o.budget.mu.Lock()
	defer o.budget.mu.Unlock()
	return min(o.budget.claims[o.index], o.budget.free)
}

// Describe passes a Source on to the archive and counts what it says was cut.
func (f *file) Describe(s manifest.Source) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.closed {
		return
	}
	Describe(f.w, s)
	if n := s.CutFront + s.CutEnd; n > 0 {
		f.o.count(0, n)
	}
}

// Close closes the file. The bytes are safe when it returns nil.
func (f *file) Close() error { return f.end(false) }

func (f *file) end(partial bool) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.closed {
		return nil
	}
	f.closed = true
	if partial {
		Describe(f.w, manifest.Source{Partial: true})
	}
	err := f.w.Close()
	f.o.mu.Lock()
	defer f.o.mu.Unlock()
	delete(f.o.open, f)
	if err != nil {
		f.o.errs = append(f.o.errs, err)
	}
	return err
}

// SafeName makes a name that any file system can unpack: slash-separated, relative,
// without dot segments, control characters, invalid UTF-8 or characters that Windows
// forbids. What is not allowed is percent-encoded, so that different names stay different.
func SafeName(name string) string {
	var parts []string
	for part := range strings.SplitSeq(name, "/") {
		if part != "" {
			parts = append(parts, safeDevice(safePart(part)))
		}
	}
	if len(parts) == 0 {
		return "%00"
	}
	return strings.Join(parts, "/")
}

// safeDevice encodes the first letter of a segment that Windows takes for a device.
func safeDevice(part string) string {
	stem, _, _ := strings.Cut(strings.ToUpper(part), ".")
	switch stem = strings.TrimRight(stem, " "); {
	case stem == "CON", stem == "PRN", stem == "AUX", stem == "NUL",
		len(stem) == 4 && (strings.HasPrefix(stem, "COM") || strings.HasPrefix(stem, "LPT")) && stem[3] >= '0' && stem[3] <= '9':
		return fmt.Sprintf("%%%02X", part[0]) + part[1:]
	}
	return part
}

const maxPart = 200 // bytes of one path segment; longer ones lose their middle

func safePart(part string) string {
	var b strings.Builder
	for i := 0; i < len(part); {
		r, n := utf8.DecodeRuneInString(part[i:])
		if r < ' ' || r == 0x7f || (r >= 0x80 && r < 0xa0) || (r == utf8.RuneError && n == 1) || strings.ContainsRune(`%\:*?"<>|`, r) ||
			(r == '.' && i+n == len(part)) || (r == ' ' && i+n == len(part)) {
			for _, c := range []byte(part[i : i+n]) {
				fmt.Fprintf(&b, "%%%02X", c)
			}
		} else {
			b.WriteString(part[i : i+n])
		}
		i += n
	}
	s := b.String()
	if len(s) > maxPart {
		s = strings.ToValidUTF8(s[:maxPart/2], "") + "~" + strings.ToValidUTF8(s[len(s)-maxPart/2:], "")
	}
	return s
}
