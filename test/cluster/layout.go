package cluster

import (
	"fmt"
	"path/filepath"
)

// What the bed puts on the machine. Every name is fixed, so that any later process finds and removes it.
const (
	stateDir   = "/var/lib/periscope-testbed"
	lockFile   = "/run/periscope-testbed.lock"
	cgroupBase = "periscope-testbed"
	bridge     = "pbed0"
	nftTable   = "periscope_testbed"
)

// Addresses are those of an AKS cluster with default settings.
const (
	gateway     = "10.224.0.1" // the control plane, on the bridge
	nodeNet     = "10.224.0.0/24"
	serviceNet  = "10.0.0.0/16"
	serviceIP   = "10.0.0.1" // of kubernetes.default
	clusterDNS  = "10.0.0.10"
	podNet      = "10.244.0.0/16"
	platformDNS = "168.63.129.16"
	apiServer   = "https://" + gateway + ":6443"
)

// Ports that the control plane opens on loopback, and 6443 on the bridge.
var controlPorts = []int{6443, 23790, 23800, 10257, 10259}

const (
	maxNodes     = 9
	taintedIndex = 3
)

func nodeName(i int) string { return fmt.Sprintf("node-%d", i) }
func nodeIP(i int) string   { return fmt.Sprintf("10.224.0.%d", 10+i) }
func nodePods(i int) string { return fmt.Sprintf("10.244.%d.0/24", i) }
func nodeLink(i int) string { return fmt.Sprintf("pbed-%d", i) }

func statePath(parts ...string) string {
	return filepath.Join(append([]string{stateDir}, parts...)...)
}
