package collect

import (
	"context"
	"sync"
)

// A budget divides the run's size limit among collectors by priority: a collector may
// take bytes only beyond what unfinished collectors before it may still take. So it is
// always the last in the order that is cut, whichever wrote first.
type budget struct {
	mu      sync.Mutex
	free    int64         // of the run's limit
	claims  []int64       // by collector: what it may still take of its own limit; 0 once it is done
	changed chan struct{} // closed and replaced when room may have grown
}

func newBudget(limit int64, sizes []int64) *budget {
	return &budget{free: limit, claims: sizes, changed: make(chan struct{})}
}

// take takes up to n bytes for collector i, whose clock is c. It waits while the run's limit stands in the
// way and a collector before i is unfinished. byRun tells that the run's limit, not the
// collector's own, made it less than n.
func (b *budget) take(c *clock, i int, n int64) (got int64, byRun bool, err error) {
	for {
		b.mu.Lock()
		own := min(n, b.claims[i])
		var ahead int64
		for _, c := range b.claims[:i] {
			ahead += c
		}
		got = max(0, min(own, b.free-ahead))
		if got == own || ahead == 0 {
			b.free -= got
			b.claims[i] -= got
			b.mu.Unlock()
			return got, got < own, nil
		}
		changed := b.changed
		b.mu.Unlock()
		c.pause()
		select {
		case <-changed:
			c.resume()
		case <-c.Done():
			c.resume()
			return 0, false, context.Cause(c)
		}
	}
}

// give returns n bytes that collector i took and did not use.
func (b *budget) give(i int, n int64) {
	if n <= 0 {
		return
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.free += n
	b.claims[i] += n
	b.wake()
}

// finish drops what collector i may still take.
func (b *budget) finish(i int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.claims[i] = 0
	b.wake()
}

func (b *budget) wake() {
	close(b.changed)
	b.changed = make(chan struct{})
}
