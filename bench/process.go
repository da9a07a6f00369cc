package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"time"
)

// A process is what one run of the binary took.
type process struct {
	wall      time.Duration
	anon, rss int64 // peaks in bytes, sampled every 10 ms
}

// measure runs the binary. An incomplete run (exit code 3) is measured like another.
func measure(ctx context.Context, binary string, args ...string) (process, error) {
	cmd := exec.CommandContext(ctx, binary, args...)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	start := time.Now()
	if err := cmd.Start(); err != nil {
		return process{}, err
	}
	var p process
	done := make(chan error, 1)
	go func() { done <- cmd.Wait() }()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for {
		select {
		case err := <-done:
			p.wall = time.Since(start)
			var exit *exec.ExitError
			if errors.As(err, &exit) && exit.ExitCode() == 3 {
				err = nil
			}
			if err != nil {
				err = fmt.Errorf("%v: %w\n%s", cmd.Args, err, stderr.String())
			}
			return p, err
		case <-tick.C:
			p.sample(cmd.Process.Pid)
		}
	}
}

func (p *process) sample(pid int) {
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return // it has just ended
	}
	for line := range bytes.Lines(data) {
		fields := bytes.Fields(line)
		if len(fields) < 2 {
			continue
		}
		n, _ := strconv.ParseInt(string(fields[1]), 10, 64)
		switch string(fields[0]) {
		case "RssAnon:":
			p.anon = max(p.anon, n<<10)
		case "VmRSS:":
			p.rss = max(p.rss, n<<10)
		}
	}
}
