package node

import (
	"context"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/periscope-k8s/periscope/internal/collect"
)

func osCollector() collect.Collector {
	return collect.Collector{
		Name: "os",
		Doc:  "kernel, distribution, uptime, command line, hardware names, CPUs, load, cgroup version, time zone, from /proc, /sys and /etc",
		Size: 8 << 20,
		Run:  collectOS,
	}
}

// osFacts is os.json. Fields of which the host tells nothing are left out.
type osFacts struct {
	Hostname       string            `json:"hostname,omitempty"`     // of the running kernel
	HostnameFile   string            `json:"hostnameFile,omitempty"` // of /etc/hostname
	Kernel         osKernel          `json:"kernel"`
	Release        map[string]string `json:"osRelease,omitempty"` // keys as in os-release(5)
	BootTime       time.Time         `json:"bootTime,omitzero"`   // exact to the second
	BootID         string            `json:"bootID,omitempty"`
	UptimeSeconds  float64           `json:"uptimeSeconds,omitempty"` // includes time in suspend
	Load           *osLoad           `json:"load,omitempty"`
	CPU            osCPU             `json:"cpu"`
	Cgroup         osCgroup          `json:"cgroup"`
	DMI            map[string]string `json:"dmi,omitempty"` // keys as in /sys/class/dmi/id
	Virtualization osVirtualization  `json:"virtualization"`
	TimeZone       string            `json:"timeZone,omitempty"` // IANA name
	ClockSource    string            `json:"clockSource,omitempty"`
	RebootRequired bool              `json:"rebootRequired"` // an update asks for it (Debian, Ubuntu)
	RebootPackages []string          `json:"rebootPackages,omitempty"`
}

type osKernel struct {
	Release         string   `json:"release,omitempty"`
	Version         string   `json:"version,omitempty"`
	Architecture    string   `json:"architecture,omitempty"`
	CommandLine     string   `json:"commandLine,omitempty"`
	Tainted         uint64   `json:"tainted"`
	Taints          []string `json:"taints,omitempty"`
	SecurityModules string   `json:"securityModules,omitempty"`
	FIPS            bool     `json:"fips"`
}

func collectOS(ctx context.Context, env *collect.Env, out collect.Output) error {
	s := &snapshot{ctx: ctx, env: env, out: out}
	var facts osFacts
	s.osSystem(&facts)
	s.osTimes(&facts)
	s.osHardware(&facts)
	s.osUpdates(&facts)
	s.json("os.json", facts)
	return s.end("nothing of /proc, /sys and /etc could be read")
}

func (s *snapshot) osSystem(facts *osFacts) {
	s.read("/proc/version")
	facts.Hostname, _ = s.value("/proc/sys/kernel/hostname")
	facts.HostnameFile, _ = s.value("/etc/hostname")
	k := &facts.Kernel
	k.Release, _ = s.value("/proc/sys/kernel/osrelease")
	k.Version, _ = s.value("/proc/sys/kernel/version")
	k.Architecture, _ = s.value("/proc/sys/kernel/arch") // since Linux 6.1
	k.CommandLine = snapshotText(string(s.read("/proc/cmdline")))
	k.Tainted = s.number("/proc/sys/kernel/tainted")
	k.Taints = osTaints(k.Tainted)
	k.SecurityModules, _ = s.value("/sys/kernel/security/lsm")
	k.FIPS = s.number("/proc/sys/crypto/fips_enabled") != 0

	facts.Release = snapshotParseOptional(s, "/etc/os-release", parseOSRelease)
	if len(facts.Release) == 0 {
		facts.Release = snapshotParse(s, "/usr/lib/os-release", parseOSRelease)
	}
	var bad int
	facts.Cgroup, bad = parseOSCgroup(s.osMounts())
	s.malformed("/proc/1/mountinfo", bad)
	if controllers, ok := s.value("/sys/fs/cgroup/cgroup.controllers"); ok {
		facts.Cgroup.Controllers = strings.Fields(controllers)
	}
}

// osMounts returns the mounts of the host's first process: in a container those of this
// process are others.
func (s *snapshot) osMounts() []byte {
	data, err := s.load("/proc/1/mountinfo", snapshotFile)
	if err != nil && len(data) == 0 {
		data, err = s.load("/proc/self/mountinfo", snapshotFile)
		s.missing("/proc/self/mountinfo", err)
	}
	return data
}

func (s *snapshot) osTimes(facts *osFacts) {
	facts.BootTime = snapshotParse(s, "/proc/stat", parseOSBootTime)
	facts.UptimeSeconds = snapshotParse(s, "/proc/uptime", parseOSUptime)
	facts.Load = snapshotParse(s, "/proc/loadavg", parseOSLoad)
	facts.BootID, _ = s.value("/proc/sys/kernel/random/boot_id")
	facts.ClockSource, _ = s.value("/sys/devices/system/clocksource/clocksource0/current_clocksource")

	// The link is what the C library goes by; /etc/timezone is Debian's note about it.
	link, _ := s.env.Host.ReadLink("/etc/localtime")
	if _, zone, ok := strings.Cut(link, "/zoneinfo/"); ok {
		facts.TimeZone = snapshotText(zone)
	} else {
		facts.TimeZone, _ = s.value("/etc/timezone")
	}
}

// osDMI are the files of /sys/class/dmi/id that say what kind of machine this is. Serial
// numbers and product_uuid are left out: they name the very machine, help no diagnosis,
// and only root may read them.
// https://www.kernel.org/doc/Documentation/ABI/testing/sysfs-class-dmi
var osDMI = []string{
	"sys_vendor", "product_name", "product_version", "product_family", "product_sku",
	"board_vendor", "board_name", "board_version",
	"bios_vendor", "bios_version", "bios_date", "bios_release", "chassis_asset_tag",
}

func (s *snapshot) osHardware(facts *osFacts) {
	facts.CPU = snapshotParse(s, "/proc/cpuinfo", parseOSCPU)
	facts.CPU.Online, _ = s.value("/sys/devices/system/cpu/online")
	if facts.Kernel.Architecture == "" {
		facts.Kernel.Architecture = facts.CPU.architecture()
	}

	facts.DMI = map[string]string{}
	for _, name := range osDMI {
		if text, ok := s.value("/sys/class/dmi/id/" + name); ok && text != "" {
			facts.DMI[name] = text
		}
	}
	facts.Virtualization = osVirtual(facts.DMI)
	s.osContainer(&facts.Virtualization, slices.Contains(facts.CPU.Flags, "hypervisor"))
}

// osContainer adds what files, not hardware names, tell about virtualisation.
func (s *snapshot) osContainer(v *osVirtualization, hypervisorFlag bool) {
	v.HypervisorFlag = hypervisorFlag
	if kind, ok := s.value("/sys/hypervisor/type"); ok && v.Hypervisor == "" {
		v.Hypervisor = kind
	}
	if _, err := s.env.Host.Stat("/sys/bus/vmbus"); err == nil && v.Hypervisor == "" {
		v.Hypervisor = "microsoft"
	}
	var ok bool
	if v.Container, ok = s.value("/run/systemd/container"); ok {
		return
	}
	for _, sign := range []struct{ path, kind string }{{"/.dockerenv", "docker"}, {"/run/.containerenv", "podman"}} {
		if _, err := s.env.Host.Stat(sign.path); err == nil {
			v.Container = sign.kind
		}
	}
}

func (s *snapshot) osUpdates(facts *osFacts) {
	_, err := s.env.Host.Stat("/run/reboot-required")
	facts.RebootRequired = err == nil
	packages, _ := s.load("/run/reboot-required.pkgs", snapshotFile)
	snapshotLines(packages, func(fields []string) bool {
		facts.RebootPackages = append(facts.RebootPackages, fields[0])
		return true
	})
	slices.Sort(facts.RebootPackages)
	facts.RebootPackages = slices.Compact(facts.RebootPackages)
}

// parseOSRelease parses os-release(5):
// https://www.freedesktop.org/software/systemd/man/latest/os-release.html
func parseOSRelease(data []byte) (map[string]string, int) {
	release := map[string]string{}
	bad := snapshotPairs(data, "=", func(key, value string) {
		if n := len(value); n >= 2 && (value[0] == '"' || value[0] == '\'') && value[n-1] == value[0] {
			value = value[1 : n-1]
		}
		release[key] = strings.NewReplacer(`\"`, `"`, `\$`, `$`, "\\`", "`", `\\`, `\`).Replace(value)
	})
	return release, bad
}

// parseOSBootTime finds the boot time in /proc/stat.
func parseOSBootTime(data []byte) (boot time.Time, bad int) {
	bad = snapshotLines(data, func(fields []string) bool {
		if fields[0] != "btime" {
			return true
		}
		numbers, ok := snapshotNumbers(fields[1:])
		if !ok || len(numbers) != 1 || numbers[0] > 1<<36 {
			return false
		}
		boot = time.Unix(int64(numbers[0]), 0).UTC()
		return true
	})
	return boot, bad
}

// parseOSUptime parses the seconds since boot from /proc/uptime.
func parseOSUptime(data []byte) (seconds float64, bad int) {
	bad = snapshotLines(data, func(fields []string) bool {
		numbers, ok := osFloats(fields)
		if ok {
			seconds = numbers[0]
		}
		return ok
	})
	return seconds, bad
}

// An osLoad is /proc/loadavg: https://man7.org/linux/man-pages/man5/proc_loadavg.5.html
type osLoad struct {
	Minute1  float64 `json:"average1m"`
	Minute5  float64 `json:"average5m"`
	Minute15 float64 `json:"average15m"`
	Runnable uint64  `json:"runnableThreads"`
	Threads  uint64  `json:"threads"`
}

func parseOSLoad(data []byte) (load *osLoad, bad int) {
	bad = snapshotLines(data, func(fields []string) bool {
		if len(fields) != 5 {
			return false
		}
		averages, ok := osFloats(fields[:3])
		threads, good := snapshotNumbers(strings.Split(fields[3], "/"))
		if !ok || !good || len(threads) != 2 {
			return false
		}
		load = &osLoad{averages[0], averages[1], averages[2], threads[0], threads[1]}
		return true
	})
	return load, bad
}

// osFloats parses all of fields as numbers that JSON can hold.
func osFloats(fields []string) ([]float64, bool) {
	numbers := make([]float64, len(fields))
	for i, field := range fields {
		n, err := strconv.ParseFloat(field, 64)
		if err != nil || !(n >= 0 && n < 1e18) {
			return nil, false
		}
		numbers[i] = n
	}
	return numbers, true
}

// osTaintNames are the meanings of the bits of kernel.tainted, from bit 0:
// https://docs.kernel.org/admin-guide/tainted-kernels.html
var osTaintNames = []string{
	"proprietary module", "module force-loaded", "out of specification", "module force-unloaded",
	"machine check", "bad page", "asked for by user space", "died (oops or BUG)",
	"ACPI table overridden", "warning", "staging driver", "firmware bug worked around",
	"out-of-tree module", "unsigned module", "soft lockup", "live-patched",
	"auxiliary (distribution)", "built with struct randomization", "in-kernel test", "fwctl debugging",
}

func osTaints(bits uint64) (taints []string) {
	for i, name := range osTaintNames {
		if bits&(1<<i) != 0 {
			taints = append(taints, name)
		}
	}
	return taints
}
