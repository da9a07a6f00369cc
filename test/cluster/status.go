package cluster

import (
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"text/tabwriter"
)

// A Process is one process of the bed with its resident memory in bytes.
type Process struct {
	Owner, Name string // Owner is "control" or a node
	PID         int
	RSS         int64
}

// Processes lists every process of the bed, those in pods too.
func (b *Bed) Processes() ([]Process, error) {
	g, err := machineCgroups()
	if err != nil {
		return nil, err
	}
	owners := []string{"control"}
	for _, n := range b.Nodes {
		owners = append(owners, n.Name)
	}
	var all []Process
	for _, owner := range owners {
		for _, pid := range g.pids(cgroupBase + "/" + owner) {
			if p, ok := readProcess(pid); ok {
				p.Owner = owner
				all = append(all, p)
			}
		}
	}
	return all, nil
}

func readProcess(pid int) (Process, bool) {
	status, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(pid), "status"))
	if err != nil {
		return Process{}, false
	}
	p := Process{PID: pid}
	for line := range strings.Lines(string(status)) {
		key, value, _ := strings.Cut(strings.TrimSpace(line), ":")
		switch key {
		case "Name":
			p.Name = strings.TrimSpace(value)
		case "VmRSS":
			kib, _ := strconv.ParseInt(strings.TrimSuffix(strings.TrimSpace(value), " kB"), 10, 64)
			p.RSS = kib << 10
		}
	}
	return p, true
}

// WriteStatus prints the nodes, the control plane and the memory of everything.
func (b *Bed) WriteStatus(ctx context.Context, out io.Writer) error {
	processes, err := b.Processes()
	if err != nil {
		return err
	}
	memory, total := map[string]int64{}, int64(0)
	for _, p := range processes {
		memory[p.Owner] += p.RSS
		memory[p.Owner+"/"+strconv.Itoa(p.PID)] = p.RSS
		total += p.RSS
	}
	states, apiErr := b.NodeStates(ctx)
	t := tabwriter.NewWriter(out, 0, 8, 2, ' ', 0)
	fmt.Fprintln(t, "NODE\tSTATE\tVERSION\tADDRESS\tPID\tMEMORY")
	for _, n := range b.Nodes {
		state, version := n.state(states, apiErr)
		fmt.Fprintf(t, "%s\t%s\t%s\t%s\t%d\t%s\n", n.Name, state, version, n.IP, n.PID(), mebibytes(memory[n.Name]))
	}
	for _, c := range b.Components {
		state, pid := "running", c.PID()
		if pid == 0 {
			state = "ended"
		}
		fmt.Fprintf(t, "%s\t%s\t\t\t%d\t%s\n", c.Name, state, pid, mebibytes(memory["control/"+strconv.Itoa(pid)]))
	}
	fmt.Fprintf(t, "total\t\t\t\t%d processes\t%s\n", len(processes), mebibytes(total))
	if err := t.Flush(); err != nil {
		return err
	}
	fmt.Fprintf(out, "\nexport KUBECONFIG=%s\n", b.Kubeconfig)
	return apiErr
}

func (n *Node) state(states []NodeState, apiErr error) (state, version string) {
	switch {
	case n.PID() == 0:
		return "off", ""
	case apiErr != nil:
		return "unknown", ""
	}
	for _, s := range states {
		if s.Name == n.Name && s.Ready {
			return "Ready", s.Version
		}
		if s.Name == n.Name {
			return "NotReady", s.Version
		}
	}
	return "not registered", ""
}

func mebibytes(b int64) string { return fmt.Sprintf("%d MiB", b>>20) }
