package node

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
)

// links lists links and their addresses; without netlink the links' counters from procfs.
func (c *networkCollection) links() {
	r := &c.report
	r.Links, r.LinksFrom = []networkLink{}, "netlink"
	at := map[int]int{}
	err := networkEach(c.ctx, &c.guard, c.source.links, func(l networkLink) error {
		if len(c.names) < maxNetworkNames {
			c.names[l.Index] = l.Name
		}
		if len(r.Links) == maxNetworkLinks {
			r.LinksNotListed++
			return nil
		}
		at[l.Index] = len(r.Links)
		r.Links = append(r.Links, l)
		return nil
	})
	c.failed("links", err)
	err = networkEach(c.ctx, &c.guard, c.source.addresses, func(a networkAddress) error {
		if i, ok := at[a.Link]; ok && len(r.Links[i].Addresses) < maxNetworkLinks {
			r.Links[i].Addresses = append(r.Links[i].Addresses, a)
		} else {
			r.AddressesNotListed++
		}
		return nil
	})
	c.failed("addresses", err)
	for i := range r.Links {
		r.Links[i].MasterName = c.names[r.Links[i].Master]
	}
	devices := snapshotParse(&c.snapshot, r.Folder+"/dev", parseNetworkDevices)
	if len(r.Links) == 0 && len(devices) > 0 {
		keep := min(len(devices), maxNetworkLinks)
		r.Links, r.LinksNotListed, r.LinksFrom = devices[:keep], len(devices)-keep, r.Folder+"/dev"
	}
}

// device names a link by its index.
func (c *networkCollection) device(index int) string {
	if index == 0 {
		return ""
	}
	return cmp.Or(c.names[index], fmt.Sprintf("if%d", index))
}

// networkList writes what list gives as a JSON Lines file and a table, and counts it. It
// returns how many were listed.
func networkList[T any](
	c *networkCollection, what string, names [2]string, room int, list func(func(T) bool) error, take func(*T) (string, bool),
) (listed int) {
	if c.err != nil {
		return 0
	}
	lines, err := newLineFile(c.out, names[0], room)
	if err != nil {
		c.err = err
		return 0
	}
	table, err := newLineFile(c.out, names[1], room/2)
	if err != nil {
		c.err = errors.Join(err, lines.close())
		return 0
	}
	c.failed(what, networkEach(c.ctx, &c.guard, list, func(item T) error {
		text, keep := take(&item)
		if !keep {
			return nil
		}
		data, err := json.Marshal(item)
		if err == nil {
			listed++
			err = errors.Join(lines.add(append(data, '\n')), table.add([]byte(text)))
		}
		return err
	}))
	lines.warn(c.env.Log)
	table.warn(c.env.Log)
	c.err = errors.Join(lines.close(), table.close())
	return listed - lines.lost
}

func (c *networkCollection) routes() {
	n := &c.report.Routes
	n.ByTable, n.Defaults = map[string]map[string]int{}, []networkRoute{}
	tables := 0
	files := [2]string{"routes.jsonl", "ip-route.txt"}
	n.Listed = networkList(c, "routes", files, networkListBytes, c.source.routes, func(r *networkRoute) (string, bool) {
		n.Total++
		byTable := networkCounts(n.ByTable, r.Family)
		table := r.Table
		if _, known := byTable[table]; !known {
			if tables++; tables > 1000 {
				table = "other"
			}
		}
		byTable[table]++
		r.Device = c.device(r.Link)
		for i := range r.NextHops {
			r.NextHops[i].Device = c.device(r.NextHops[i].Link)
		}
		if r.Destination == "default" && len(n.Defaults) < maxNetworkDefaults {
			n.Defaults = append(n.Defaults, *r)
		}
		return networkRouteLine(r), n.Total <= maxNetworkRoutes
	})
}

// networkCounts returns the counts of family, which it makes when there are none.
func networkCounts(by map[string]map[string]int, family string) map[string]int {
	if by[family] == nil {
		by[family] = map[string]int{}
	}
	return by[family]
}

func (c *networkCollection) rules() {
	c.report.Rules = []networkRule{}
	c.failed("rules", networkEach(c.ctx, &c.guard, c.source.rules, func(r networkRule) error {
		if len(c.report.Rules) == maxNetworkRules {
			c.report.RulesNotListed++
			return nil
		}
		c.report.Rules = append(c.report.Rules, r)
		return nil
	}))
}

func (c *networkCollection) neighbours() {
	n := &c.report.Neighbours
	n.ByState = map[string]map[string]int{}
	files := [2]string{"neighbours.jsonl", "ip-neigh.txt"}
	n.Listed = networkList(c, "neighbours", files, networkListBytes/2, c.source.neighbours, func(b *networkNeighbour) (string, bool) {
		n.Total++
		for _, state := range b.States {
			networkCounts(n.ByState, b.Family)[state]++
		}
		b.Device = c.device(b.Link)
		return networkNeighbourLine(b), n.Total <= maxNetworkRoutes
	})
}
