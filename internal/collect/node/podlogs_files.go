package node

import (
	"cmp"
	"encoding/binary"
	"encoding/json"
	"errors"
	"io"
	"io/fs"
	"path"
	"slices"
	"strconv"
	"strings"
	"sync"

	"github.com/periscope-k8s/periscope/internal/collect"
	"github.com/periscope-k8s/periscope/internal/host"
)

// A podlogsRecord is what podlogs.json says of one container.
type podlogsRecord struct {
	Namespace string         `json:"namespace"`
	Pod       string         `json:"pod"`
	UID       string         `json:"uid"`
	Container string         `json:"container"`
	Files     []*podlogsFile `json:"files"` // newest first

	pending sync.WaitGroup // files that are not done
}

// A podlogsFile is one file in the folder of a container.
type podlogsFile struct {
	Name           string `json:"name"`
	SizeBytes      int64  `json:"sizeBytes"`          // on the host, compressed or not
	CollectedBytes int64  `json:"collectedBytes"`     // not compressed
	CutBytes       int64  `json:"cutBytes,omitempty"` // left out at the front for want of room, not compressed
	Note           string `json:"note,omitempty"`     // what went wrong while it was read
	LeftOut        string `json:"leftOut,omitempty"`  // why it was not collected

	path   string // on the host
	stored string // name in the bundle
	gzip   bool
	info   fs.FileInfo
	// What is wanted lies between these offsets of the (decompressed) content. The end of a compressed file is an
	// estimate.
	from, to int64
	want     int64
	limit    int64 // room for it
}

// list describes the files of a container, newest first.
func (p *podlogs) list(d podlogsDir) ([]*podlogsFile, error) {
	entries, err := p.env.Host.ReadDir(d.path(), podlogsMaxFiles)
	files := make([]*podlogsFile, 0, len(entries))
	for _, e := range entries {
		f := &podlogsFile{Name: e.Name(), path: path.Join(d.path(), e.Name())}
		f.stored, f.gzip = strings.CutSuffix(path.Join(d.pod, d.container, f.Name), ".gz")
		f.LeftOut = p.look(f)
		f.want = f.to - f.from
		files = append(files, f)
	}
	slices.SortFunc(files, func(a, b *podlogsFile) int { return podlogsOrder(a.Name, b.Name) })
	return files, err
}

// look finds what is wanted of a file, or why nothing is.
func (p *podlogs) look(f *podlogsFile) (leftOut string) {
	if !strings.Contains(f.Name, ".log") || strings.HasSuffix(f.Name, ".tmp") {
		return "not a log, or a copy that is not complete"
	}
	var err error
	if f.info, err = p.env.Host.Stat(f.path); err != nil {
		return podlogsWhy(err)
	}
	if !f.info.Mode().IsRegular() {
		return "not a regular file"
	}
	f.SizeBytes = f.info.Size()
	if f.info.ModTime().Before(p.env.Window.Since) {
		return "not written to since the start of the window"
	}
	if f.to = f.SizeBytes; f.gzip || (!p.env.Window.Open() && f.to > podlogsSmall) {
		err = p.measure(f)
	}
	if err != nil {
		return podlogsWhy(err)
	}
	return ""
}

func podlogsWhy(err error) string {
	if isNotExist(err) {
		return "vanished, or a link that leads nowhere"
	}
	var p *fs.PathError
	if errors.As(err, &p) {
		err = p.Err
	}
	return err.Error()
}

func isNotExist(err error) bool { return errors.Is(err, fs.ErrNotExist) }

// measure looks into a file for the span that is wanted.
func (p *podlogs) measure(f *podlogsFile) error {
	file, err := p.env.Host.Open(f.path)
	if err != nil {
		return err
	}
	defer func() { _ = file.Close() }()
	if f.gzip {
		f.to, err = podlogsGzipSize(file, f.SizeBytes)
		return err
	}
	f.from, f.to = podlogsSpan(file, f.SizeBytes, p.env.Window, p.probe)
	return nil
}

// Deflate makes text at most 1032 times smaller: https://zlib.net/zlib_tech.html
const podlogsMaxRatio = 1032

// podlogsGzipSize returns the length of the content of a gzip file as its trailer tells,
// between what can be true. The trailer tells it modulo 4 GiB, and of the last member
// only; the kubelet writes one member: https://www.rfc-editor.org/rfc/rfc1952
func podlogsGzipSize(file *host.File, size int64) (int64, error) {
	var trailer [4]byte
	if size < int64(len(trailer)) {
		return size, nil
	}
	if _, err := file.ReadAt(trailer[:], size-int64(len(trailer))); err != nil && !errors.Is(err, io.EOF) {
		return 0, err
	}
	told := int64(binary.LittleEndian.Uint32(trailer[:]))
	return min(max(told, size), size*podlogsMaxRatio), nil
}

// podlogsOrder compares by age, the newest first. The kubelet names logs RESTARTS.log,
// and RESTARTS.log.TIME when they are rotated.
func podlogsOrder(a, b string) int {
	an, at := podlogsAge(a)
	bn, bt := podlogsAge(b)
	return cmp.Or(cmp.Compare(bn, an), cmp.Compare(bt, at), cmp.Compare(a, b))
}

func podlogsAge(name string) (restarts int, rotated string) {
	n, rest, _ := strings.Cut(name, ".log")
	restarts, err := strconv.Atoi(n)
	if err != nil {
		restarts = -1
	}
	if rest == "" {
		rest = "~" // after every time
	}
	return restarts, rest
}

// writePodlogsIndex writes podlogs.json, one container at a time as they are done.
func writePodlogsIndex(out collect.Output, done <-chan *podlogsRecord) error {
	w, err := out.Create("podlogs.json")
	if err != nil {
		for range done { // whoever sends must not wait for ever
		}
		return err
	}
	write := func(s string) {
		if err == nil {
			_, err = io.WriteString(w, s)
		}
	}
	separator := "{\n  \"containers\": [\n    "
	for r := range done {
		r.pending.Wait()
		data, _ := json.Marshal(r) // strings and numbers always encode
		write(separator + string(data))
		separator = ",\n    "
	}
	write("\n  ]\n}\n")
	return errors.Join(err, w.Close())
}
