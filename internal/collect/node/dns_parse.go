package node

import (
	"bytes"
	"net/netip"
	"slices"
	"strings"
)

// A dnsResolvConf is what a resolver takes from a resolv.conf. All name servers are here,
// although the C library asks the first three only.
type dnsResolvConf struct {
	Nameservers []string `json:"nameservers"`
	Search      []string `json:"search"`
	Options     []string `json:"options"`
}

// parseDNSResolvConf parses resolv.conf(5); of search and domain the last one counts.
// https://man7.org/linux/man-pages/man5/resolv.conf.5.html
func parseDNSResolvConf(data []byte) (dnsResolvConf, int) {
	c := dnsResolvConf{Nameservers: []string{}, Search: []string{}, Options: []string{}}
	bad := snapshotLines(data, func(fields []string) bool {
		if fields[0][0] == '#' || fields[0][0] == ';' {
			return true
		}
		switch values := fields[1:]; fields[0] {
		case "nameserver":
			if len(values) == 0 {
				return false
			}
			c.Nameservers = append(c.Nameservers, values[0])
			_, err := netip.ParseAddr(values[0])
			return err == nil
		case "search":
			c.Search = values
		case "domain":
			c.Search = values[:min(len(values), 1)]
		case "options":
			c.Options = append(c.Options, values...)
		case "sortlist":
		default:
			return false
		}
		return true
	})
	return c, bad
}

// parseDNSSwitch returns the sources and actions on the hosts line of nsswitch.conf(5).
func parseDNSSwitch(data []byte) (hosts []string, bad int) {
	bad = snapshotPairs(data, ":", func(key, value string) {
		if key == "hosts" {
			value, _, _ = strings.Cut(value, "#")
			hosts = strings.Fields(value)
		}
	})
	return hosts, bad
}

// parseDNSResolved adds the values of one resolved.conf(5) to settings. As in systemd,
// lists add up, an empty value removes those before, and of anything else the last counts.
func parseDNSResolved(data []byte, settings map[string][]string) (bad int) {
	var pairs bytes.Buffer
	for line := range bytes.Lines(data) {
		if text := bytes.TrimSpace(line); len(text) == 0 || text[0] != '[' {
			pairs.Write(line)
		}
	}
	return snapshotPairs(pairs.Bytes(), "=", func(key, value string) {
		values := strings.Fields(value)
		if slices.Contains([]string{"DNS", "FallbackDNS", "Domains"}, key) && len(values) > 0 {
			values = append(settings[key], values...)
		}
		settings[key] = values
	})
}

// A dnsServer is one server block of a Corefile.
type dnsServer struct {
	Zones   []string `json:"zones"`             // with ports, as written
	Bind    []string `json:"bind,omitempty"`    // addresses it listens on
	Forward []string `json:"forward,omitempty"` // where it sends what it does not know
}

// parseDNSCorefile reads the bind and forward lines of the server blocks, and passes over
// the rest: https://coredns.io/manual/configuration/
func parseDNSCorefile(data []byte) []dnsServer {
	servers := []dnsServer{}
	depth := 0
	for line := range bytes.Lines(data) {
		text, _, _ := strings.Cut(snapshotText(string(line)), "#")
		fields := strings.Fields(text)
		if len(fields) == 0 {
			continue
		}
		opens := fields[len(fields)-1] == "{"
		switch {
		case depth == 0 && opens:
			servers = append(servers, dnsServer{Zones: fields[:len(fields)-1]})
		case depth == 1 && len(servers) > 0:
			servers[len(servers)-1].set(slices.DeleteFunc(fields, func(f string) bool { return f == "{" }))
		}
		if opens {
			depth++
		} else if fields[0] == "}" && depth > 0 {
			depth--
		}
	}
	return servers
}

func (s *dnsServer) set(fields []string) {
	switch {
	case len(fields) > 1 && fields[0] == "bind":
		s.Bind = append(s.Bind, fields[1:]...)
	case len(fields) > 2 && fields[0] == "forward":
		s.Forward = append(s.Forward, fields[2:]...)
	}
}
