package node

import (
	"cmp"
	"encoding/binary"
	"errors"
	"fmt"
	"strings"

	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"
)

// netlinkRules lists the routing policy. The messages are parsed here because the library
// drops what a rule without a table does.
func netlinkRules(yield func(networkRule) bool) error {
	return netlinkFamilies(func(family int) error {
		return netlinkDump(unix.RTM_GETRULE, unix.RTM_NEWRULE, nl.NewIfInfomsg(family), func(m []byte) bool {
			rule, err := parseNetlinkRule(m)
			if err != nil || rule.Family != netlinkFamilyName(family) {
				return true
			}
			return yield(rule)
		})
	})
}

// A netlinkFIBRule is a message of a rule: its header, laid out like that of a route, and
// its attributes by type.
// https://git.kernel.org/pub/scm/linux/kernel/git/torvalds/linux.git/tree/include/uapi/linux/fib_rules.h
type netlinkFIBRule struct {
	*nl.RtMsg
	values map[uint16][]byte
}

func parseNetlinkRule(m []byte) (networkRule, error) {
	if len(m) < unix.SizeofRtMsg {
		return networkRule{}, errors.New("short message")
	}
	attrs, err := nl.ParseRouteAttr(m[unix.SizeofRtMsg:])
	if err != nil {
		return networkRule{}, err
	}
	r := netlinkFIBRule{nl.DeserializeRtMsg(m), map[uint16][]byte{}}
	for _, a := range attrs {
		r.values[a.Attr.Type] = a.Value
	}
	priority, _ := r.number(unix.FRA_PRIORITY)
	return networkRule{Family: netlinkFamilyName(int(r.Family)), Priority: int(priority), Selector: r.selector(), Action: r.action()}, nil
}

// number returns an attribute of 32 bits.
func (r netlinkFIBRule) number(kind uint16) (uint32, bool) {
	v := r.values[kind]
	if len(v) != 4 {
		return 0, false
	}
	return binary.NativeEndian.Uint32(v), true
}

// text returns an attribute that is a name.
func (r netlinkFIBRule) text(kind uint16) string {
	return strings.TrimRight(string(r.values[kind]), "\x00")
}

// network returns an attribute that is an address, with its prefix length unless that is
// the whole of it.
func (r netlinkFIBRule) network(kind uint16, bits uint8) string {
	ip := r.values[kind]
	if len(ip) == 0 || int(bits) == 8*len(ip) {
		return netlinkIP(ip)
	}
	return fmt.Sprintf("%s/%d", netlinkIP(ip), bits)
}

// selector says what the rule is for, in the words of ip rule.
func (r netlinkFIBRule) selector() string {
	s := []string{"from " + cmp.Or(r.network(unix.FRA_SRC, r.Src_len), "all")}
	add := func(word, value string) {
		if value != "" {
			s = append(s, word+" "+value)
		}
	}
	add("to", r.network(unix.FRA_DST, r.Dst_len))
	if r.Tos != 0 {
		add("tos", fmt.Sprintf("%#x", r.Tos))
	}
	add("fwmark", r.mark())
	add("iif", r.text(unix.FRA_IIFNAME))
	add("oif", r.text(unix.FRA_OIFNAME))
	if v := r.values[unix.FRA_L3MDEV]; len(v) == 1 && v[0] == 1 {
		s = append(s, "l3mdev")
	}
	add("uidrange", r.pair(unix.FRA_UID_RANGE, 4))
	if v := r.values[unix.FRA_IP_PROTO]; len(v) == 1 {
		add("ipproto", networkNameOf(int(v[0]), []networkName{
			{unix.IPPROTO_ICMP, "icmp"}, {unix.IPPROTO_TCP, "tcp"}, {unix.IPPROTO_UDP, "udp"}, {unix.IPPROTO_ICMPV6, "ipv6-icmp"},
		}))
	}
	add("sport", r.pair(unix.FRA_SPORT_RANGE, 2))
	add("dport", r.pair(unix.FRA_DPORT_RANGE, 2))
	if r.Flags&unix.FIB_RULE_INVERT != 0 {
		s[0] = "not " + s[0]
	}
	return strings.Join(s, " ")
}

// mark returns "value" or "value/mask".
func (r netlinkFIBRule) mark() string {
	mark, marked := r.number(unix.FRA_FWMARK)
	mask, masked := r.number(unix.FRA_FWMASK)
	switch {
	case masked && mask != 1<<32-1:
		return fmt.Sprintf("%#x/%#x", mark, mask)
	case marked && mark != 0:
		return fmt.Sprintf("%#x", mark)
	}
	return ""
}

// pair returns an attribute of two numbers, of size bytes each.
func (r netlinkFIBRule) pair(kind uint16, size int) string {
	v := r.values[kind]
	switch {
	case len(v) != 2*size:
		return ""
	case size == 2:
		return fmt.Sprintf("%d-%d", binary.NativeEndian.Uint16(v), binary.NativeEndian.Uint16(v[2:]))
	}
	return fmt.Sprintf("%d-%d", binary.NativeEndian.Uint32(v), binary.NativeEndian.Uint32(v[4:]))
}

// action says what the rule does, in the words of ip rule.
func (r netlinkFIBRule) action() string {
	switch r.Type {
	case unix.FR_ACT_TO_TBL:
		table, ok := r.number(unix.FRA_TABLE)
		if !ok {
			table = uint32(r.Table)
		}
		action := "lookup " + networkNameOf(int(table), netlinkTables)
		if length, ok := r.number(unix.FRA_SUPPRESS_PREFIXLEN); ok && length != 1<<32-1 {
			action += fmt.Sprintf(" suppress_prefixlength %d", length)
		}
		return action
	case unix.FR_ACT_GOTO:
		to, _ := r.number(unix.FRA_GOTO)
		return fmt.Sprintf("goto %d", to)
	}
	return networkNameOf(int(r.Type), []networkName{
		{unix.FR_ACT_NOP, "nop"}, {unix.FR_ACT_BLACKHOLE, "blackhole"}, {unix.FR_ACT_UNREACHABLE, "unreachable"}, {unix.FR_ACT_PROHIBIT, "prohibit"},
	})
}
