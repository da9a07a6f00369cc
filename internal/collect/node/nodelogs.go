package node

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/periscope-k8s/periscope/internal/collect"
)

const (
	nodelogsFileSize = 20 << 20 // most of one file: its end
	nodelogsMaxFiles = 2000

	// nodelogsIndexBytes is about what one object of nodelogs.json takes at most.
	nodelogsIndexBytes = 512
)

// nodelogsDefault are the logs that a node has without being asked for more: those of its
// provisioning, agents and network plug-ins on AKS, and those of its system.
// https://github.com/Azure/AgentBaker/tree/master/parts/linux/cloud-init/artifacts
var nodelogsDefault = []string{
	"/var/log/azure/*.log",
	"/var/log/azure/*.output",
	"/var/log/azure/*/*.log",
	"/var/log/azure/aks/*.json",
	"/var/log/azure/*/events/*.json",
	"/var/log/azure/aks/pods/*",
	"/var/log/azure/aks/pods/*/*",
	"/var/log/azure-vnet*",
	"/var/log/azure-cns*",
	"/var/log/azure-cni*",
	"/var/log/azure-ipam*",
	"/var/log/cilium-cni*",
	"/var/log/nvidia*.log",
	"/var/run/azure-vnet*",
	"/var/run/azure-cns*",
	"/var/run/azure-cns*/*",
	"/var/log/syslog*",
	"/var/log/messages*",
	"/var/log/kern.log*",
	"/var/log/warn*",
	"/var/log/cloud-init*.log*",
	"/var/log/waagent.log*",
	"/var/log/dpkg.log*",
	"/var/log/unattended-upgrades/*",
	"/var/log/blobfuse*",
	"/var/log/blobfuse*/*",
	"/var/log/kv-driver*",
}

// nodelogsCollector collects the default list and what matches patterns, which are
// absolute paths as for host.FS.Glob.
func nodelogsCollector(patterns []string) collect.Collector {
	return collect.Collector{
		Name: "nodelogs",
		Doc:  "log files of the node: the newest 20 MiB of each, and a listing of all there is, from /var/log",
		Time: 5 * time.Minute,
		Size: 200 << 20,
		Run: func(ctx context.Context, env *collect.Env, out collect.Output) error {
			return collectNodeLogs(ctx, env, out, patterns)
		},
	}
}

// A nodelogsIndex is nodelogs.json. What the files of the bundle hold of those on the host
// is in the manifest.
type nodelogsIndex struct {
	Files     []*nodelogsFile `json:"files"`
	LeftOut   []nodelogsLeft  `json:"leftOut"`
	Unmatched []string        `json:"patternsWithoutMatch"`
	Unchanged int             `json:"notWrittenInWindow"` // files left out because of their modification time
}

// A nodelogsLeft is a file that a pattern matches and that was not collected.
type nodelogsLeft struct {
	Path   string `json:"path"`
	Reason string `json:"reason"`
}

func collectNodeLogs(ctx context.Context, env *collect.Env, out collect.Output, patterns []string) error {
	listed, err := nodelogsListing(ctx, env, out)
	if err != nil {
		return err
	}
	s := nodelogsSearch{env: env, index: &nodelogsIndex{Files: []*nodelogsFile{}, LeftOut: []nodelogsLeft{}, Unmatched: []string{}}, seen: map[any]bool{}}
	for _, p := range patterns { // first: a file that is asked for is judged less strictly
		s.pattern(ctx, p, true)
	}
	for _, p := range nodelogsDefault {
		s.pattern(ctx, p, false)
	}
	if !listed && len(s.index.Files) == 0 {
		return collect.Skip("no /var/log, and no file that was asked for")
	}
	if n := s.index.Unchanged; n > 0 {
		env.Log.Warn("files not written to since the start of the window are left out", "count", n)
	}
	err = nodelogsCopy(ctx, env, out, s.index)
	return errors.Join(err, writeJSON(out, "nodelogs.json", s.index))
}

// nodelogsCopy divides the room among the files and copies them.
func nodelogsCopy(ctx context.Context, env *collect.Env, out collect.Output, index *nodelogsIndex) error {
	sizes := make([]int64, len(index.Files))
	own := int64(nodelogsIndexBytes * (1 + len(index.Files) + len(index.LeftOut)))
	total := own
	for i, f := range index.Files {
		sizes[i] = min(f.content(), nodelogsFileSize)
		total += sizes[i]
	}
	room, err := collect.Reserve(out, total)
	if err != nil {
		return fmt.Errorf("reserve room: %w", err)
	}
	for i, limit := range collect.Share(max(0, room-own), sizes) {
		if err := context.Cause(ctx); err != nil {
			return err
		}
		f := index.Files[i]
		if f.kind == nil {
			err = collect.CopyLog(ctx, env, out, f.name(), f.Path, limit)
		} else {
			err = f.unpack(ctx, env, out, limit)
		}
		if err != nil {
			env.Log.Warn("copy log", "err", err)
		}
	}
	return nil
}
