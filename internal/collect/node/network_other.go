//go:build !linux

package node

import "errors"

var errNoNetlink = errors.New("netlink is Linux only")

// newNetworkSource has nothing to ask: there is no netlink.
func newNetworkSource() networkSource {
	return networkSource{
		links:      func(func(networkLink) bool) error { return errNoNetlink },
		addresses:  func(func(networkAddress) bool) error { return errNoNetlink },
		routes:     func(func(networkRoute) bool) error { return errNoNetlink },
		rules:      func(func(networkRule) bool) error { return errNoNetlink },
		neighbours: func(func(networkNeighbour) bool) error { return errNoNetlink },
	}
}
