package node

import (
	"net"
	"reflect"
	"testing"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"
)

// ruleMessage makes a message as the kernel sends it. A number is an attribute of 32 bits.
func ruleMessage(header nl.RtMsg, attrs map[int]any) []byte {
	m := header.Serialize()
	for kind, v := range attrs {
		switch v := v.(type) {
		case int:
			m = append(m, nl.NewRtAttr(kind, nl.Uint32Attr(uint32(v))).Serialize()...)
		case string:
			m = append(m, nl.NewRtAttr(kind, nl.ZeroTerminated(v)).Serialize()...)
		case []byte:
			m = append(m, nl.NewRtAttr(kind, v).Serialize()...)
		}
	}
	return m
}

func ruleHeader(action, table, flags int, from, to uint8) nl.RtMsg {
	return nl.RtMsg{RtMsg: unix.RtMsg{
		Family: unix.AF_INET, Type: uint8(action), Table: uint8(table), Flags: uint32(flags), Src_len: from, Dst_len: to,
	}}
}

func TestParseNetlinkRule(t *testing.T) {
	ten, host := []byte{10, 0, 0, 0}, []byte{192, 0, 2, 1}
	for _, c := range []struct {
		message []byte
		want    networkRule
	}{
		{ruleMessage(ruleHeader(unix.FR_ACT_TO_TBL, 255, 0, 0, 0), nil), networkRule{"inet", 0, "from all", "lookup local"}},
		{
			ruleMessage(ruleHeader(unix.FR_ACT_TO_TBL, 0, unix.FIB_RULE_INVERT, 8, 32), map[int]any{
				unix.FRA_PRIORITY: 100, unix.FRA_TABLE: 1000, unix.FRA_SRC: ten, unix.FRA_DST: host,
				unix.FRA_FWMARK: 0x10, unix.FRA_FWMASK: 0xf0, unix.FRA_IIFNAME: "eth0", unix.FRA_SUPPRESS_PREFIXLEN: 0,
			}),
			networkRule{"inet", 100, "not from 10.0.0.0/8 to 192.0.2.1 fwmark 0x10/0xf0 iif eth0", "lookup 1000 suppress_prefixlength 0"},
		},
		{
			ruleMessage(ruleHeader(unix.FR_ACT_GOTO, 0, 0, 0, 0), map[int]any{
				unix.FRA_GOTO: 32766, unix.FRA_FWMARK: 7, unix.FRA_FWMASK: -1, unix.FRA_IP_PROTO: []byte{6}, unix.FRA_DPORT_RANGE: []byte{80, 0, 90, 0},
				unix.FRA_UID_RANGE: []byte{0, 0, 0, 0, 99, 0, 0, 0}, unix.FRA_SUPPRESS_PREFIXLEN: -1,
			}),
			networkRule{"inet", 0, "from all fwmark 0x7 uidrange 0-99 ipproto tcp dport 80-90", "goto 32766"},
		},
		{ruleMessage(ruleHeader(unix.FR_ACT_PROHIBIT, 0, 0, 0, 0), nil), networkRule{"inet", 0, "from all", "prohibit"}},
		{
			ruleMessage(ruleHeader(77, 0, 0, 9, 0), map[int]any{unix.FRA_SRC: []byte{1}, unix.FRA_PRIORITY: []byte{1}, unix.FRA_UID_RANGE: []byte{1, 2}}),
			networkRule{"inet", 0, "from /9", "77"},
		},
	} {
		if got, err := parseNetlinkRule(c.message); err != nil || got != c.want {
			t.Errorf("got %+v, %v; want %+v", got, err, c.want)
		}
	}
	for _, bad := range [][]byte{nil, make([]byte, unix.SizeofRtMsg-1), append(make([]byte, unix.SizeofRtMsg), 1, 0, 0, 0)} {
		if r, err := parseNetlinkRule(bad); err == nil {
			t.Errorf("%v: got %+v; want an error", bad, r)
		}
	}
}

func TestNetlinkRoute(t *testing.T) {
	_, ten, _ := net.ParseCIDR("10.0.0.0/8")
	_, all, _ := net.ParseCIDR("0.0.0.0/0")
	_, one, _ := net.ParseCIDR("192.0.2.1/32")
	gw := net.IPv4(10, 0, 0, 1).To4()
	for _, c := range []struct {
		route netlink.Route
		want  networkRoute
	}{
		{
			netlink.Route{Family: unix.AF_INET, Table: 254, Type: 1, Dst: all, Gw: gw, LinkIndex: 2, Protocol: 16, Priority: 100, Flags: unix.RTNH_F_ONLINK},
			networkRoute{
				Family: "inet", Table: "main", Type: "unicast", Destination: "default", Gateway: "10.0.0.1", Link: 2, Protocol: "dhcp", Scope: "global",
				Metric: 100, Flags: []string{"onlink"},
			},
		},
		{
			netlink.Route{
				Family: unix.AF_INET, Table: 100, Type: 6, Dst: one, Protocol: 99, Scope: 253,
				Via: &netlink.Via{AddrFamily: unix.AF_INET6, Addr: net.ParseIP("fe80::1")},
			},
			networkRoute{Family: "inet", Table: "100", Type: "blackhole", Destination: "192.0.2.1", Gateway: "fe80::1", Protocol: "99", Scope: "link"},
		},
		{
			netlink.Route{Family: unix.AF_INET6, Table: 255, Type: 2, Dst: ten, Protocol: 2, MultiPath: []*netlink.NexthopInfo{{LinkIndex: 3, Gw: gw, Hops: 4}}},
			networkRoute{
				Family: "inet6", Table: "local", Type: "local", Destination: "10.0.0.0/8", Protocol: "kernel", Scope: "global",
				NextHops: []networkNextHop{{Gateway: "10.0.0.1", Link: 3, Weight: 5}},
			},
		},
		{
			netlink.Route{Family: unix.AF_INET6, Table: 254, Type: 1},
			networkRoute{Family: "inet6", Table: "main", Type: "unicast", Destination: "default", Protocol: "unspec", Scope: "global"},
		},
	} {
		if got := netlinkRoute(c.route); !reflect.DeepEqual(got, c.want) {
			t.Errorf("got %+v\nwant %+v", got, c.want)
		}
	}
}

func TestNetlinkAddress(t *testing.T) {
	_, net24, _ := net.ParseCIDR("192.0.2.7/24")
	day := 86400
	for _, c := range []struct {
		addr netlink.Addr
		want networkAddress
	}{
		{
			netlink.Addr{IPNet: net24, ValidLft: 1<<32 - 1, Broadcast: net.IPv4(192, 0, 2, 255).To4(), LinkIndex: 4},
			networkAddress{Link: 4, Family: "inet", Address: "192.0.2.0/24", Broadcast: "192.0.2.255", Scope: "global"},
		},
		{
			netlink.Addr{
				IPNet: &net.IPNet{IP: net.ParseIP("fe80::1"), Mask: net.CIDRMask(128, 128)}, Scope: 253, Flags: unix.IFA_F_TENTATIVE | unix.IFA_F_DADFAILED,
				ValidLft: day, PreferedLft: day,
			},
			networkAddress{Family: "inet6", Address: "fe80::1/128", Scope: "link", Flags: []string{"dadfailed", "tentative"}, ValidSeconds: &day, PreferredSeconds: &day},
		},
	} {
		if got := netlinkAddress(c.addr); !reflect.DeepEqual(got, c.want) {
			t.Errorf("got %+v\nwant %+v", got, c.want)
		}
	}
}

func TestNetlinkNeighbour(t *testing.T) {
	got := netlinkNeighbour(&netlink.Neigh{Family: unix.AF_INET, IP: net.IPv4(10, 0, 0, 9).To4(), LinkIndex: 2, State: netlink.NUD_FAILED, Flags: netlink.NTF_ROUTER})
	want := networkNeighbour{Family: "inet", Address: "10.0.0.9", Link: 2, States: []string{"FAILED"}, Flags: []string{"router"}}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v; want %+v", got, want)
	}
	if got := netlinkNeighbour(&netlink.Neigh{}).States; !reflect.DeepEqual(got, []string{"NONE"}) {
		t.Errorf("without a state: got %v; want NONE", got)
	}
}
