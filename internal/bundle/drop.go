package bundle

import "slices"

// DropFront drops whole segments at the front until at least n of the bytes written are
// gone or nothing is left, and returns how many went. Masking changes lengths; what a
// segment held of the bytes written is reckoned from the log's whole.
func (e *entry) DropFront(n int64) int64 {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.closed || !e.keepEnd {
		return 0
	}
	freed := min(n, e.raw) // on a broken disk the tail drops by itself
	if !e.broken {
		freed = e.dropSegments(n)
	}
	e.raw -= freed
	return freed
}

func (e *entry) dropSegments(n int64) int64 {
	held := e.sum.size - e.dropped
	share := func(masked int64) int64 {
		if masked >= held {
			return e.raw // all but the little that the masker holds back
		}
		return int64(float64(e.raw) * float64(masked) / float64(held))
	}
	var gone int64
	for share(gone) < n && e.hasKept() {
		gone += e.dropFirst()
	}
	for e.lineStartFollows() {
		gone += e.dropFirst()
	}
	e.dropped += gone
	return share(gone)
}

// hasKept makes the current segment one that can be dropped when there is no other.
func (e *entry) hasKept() bool {
	return len(e.kept) > 0 || (e.current != nil && e.endSegment() == nil)
}

func (e *entry) dropFirst() int64 {
	s := e.kept[0]
	freeSegments(e.kept[:1])
	e.kept = e.kept[1:]
	return s.size
}

// lineStartFollows reports whether the log begins in the middle of a line and a line begins
// at a later segment. A line longer than the log is begun in its middle.
func (e *entry) lineStartFollows() bool {
	if len(e.kept) == 0 || e.kept[0].startsLine {
		return false
	}
	return (e.current != nil && e.current.startsLine) || slices.ContainsFunc(e.kept, func(s *segment) bool { return s.startsLine })
}
