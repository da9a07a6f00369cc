package node

import (
	"slices"
	"strings"
)

// An osCPU summarises /proc/cpuinfo. Model, vendor, microcode, flags and bugs are those of
// the first processor.
type osCPU struct {
	Count     int      `json:"count"`
	Online    string   `json:"online,omitempty"` // a list of ranges, like 0-3,8
	Sockets   int      `json:"sockets,omitempty"`
	Cores     int      `json:"cores,omitempty"`
	Vendor    string   `json:"vendor,omitempty"`
	Model     string   `json:"model,omitempty"`
	Microcode string   `json:"microcode,omitempty"`
	Flags     []string `json:"flags,omitempty"` // sorted
	Bugs      []string `json:"bugs,omitempty"`
}

// parseOSCPU knows the fields of x86 and of arm64; the latter has no sockets and cores.
func parseOSCPU(data []byte) (osCPU, int) {
	var cpu osCPU
	sockets, cores, socket := map[string]bool{}, map[string]bool{}, ""
	first := func(to *string, value string) {
		if *to == "" {
			*to = value
		}
	}
	list := func(to *[]string, value string) {
		if *to == nil {
			*to = strings.Fields(value)
			slices.Sort(*to)
		}
	}
	bad := snapshotPairs(data, ":", func(key, value string) {
		switch key {
		case "processor":
			cpu.Count++
		case "physical id":
			socket, sockets[value] = value, true
		case "core id":
			cores[socket+"/"+value] = true
		case "vendor_id", "CPU implementer":
			first(&cpu.Vendor, value)
		case "model name", "CPU part":
			first(&cpu.Model, value)
		case "microcode":
			first(&cpu.Microcode, value)
		case "flags", "Features":
			list(&cpu.Flags, value)
		case "bugs":
			list(&cpu.Bugs, value)
		}
	})
	cpu.Sockets, cpu.Cores = len(sockets), len(cores)
	return cpu, bad
}

// architecture tells x86_64 from aarch64 by flags that every such CPU has, for kernels
// that do not name it.
func (c osCPU) architecture() string {
	switch {
	case slices.Contains(c.Flags, "lm"):
		return "x86_64"
	case slices.Contains(c.Flags, "asimd"):
		return "aarch64"
	}
	return ""
}

// An osCgroup tells which hierarchies are mounted below /sys/fs/cgroup: "v1", "v2", or
// "hybrid" when v1 has the controllers and an empty v2 lies beside it. The kubelet counts
// hybrid as v1.
type osCgroup struct {
	Version     string   `json:"version,omitempty"`
	Controllers []string `json:"controllers,omitempty"`
}

// parseOSCgroup reads a mountinfo file:
// https://man7.org/linux/man-pages/man5/proc_pid_mountinfo.5.html
func parseOSCgroup(mountinfo []byte) (osCgroup, int) {
	const root = "/sys/fs/cgroup"
	var c osCgroup
	var v1, v2 bool
	bad := snapshotLines(mountinfo, func(fields []string) bool {
		dash := slices.Index(fields, "-")
		if dash < 6 || len(fields) < dash+2 {
			return false
		}
		at, ok := strings.CutPrefix(fields[4], root)
		if !ok || (at != "" && at[0] != '/') {
			return true
		}
		switch kind := fields[dash+1]; {
		case kind == "cgroup2" && at == "":
			c.Version = "v2"
		case kind == "cgroup2":
			v2 = true
		case kind == "cgroup":
			v1 = true
			if at != "/systemd" && at != "" {
				c.Controllers = append(c.Controllers, strings.Split(at[1:], ",")...)
			}
		}
		return true
	})
	switch {
	case c.Version != "" || !v1:
	case v2:
		c.Version = "hybrid"
	default:
		c.Version = "v1"
	}
	slices.Sort(c.Controllers)
	return c, bad
}

// An osVirtualization holds hints, not proofs. Hypervisors have the names that
// systemd-detect-virt gives them.
type osVirtualization struct {
	HypervisorFlag bool   `json:"hypervisorFlag"` // the CPU says that it is virtual (x86 only)
	Hypervisor     string `json:"hypervisor,omitempty"`
	Cloud          string `json:"cloud,omitempty"`
	Container      string `json:"container,omitempty"` // set when the host is itself a container, as in kind
}

// osMachines tells hypervisors and clouds by their DMI names; the first that matches
// counts. The asset tag is the one that Azure gives all its machines.
// https://learn.microsoft.com/azure/virtual-machines/instance-metadata-service
var osMachines = []struct{ field, prefix, hypervisor, cloud string }{
	{"chassis_asset_tag", "7783-7084-3265-9085-8269-3286-77", "microsoft", "azure"},
	{"sys_vendor", "Microsoft Corporation", "microsoft", ""},
	{"sys_vendor", "Amazon EC2", "amazon", "aws"},
	{"product_name", "Google Compute Engine", "google", "gcp"},
	{"sys_vendor", "Alibaba Cloud", "kvm", "alibaba"},
	{"product_name", "OpenStack", "kvm", "openstack"},
	{"chassis_asset_tag", "OracleCloud.com", "kvm", "oracle"},
	{"sys_vendor", "VMware", "vmware", ""},
	{"sys_vendor", "innotek GmbH", "oracle", ""},
	{"sys_vendor", "Parallels", "parallels", ""},
	{"sys_vendor", "Xen", "xen", ""},
	{"product_name", "KVM", "kvm", ""},
	{"sys_vendor", "QEMU", "qemu", ""},
}

func osVirtual(dmi map[string]string) osVirtualization {
	for _, m := range osMachines {
		// Microsoft sells machines, too.
		if m.hypervisor == "microsoft" && dmi["product_name"] != "Virtual Machine" {
			continue
		}
		if strings.HasPrefix(dmi[m.field], m.prefix) {
			return osVirtualization{Hypervisor: m.hypervisor, Cloud: m.cloud}
		}
	}
	return osVirtualization{}
}
