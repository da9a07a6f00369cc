package node

import (
	"cmp"
	"iter"
	"slices"
	"time"
)

// A processNode is what is held of every process: 32 bytes.
type processNode struct {
	pid, ppid int32
	ticks     uint64
	start     uint64        // with pid, what makes it the same process later
	at        time.Duration // when ticks was read, after the collector began
}

// maxProcessDepth is where the indentation of the forest ends; a deeper process is shown as
// if it were that deep.
const maxProcessDepth = 30

// processForest yields the index of every node once, a parent before its children and
// siblings by process ID, with the branches to draw before its command. Nodes are sorted by
// process ID. Parents that are missing, or that form a loop because they changed while they
// were read, make their children roots.
func processForest(nodes []processNode) iter.Seq2[int, string] {
	f := forest{nodes: nodes, byParent: make([]int32, len(nodes)), seen: make([]bool, len(nodes))}
	for i := range nodes {
		f.byParent[i] = int32(i)
	}
	slices.SortStableFunc(f.byParent, func(a, b int32) int { return cmp.Compare(nodes[a].ppid, nodes[b].ppid) })
	return func(yield func(int, string) bool) {
		for _, orphans := range []bool{true, false} {
			for i := range nodes {
				if !f.seen[i] && (!orphans || !f.hasParent(nodes[i])) && !f.tree(i, yield) {
					return
				}
			}
		}
	}
}

type forest struct {
	nodes    []processNode
	byParent []int32 // indexes of nodes, sorted by parent and process ID
	seen     []bool
}

func (f *forest) hasParent(n processNode) bool {
	_, ok := slices.BinarySearchFunc(f.nodes, n.ppid, func(n processNode, pid int32) int { return cmp.Compare(n.pid, pid) })
	return ok && n.ppid != n.pid
}

// children returns the indexes of the children of pid.
func (f *forest) children(pid int32) []int32 {
	parent := func(i, pid int32) int { return cmp.Compare(f.nodes[i].ppid, pid) }
	from, _ := slices.BinarySearchFunc(f.byParent, pid, parent)
	end := from
	for end < len(f.byParent) && f.nodes[f.byParent[end]].ppid == pid {
		end++
	}
	return f.byParent[from:end]
}

// tree yields root and what is below it. It returns false when yield does.
func (f *forest) tree(root int, yield func(int, string) bool) bool {
	f.seen[root] = true
	if !yield(root, "") {
		return false
	}
	for open := [][]int32{f.children(f.nodes[root].pid)}; len(open) > 0; {
		last := len(open) - 1
		if len(open[last]) == 0 {
			open = open[:last]
			continue
		}
		i := open[last][0]
		open[last] = open[last][1:]
		if f.seen[i] {
			continue
		}
		f.seen[i] = true
		if !yield(int(i), processBranches(open)) {
			return false
		}
		open = append(open, f.children(f.nodes[i].pid))
	}
	return true
}

// processBranches draws the way from the root to a node whose younger siblings, and those
// of its ancestors, are open.
func processBranches(open [][]int32) string {
	open = open[:min(len(open), maxProcessDepth)]
	branches := make([]byte, 0, 4*maxProcessDepth)
	for _, siblings := range open[:len(open)-1] {
		if len(siblings) > 0 {
			branches = append(branches, " |  "...)
		} else {
			branches = append(branches, "    "...)
		}
	}
	return string(append(branches, ` \_ `...))
}
