package cluster

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"
)

// NodeState is what the API server says about a node.
type NodeState struct {
	Name, Version string
	Ready         bool
	Reason        string // why it is not Ready
}

// NodeStates asks the API server about the nodes that have registered, real or simulated.
func (b *Bed) NodeStates(ctx context.Context) ([]NodeState, error) {
	out, err := b.Kubectl(ctx, "get", "nodes", "-o", "json", "--request-timeout=10s")
	if err != nil {
		return nil, err
	}
	var list struct {
		Items []struct {
			Metadata struct{ Name string }
			Status   struct {
				NodeInfo   struct{ KubeletVersion string }
				Conditions []struct{ Type, Status, Message string }
			}
		}
	}
	if err := json.Unmarshal(out, &list); err != nil {
		return nil, fmt.Errorf("read the list of nodes: %w", err)
	}
	var states []NodeState
	for _, item := range list.Items {
		s := NodeState{Name: item.Metadata.Name, Version: item.Status.NodeInfo.KubeletVersion, Reason: "kubelet has not reported"}
		for _, c := range item.Status.Conditions {
			if c.Type == "Ready" {
				s.Ready, s.Reason = c.Status == "True", c.Message
			}
		}
		states = append(states, s)
	}
	return states, nil
}

// WaitReady waits until every node of the bed is Ready. When ctx ends before, the error shows for each node that is not the
// last errors of its kubelet.
func (b *Bed) WaitReady(ctx context.Context) error {
	for {
		states, err := b.NodeStates(ctx)
		ready := map[string]NodeState{}
		for _, s := range states {
			ready[s.Name] = s
		}
		missing := 0
		for _, n := range b.Nodes {
			if !ready[n.Name].Ready {
				missing++
			}
		}
		if err == nil && missing == 0 {
			return nil
		}
		if pause(ctx, 250*time.Millisecond) != nil {
			return b.notReady(ready)
		}
	}
}

func (b *Bed) notReady(states map[string]NodeState) error {
	var text bytes.Buffer
	for _, n := range b.Nodes {
		s, registered := states[n.Name]
		if s.Ready {
			continue
		}
		reason := s.Reason
		if !registered {
			reason = "it has not registered"
		}
		fmt.Fprintf(&text, "%s is not Ready: %s\n", n.Name, reason)
		if lines := lastErrors(filepath.Join(n.Logs, "kubelet.log"), 5); len(lines) > 0 {
			fmt.Fprintf(&text, "last errors of its kubelet:\n%s\n", lines)
		} else { // it did not come as far as that
			fmt.Fprintf(&text, "last steps of its boot:\n%s\n", lastErrors(filepath.Join(n.Logs, "node.log"), 3))
		}
	}
	return fmt.Errorf("%s", bytes.TrimRight(text.Bytes(), "\n"))
}

// lastErrors returns the last n klog error lines in the last 256 KiB of a log, or its last n lines when it has none.
func lastErrors(path string, n int) []byte {
	f, err := os.Open(path)
	if err != nil {
		return nil
	}
	defer f.Close()
	if info, err := f.Stat(); err == nil {
		_, _ = f.Seek(max(0, info.Size()-256<<10), io.SeekStart)
	}
	data, _ := io.ReadAll(io.LimitReader(f, 256<<10))
	var errors [][]byte
	for line := range bytes.Lines(data) {
		if len(line) > 5 && (line[0] == 'E' || line[0] == 'F') && line[5] == ' ' {
			errors = append(errors, line)
		}
	}
	if len(errors) == 0 {
		return tail(data, n)
	}
	return bytes.TrimRight(bytes.Join(errors[max(0, len(errors)-n):], nil), "\n")
}

// waitAPIServer waits for /readyz. It gives up as soon as etcd or the API server has ended.
func (b *Bed) waitAPIServer(ctx context.Context) error {
	for {
		_, err := b.Kubectl(ctx, "get", "--raw=/readyz", "--request-timeout=5s")
		if err == nil {
			return nil
		}
		for _, name := range []string{"etcd", "kube-apiserver"} {
			if c := b.Component(name); c.PID() == 0 {
				return fmt.Errorf("%s has ended; its last lines:\n%s", name, lastErrors(c.Log, 5))
			}
		}
		if pause(ctx, 200*time.Millisecond) != nil {
			return fmt.Errorf("the API server is not ready: %w; its last lines:\n%s", err, lastErrors(b.Component("kube-apiserver").Log, 5))
		}
	}
}

func (b *Bed) waitAddons(ctx context.Context) error {
	for _, name := range []string{"coredns", "metrics-server"} {
		if _, err := b.Kubectl(ctx, "-n", "kube-system", "rollout", "status", "deployment/"+name); err != nil {
			pods, _ := b.Kubectl(context.WithoutCancel(ctx), "-n", "kube-system", "get", "pods,events", "-o", "wide")
			return fmt.Errorf("%s is not ready: %w\n%s", name, err, tail(pods, 15))
		}
	}
	return nil
}
