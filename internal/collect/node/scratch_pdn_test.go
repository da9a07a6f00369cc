package node

import (
	"fmt"
	"io"
	"os"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/periscope-k8s/periscope/internal/collect"
	"github.com/periscope-k8s/periscope/internal/host"
)

type scratchDiscard struct{}

func (scratchDiscard) Create(string) (io.WriteCloser, error) { return nop{}, nil }

type nop struct{}

func (nop) Write(p []byte) (int, error) { return len(p), nil }
func (nop) Close() error                { return nil }

func rssAnon() string {
	d, _ := os.ReadFile("/proc/self/status")
	for l := range strings.Lines(string(d)) {
		if strings.HasPrefix(l, "RssAnon") {
			return strings.TrimSpace(l)
		}
	}
	return ""
}

func TestScratch(t *testing.T) {
	root := os.Getenv("FAKE")
	h, err := host.Open(root)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []collect.Collector{networkCollector(), disksCollector(), processesCollector()} {
		var peak uint64
		stop := make(chan bool)
		go func() {
			for {
				select {
				case <-stop:
					return
				case <-time.After(5 * time.Millisecond):
					var m runtime.MemStats
					runtime.ReadMemStats(&m)
					peak = max(peak, m.HeapInuse+m.StackInuse)
				}
			}
		}()
		res := collect.Run(t.Context(), &collect.Env{Host: h}, scratchDiscard{}, collect.Options{Collectors: []collect.Collector{c}})[0]
		stop <- true
		fmt.Printf("%s: %s %s %.2f s, %d files, %d bytes, cut %d, peak heap %d KiB %s %v\n", c.Name, res.State, res.Reason, res.Seconds, res.Files, res.Bytes, res.Cut, peak>>10, rssAnon(), res.Notes)
	}
}
