package node

import (
	"context"
	"errors"
	"fmt"
	"path"
	"runtime"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/periscope-k8s/periscope/internal/collect"
)

const (
	podlogsRoot = "/var/log/pods"

	podlogsMaxDirs  = 10_000 // containers of one run, and pods
	podlogsMaxFiles = 500    // files of one container; the kubelet keeps a handful
)

// A PodFilter chooses containers by the names of their pods; see ParsePodFilter.
type PodFilter struct {
	Namespace string
	Name      string // a pod, the start of a pod's name, or a container; empty: all of the namespace
}

// ParsePodFilter reads NAMESPACE or NAMESPACE/NAME, where NAME is a pod, the start of a
// pod's name, or a container.
func ParsePodFilter(s string) (PodFilter, error) {
	namespace, name, named := strings.Cut(s, "/")
	if namespace == "" || (named && name == "") || strings.ContainsAny(s, " \t\n") || strings.Contains(name, "/") {
		return PodFilter{}, fmt.Errorf("container logs %q: want NAMESPACE or NAMESPACE/NAME, where NAME is a pod, the start of a pod's name, or a container", s)
	}
	return PodFilter{namespace, name}, nil
}

func (f PodFilter) matches(p podlogsPod, container string) bool {
	return f.Namespace == p.namespace && (strings.HasPrefix(p.name, f.Name) || f.Name == container)
}

func podlogsCollector(filters []PodFilter) collect.Collector {
	return collect.Collector{
		Name: "podlogs",
		Doc:  "logs of containers, rotated ones too, from " + podlogsRoot,
		Time: 10 * time.Minute,
		Size: 16 << 30,
		Run: func(ctx context.Context, env *collect.Env, out collect.Output) error {
			return collectPodLogs(ctx, env, out, filters)
		},
	}
}

// collectPodLogs looks at everything twice: first to learn the sizes, from which follows
// how much each container may have, then to copy. Only the sizes are held between.
func collectPodLogs(ctx context.Context, env *collect.Env, out collect.Output, filters []PodFilter) error {
	p := &podlogs{env: env, out: out, filters: filters, probe: make([]byte, podlogsProbe)}
	if err := p.find(ctx); err != nil {
		return err
	}
	if len(p.dirs) == 0 {
		return p.nothing()
	}
	parts, err := p.plan()
	if err != nil {
		return err
	}
	return p.copy(ctx, parts)
}

type podlogs struct {
	env     *collect.Env
	out     collect.Output
	filters []PodFilter
	probe   []byte // for looking into files while planning

	pods  int // that there are
	files int
	dirs  []podlogsDir
}

// A podlogsDir is the folder of one container.
type podlogsDir struct {
	pod, container string // names of the folders
	size           int64  // of what is wanted of its files
}

func (d podlogsDir) path() string { return path.Join(podlogsRoot, d.pod, d.container) }

// A podlogsPod is what the name of a pod's folder says, NAMESPACE_POD_UID.
type podlogsPod struct{ namespace, name, uid string }

func parsePodlogsPod(dir string) podlogsPod {
	parts := strings.Split(dir, "_")
	if len(parts) != 3 {
		return podlogsPod{name: dir}
	}
	return podlogsPod{parts[0], parts[1], parts[2]}
}

func (p *podlogs) nothing() error {
	if p.pods == 0 {
		return collect.Skip("%s is empty: no pods have logs here", podlogsRoot)
	}
	if len(p.filters) > 0 {
		return collect.Skip("none of the %d pods in %s is asked for", p.pods, podlogsRoot)
	}
	return collect.Skip("the %d pods in %s have no logs", p.pods, podlogsRoot)
}

// find lists the wanted containers' folders with the sizes of their logs.
func (p *podlogs) find(ctx context.Context) error {
	pods, err := p.readDir(podlogsRoot, podlogsMaxDirs)
	if isNotExist(err) {
		return collect.Skip("no %s: no kubelet has run here", podlogsRoot)
	}
	if pods == nil && err != nil {
		return err
	}
	p.pods = len(pods)
	for _, pod := range pods {
		if err := context.Cause(ctx); err != nil {
			return err
		}
		p.findPod(pod)
	}
	return nil
}

func (p *podlogs) findPod(dir string) {
	pod := parsePodlogsPod(dir)
	containers, _ := p.readDir(path.Join(podlogsRoot, dir), podlogsMaxFiles)
	for _, c := range containers {
		if !p.wants(pod, c) {
			continue
		}
		if len(p.dirs) == podlogsMaxDirs {
			p.env.Log.Warn("more containers than are collected", "limit", podlogsMaxDirs, "pod", dir)
			return
		}
		d := podlogsDir{pod: dir, container: c}
		files, err := p.list(d)
		if err != nil {
			p.env.Log.Warn("list folder", "err", err)
		}
		for _, f := range files {
			d.size += f.want
		}
		p.files += len(files)
		p.dirs = append(p.dirs, d)
	}
}

func (p *podlogs) wants(pod podlogsPod, container string) bool {
	return len(p.filters) == 0 || slices.ContainsFunc(p.filters, func(f PodFilter) bool { return f.matches(pod, container) })
}

// readDir returns the folders in a folder, and warns of what keeps it from that.
func (p *podlogs) readDir(dir string, limit int) ([]string, error) {
	entries, err := p.env.Host.ReadDir(dir, limit)
	if err != nil && (dir != podlogsRoot || !isNotExist(err)) {
		p.env.Log.Warn("list folder", "err", err)
	}
	var names []string
	for _, e := range entries {
		if e.IsDir() {
			names = append(names, e.Name())
		}
	}
	return names, err
}

// plan asks for room and divides it among the containers: who has little gets it all, the
// others equal parts.
func (p *podlogs) plan() ([]int64, error) {
	sizes := make([]int64, len(p.dirs))
	var total int64
	for i, d := range p.dirs {
		sizes[i] = d.size
		total += d.size
	}
	index := int64(podlogsIndexBytes * (1 + len(p.dirs) + p.files))
	room, err := collect.Reserve(p.out, total+index)
	if err != nil {
		return nil, fmt.Errorf("reserve room: %w", err)
	}
	return collect.Share(max(0, room-index), sizes), nil
}

// podlogsIndexBytes is about what one object of podlogs.json takes at most.
const podlogsIndexBytes = 1 << 10

// copy copies the files, as many at once as there are processors, and writes podlogs.json.
func (p *podlogs) copy(ctx context.Context, parts []int64) error {
	jobs := make(chan podlogsJob)
	done := make(chan *podlogsRecord, 16)
	errs := make([]error, runtime.GOMAXPROCS(0)+1)
	var wg sync.WaitGroup
	for i := range errs[1:] {
		wg.Go(func() {
			w := podlogsWorker{podlogs: p, buf: make([]byte, podlogsBuffer)}
			for j := range jobs {
				errs[i+1] = errors.Join(errs[i+1], w.run(ctx, j.file))
				j.record.pending.Done()
			}
		})
	}
	wg.Go(func() { errs[0] = writePodlogsIndex(p.out, done) })
	for i, d := range p.dirs {
		if ctx.Err() != nil {
			break
		}
		p.feed(d, parts[i], jobs, done)
	}
	close(jobs)
	close(done)
	wg.Wait()
	return errors.Join(append(errs, context.Cause(ctx))...)
}

// A podlogsJob is a file to copy, and the record of its container.
type podlogsJob struct {
	file   *podlogsFile
	record *podlogsRecord
}

// feed divides the container's room among its files, the newest first, and hands them out.
func (p *podlogs) feed(d podlogsDir, room int64, jobs chan<- podlogsJob, done chan<- *podlogsRecord) {
	pod := parsePodlogsPod(d.pod)
	files, _ := p.list(d) // its error has been told when the sizes were summed up
	if len(files) == 0 && d.size > 0 {
		p.env.Log.Warn("logs vanished before they could be read", "path", d.path(), "bytes", d.size)
	}
	record := &podlogsRecord{Namespace: pod.namespace, Pod: pod.name, UID: pod.uid, Container: d.container, Files: files}
	record.pending.Add(len(record.Files))
	done <- record
	for _, f := range record.Files {
		if f.LeftOut != "" {
			record.pending.Done()
			continue
		}
		f.limit = min(f.want, room)
		room -= f.limit
		jobs <- podlogsJob{f, record}
	}
}
