package node

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/periscope-k8s/periscope/internal/collect"
	"github.com/periscope-k8s/periscope/internal/host"
)

// unitsShown are those of the node's services, and of the slices that limit them, that are looked at whether they are
// well or not.
var unitsShown = []string{
	"kubelet", "containerd", "docker", "localdns", "aks-localdns-hosts-setup", "node-problem-detector", "walinuxagent", "waagent",
	"systemd-journald", "systemd-resolved", "systemd-networkd", "systemd-timesyncd", "chrony", "chronyd",
	"kubepods.slice", "kubelet.slice", "runtime.slice", "system.slice",
}

// unitsProperties are explained in https://www.freedesktop.org/software/systemd/man/latest/org.freedesktop.systemd1.html
// Environment is not among them: it may hold secrets.
var unitsProperties = []string{
	"Id", "Description", "LoadState", "ActiveState", "SubState", "Result", "UnitFileState", "FragmentPath", "DropInPaths", "NeedDaemonReload",
	"MainPID", "ControlGroup", "Slice", "Type", "Restart", "RestartUSec", "NRestarts", "ConditionResult", "WatchdogUSec", "TimeoutStartUSec",
	"ExecStartPre", "ExecStart", "ExecStartPost", "ExecMainPID", "ExecMainCode", "ExecMainStatus", "ExecMainStartTimestamp", "ExecMainExitTimestamp",
	"StateChangeTimestamp", "InactiveExitTimestamp", "ActiveEnterTimestamp", "ActiveExitTimestamp", "InactiveEnterTimestamp",
	"OOMScoreAdjust", "OOMPolicy", "MemoryCurrent", "MemoryPeak", "MemoryMin", "MemoryLow", "MemoryHigh", "MemoryMax", "MemoryLimit",
	"TasksCurrent", "TasksMax", "CPUUsageNSec", "CPUQuotaPerSecUSec", "CPUWeight", "CPUShares", "LimitNOFILE",
}

const (
	// Where systemd runs there is this folder: https://www.freedesktop.org/software/systemd/man/latest/sd_booted.html
	unitsBooted = "/run/systemd/system"

	unitsOutput = 1 << 20 // most bytes of one command
	unitsFiles  = 100     // unit files and drop-ins that are copied
)

func unitsCollector() collect.Collector {
	return collect.Collector{
		Name: "units",
		Doc:  "state, limits and unit files of kubelet, container runtime and their like, and all failed units, by the host's systemctl",
		Size: 8 << 20,
		Run:  collectUnits,
	}
}

func collectUnits(ctx context.Context, env *collect.Env, out collect.Output) error {
	if _, err := env.Host.Stat(unitsBooted); isNotExist(err) {
		return collect.Skip("systemd does not run on this host")
	}
	show := append([]string{"show", "--no-pager", "--property=" + strings.Join(unitsProperties, ",")}, unitsShown...)
	shown, err := unitsRun(ctx, env, show...)
	if err != nil {
		return err
	}
	units, malformed := parseSystemctlShow(shown)
	if malformed > 0 {
		env.Log.Warn("lines of systemctl show that are no properties are left out", "count", malformed)
	}
	errs := []error{collect.WriteFile(out, "units.txt", shown)}
	failed, err := unitsRun(ctx, env, "--failed", "--full", "--no-legend", "--plain", "--no-pager")
	if err != nil {
		env.Log.Warn("list failed units", "err", err)
	} else {
		errs = append(errs, collect.WriteFile(out, "failed.txt", failed))
	}
	errs = append(errs, writeJSON(out, "units.json", newUnitsIndex(units, parseSystemctlFailed(failed))))
	unitsCopyFiles(ctx, env, out, units)
	return errors.Join(errs...)
}

// A unitsIndex is units.json.
type unitsIndex struct {
	Units    []systemdUnit `json:"units"`
	NotFound []string      `json:"notFound"` // units that this host has not
	Failed   []failedUnit  `json:"failed"`   // of all the host's units
}

func newUnitsIndex(shown []systemdUnit, failed []failedUnit) unitsIndex {
	index := unitsIndex{[]systemdUnit{}, []string{}, failed}
	for _, u := range shown {
		if u.LoadState == "not-found" {
			index.NotFound = append(index.NotFound, u.Name)
		} else {
			index.Units = append(index.Units, u)
		}
	}
	return index
}

// unitsRun returns what systemctl prints. It may refuse to work with exit code 0.
func unitsRun(ctx context.Context, env *collect.Env, args ...string) ([]byte, error) {
	var b bytes.Buffer
	exit, err := env.Exec(ctx, host.Command{Name: "systemctl", Args: args, Stdout: &b, MaxOutput: unitsOutput})
	switch {
	case errors.Is(err, host.ErrNoCommand):
		return nil, collect.Skip("systemctl is not installed on this host")
	case errors.Is(err, host.ErrOutputLimit):
		return b.Bytes(), nil
	case err != nil:
		return nil, err
	case b.Len() == 0 && (exit.Code != 0 || exit.Stderr != ""):
		return nil, fmt.Errorf("systemctl %s: exit code %d: %s", args[0], exit.Code, exit.Stderr)
	}
	return b.Bytes(), nil
}

// unitsCopyFiles copies the units' files and drop-ins below files/.
func unitsCopyFiles(ctx context.Context, env *collect.Env, out collect.Output, units []systemdUnit) {
	copied := map[string]bool{"": true}
	for _, u := range units {
		for _, path := range append([]string{u.FragmentPath}, u.DropInPaths...) {
			if copied[path] || len(copied) > unitsFiles || ctx.Err() != nil {
				continue
			}
			copied[path] = true
			if err := collect.CopyFile(ctx, env, out, "files/"+path, path); err != nil {
				env.Log.Warn("copy unit file", "err", err)
			}
		}
	}
}

// A systemdUnit is a unit as systemctl shows it. What is not set, not limited or not known
// to the host's systemd is left out.
type systemdUnit struct {
	Name                string            `json:"name"`
	LoadState           string            `json:"loadState"`
	ActiveState         string            `json:"activeState"`
	SubState            string            `json:"subState"`
	Result              string            `json:"result,omitempty"`
	UnitFileState       string            `json:"unitFileState,omitempty"`
	FragmentPath        string            `json:"fragmentPath,omitempty"`
	DropInPaths         []string          `json:"dropInPaths,omitempty"`
	MainPID             *int64            `json:"mainPID,omitempty"`
	Restarts            *int64            `json:"restarts,omitempty"`
	ExecMainStatus      *int64            `json:"execMainStatus,omitempty"` // exit code, or number of the signal
	ExecMainStarted     time.Time         `json:"execMainStarted,omitzero"` // times are there if the host's zone is UTC
	ExecMainExited      time.Time         `json:"execMainExited,omitzero"`
	ActiveSince         time.Time         `json:"activeSince,omitzero"`
	OOMScoreAdjust      *int64            `json:"oomScoreAdjust,omitempty"`
	MemoryCurrentBytes  *int64            `json:"memoryCurrentBytes,omitempty"`
	MemoryPeakBytes     *int64            `json:"memoryPeakBytes,omitempty"`
	MemoryHighBytes     *int64            `json:"memoryHighBytes,omitempty"`
	MemoryMaxBytes      *int64            `json:"memoryMaxBytes,omitempty"` // of cgroup v1 too
	TasksCurrent        *int64            `json:"tasksCurrent,omitempty"`
	TasksMax            *int64            `json:"tasksMax,omitempty"`
	CPUUsageNanoseconds *int64            `json:"cpuUsageNanoseconds,omitempty"`
	Properties          map[string]string `json:"properties"` // all that were shown; several of one name are lines
}

// A failedUnit is a line of systemctl --failed.
type failedUnit struct {
	Name        string `json:"name"`
	LoadState   string `json:"loadState"`
	ActiveState string `json:"activeState"`
	SubState    string `json:"subState"`
	Description string `json:"description"`
}
