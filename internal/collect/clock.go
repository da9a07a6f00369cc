package collect

import (
	"context"
	"sync"
	"time"
)

// A clock ends a collector's context when its own time is over. It stands still while the
// collector waits for others to leave room: that time is not the collector's.
type clock struct {
	context.Context
	cancel context.CancelCauseFunc

	mu      sync.Mutex
	timer   *time.Timer
	since   time.Time // when it was last set going
	left    time.Duration
	waiting int // goroutines of the collector
}

// newClock starts a clock below ctx.
func newClock(ctx context.Context, limit time.Duration) *clock {
	c := &clock{since: time.Now(), left: limit}
	c.Context, c.cancel = context.WithCancelCause(ctx)
	c.timer = time.AfterFunc(limit, func() { c.cancel(errOwnTime) })
	return c
}

// Deadline is when the context ends if the collector need not wait any more.
func (c *clock) Deadline() (time.Time, bool) {
	c.mu.Lock()
	own := c.since.Add(c.left)
	if c.waiting > 0 {
		own = time.Now().Add(c.left)
	}
	c.mu.Unlock()
	if outer, ok := c.Context.Deadline(); ok && outer.Before(own) {
		return outer, true
	}
	return own, true
}

func (c *clock) pause() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.waiting++; c.waiting == 1 {
		c.timer.Stop()
		c.left -= time.Since(c.since)
	}
}

func (c *clock) resume() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.waiting--; c.waiting == 0 {
		c.since = time.Now()
		c.timer.Reset(max(c.left, 0))
	}
}

// stop ends the context and the timer.
func (c *clock) stop() {
	c.timer.Stop()
	c.cancel(nil)
}
