// Command bench measures Periscope's speed and memory on this machine and prints the table
// of bench/README.md. Speeds are ratios to the compressor alone on the same bytes and
// cores, measured in the same run, because machines are noisy. It writes up to three times
// -size of log data below the temporary folder and removes it again.
package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"github.com/klauspost/compress/flate"

	"github.com/periscope-k8s/periscope/internal/bundle"
	"github.com/periscope-k8s/periscope/internal/redact"
)

func main() {
	binary := flag.String("periscope", "bin/periscope", "the binary to measure")
	size := flag.Int64("size", 2000, "megabytes of pod logs; also measured with twice as many")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	err := run(ctx, *binary, *size*1e6)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, binary string, size int64) error {
	dir, err := os.MkdirTemp("", "periscope-bench-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	t := os.Stdout
	fmt.Fprintf(t, "| %s, %d cores | result | target |\n|---|---|---|\n", runtime.GOARCH, runtime.NumCPU())

	for _, every := range []int{0, 20} {
		speed, err := redaction(every)
		if err != nil {
			return err
		}
		name, target := "redaction alone, no secrets", "300 MB/s"
		if every > 0 {
			name, target = "redaction alone, a secret in every 20th line", "100 MB/s"
		}
		fmt.Fprintf(t, "| %s, one core | %.0f MB/s | %s |\n", name, speed, target)
	}
	for _, n := range []int64{size, 2 * size} {
		if err := podLogs(ctx, t, binary, filepath.Join(dir, fmt.Sprint(n)), n); err != nil {
			return err
		}
	}
	whole, err := measure(ctx, binary, "collect", "--local", "--quiet", "--dir", filepath.Join(dir, "host"))
	if err != nil {
		return err
	}
	fmt.Fprintf(t, "| collect --local of this host | %.1f s, %.1f MiB anonymous | 15 s, 48 MiB |\n", whole.wall.Seconds(), mib(whole.anon))
	return nil
}

// podLogs measures the whole path (read, window, redact, hash, compress, append) over n
// bytes of pod logs against the compressor alone.
func podLogs(ctx context.Context, t io.Writer, binary, dir string, n int64) error {
	defer os.RemoveAll(dir)
	files, err := writePodLogs(filepath.Join(dir, "root"), n)
	if err != nil {
		return err
	}
	alone, err := compressorAlone(files)
	if err != nil {
		return err
	}
	for _, window := range []string{"", "1h"} {
		args := []string{"collect", "--local", "--quiet", "--host-root", filepath.Join(dir, "root"), "--collectors", "podlogs", "--max-size", "64Gi", "--dir", filepath.Join(dir, "out"+window)}
		name := "whole path"
		if window != "" {
			args, name = append(args, "--since", window), "whole path with --since (all lines in it)"
		}
		p, err := measure(ctx, binary, args...)
		if err != nil {
			return err
		}
		fmt.Fprintf(t, "| %s, %.1f GB of pod logs | %.2f of the compressor alone (%.0f of %.0f MB/s), %.1f MiB anonymous (RSS %.1f) | 0.5, 48 MiB |\n",
			name, float64(n)/1e9, alone.Seconds()/p.wall.Seconds(), mbps(n, p.wall), mbps(n, alone), mib(p.anon), mib(p.rss))
	}
	return nil
}

// compressorAlone compresses the files, as many at a time as there are cores, and throws
// the result away.
func compressorAlone(files []string) (time.Duration, error) {
	start := time.Now()
	var next atomic.Int64
	var first error
	var once sync.Once
	var wg sync.WaitGroup
	for range runtime.GOMAXPROCS(0) {
		wg.Go(func() {
			for i := next.Add(1) - 1; i < int64(len(files)); i = next.Add(1) - 1 {
				if err := compressFile(files[i]); err != nil {
					once.Do(func() { first = err })
				}
			}
		})
	}
	wg.Wait()
	return time.Since(start), first
}

func compressFile(path string) error {
	in, err := os.Open(path)
	if err != nil {
		return err
	}
	defer in.Close()
	w, err := flate.NewWriter(io.Discard, bundle.Level)
	if err != nil {
		return err
	}
	if _, err := io.CopyBuffer(struct{ io.Writer }{w}, in, make([]byte, 128<<10)); err != nil {
		return err
	}
	return w.Close()
}

// redaction is the speed of one Writer in MB/s; every n-th line holds a secret, 0 for none.
func redaction(every int) (float64, error) {
	r, err := redact.New(make([]byte, 32))
	if err != nil {
		return 0, err
	}
	text := logText(32<<20, every)
	best := time.Duration(1 << 62)
	for range 5 {
		start := time.Now()
		w := r.NewWriter(io.Discard)
		for p := text; len(p) > 0; {
			n := min(len(p), 128<<10)
			if _, err := w.Write(p[:n]); err != nil {
				return 0, err
			}
			p = p[n:]
		}
		if err := w.Close(); err != nil {
			return 0, err
		}
		best = min(best, time.Since(start))
	}
	return mbps(int64(len(text)), best), nil
}

func mbps(n int64, d time.Duration) float64 { return float64(n) / 1e6 / d.Seconds() }
func mib(n int64) float64                   { return float64(n) / (1 << 20) }
