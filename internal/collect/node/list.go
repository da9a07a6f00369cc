// Package node provides the collectors of one node: what its kernel, services and
// container runtime know and log. Each is one file; All lists them in the order of their
// priority, which is also the order in which a size limit spares them.
//
// A collector reads the host through collect.Env alone, changes nothing on it, sends
// nothing to the network and does not wait for what hangs. CONTRIBUTING.md says what a
// collector may never do.
package node

import (
	"encoding/json"
	"fmt"

	"github.com/periscope-k8s/periscope/internal/collect"
)

// Settings are what a user may ask of the node collectors; the zero value is the default.
type Settings struct {
	NodeLogs      []string    // globs of host paths, in addition to the default list of nodelogs
	ContainerLogs []PodFilter // which pods' logs; none means all
}

// All returns the collectors in the order of their priority.
func All(s Settings) []collect.Collector {
	return []collect.Collector{
		osCollector(),
		limitsCollector(),
		memoryCollector(),
		unitsCollector(),
		disksCollector(),
		processesCollector(),
		networkCollector(),
		dnsCollector(),
		kernelCollector(),
		journalCollector(),
		nodelogsCollector(s.NodeLogs),
		podlogsCollector(s.ContainerLogs),
	}
}

// writeJSON writes v, indented, as one file.
func writeJSON(out collect.Output, name string, v any) error {
	data, err := json.MarshalIndent(v, "", "  ")
	if err != nil {
		return fmt.Errorf("encode %s: %w", name, err)
	}
	return collect.WriteFile(out, name, append(data, '\n'))
}
