package cluster

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// Down ends the bed of this machine, or what is left of one, and removes its state. Without a bed it does nothing. Processes are
// found by their cgroup, so it does not matter how they came to be there or who has died.
func Down(ctx context.Context) error {
	if err := requireRoot(); err != nil {
		return err
	}
	unlock, err := lock(ctx, lockFile, nil)
	if err != nil {
		return err
	}
	defer unlock()
	return cleanUp(ctx)
}

// Down ends the bed, see the function of this name.
func (b *Bed) Down(ctx context.Context) error { return Down(ctx) }

// cleanUp removes all that can be there, in an order in which each step makes the next one possible.
func cleanUp(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	g, err := machineCgroups()
	if err != nil {
		return err
	}
	if err := g.kill(ctx, cgroupBase); err != nil {
		return err
	}
	for i := range maxNodes {
		if err := deleteLink(ctx, nodeLink(i+1)); err != nil && exists("/sys/class/net/"+nodeLink(i+1)) {
			return err
		}
	}
	if err := deleteLink(ctx, bridge); err != nil {
		return err
	}
	if err := deleteTable(ctx); err != nil {
		return err
	}
	if err := g.remove(ctx, cgroupBase); err != nil {
		return err
	}
	return removeState(ctx)
}

func deleteTable(ctx context.Context) error {
	if !exists("/usr/sbin/nft") { // there was never a bed
		return nil
	}
	cmd := exec.CommandContext(ctx, "nft", "-f", "-")
	// To add it first makes the deletion succeed when it is not there.
	cmd.Stdin = strings.NewReader("add table inet " + nftTable + "\ndelete table inet " + nftTable + "\n")
	_, err := output(cmd, "delete nftables table")
	return err
}

// removeState deletes the state folder, once nothing of it is mounted or behind a loop device. A node's disk has the machine's
// /usr mounted inside, in the node's namespace: were it mounted here, to delete the folder would be to delete /usr.
func removeState(ctx context.Context) error {
	for {
		busy, err := inUse()
		if err != nil {
			return err
		}
		if busy == "" {
			return os.RemoveAll(stateDir)
		}
		if pause(ctx, 50*time.Millisecond) != nil {
			return fmt.Errorf("remove %s: %s is still in use", stateDir, busy)
		}
	}
}

// inUse names a mount or a loop device that holds a part of the state folder.
func inUse() (string, error) {
	f, err := os.Open("/proc/self/mountinfo")
	if err != nil {
		return "", err
	}
	defer f.Close()
	lines := bufio.NewScanner(f)
	for lines.Scan() {
		if fields := strings.Fields(lines.Text()); len(fields) > 4 && strings.HasPrefix(fields[4]+"/", stateDir+"/") {
			return "mount " + fields[4], nil
		}
	}
	if err := lines.Err(); err != nil {
		return "", err
	}
	entries, err := os.ReadDir("/sys/block")
	if err != nil {
		return "", nil //nolint:nilerr // no sysfs, no loop devices
	}
	for _, e := range entries {
		file, err := os.ReadFile("/sys/block/" + e.Name() + "/loop/backing_file")
		if err == nil && strings.HasPrefix(string(file), stateDir+"/") {
			return "/dev/" + e.Name(), nil
		}
	}
	return "", nil
}

func requireRoot() error {
	if os.Geteuid() != 0 {
		return errors.New("the bed needs root: run it again with sudo")
	}
	return nil
}

// checkMachine tells what stands in the way of a bed, with the remedy, before anything is started.
func checkMachine() error {
	var u syscall.Utsname
	if err := syscall.Uname(&u); err != nil {
		return fmt.Errorf("uname: %w", err)
	}
	if release := utsString(u.Release[:]); !kernelAtLeast(release, 5, 4) {
		return fmt.Errorf("the kernel is %s: the bed needs 5.4 or newer; use a newer machine", release)
	}
	filesystems, err := os.ReadFile("/proc/filesystems")
	if err != nil {
		return err
	}
	if !strings.Contains(string(filesystems), "overlay\n") {
		return errors.New("the kernel has no overlayfs: run modprobe overlay")
	}
	for _, port := range controlPorts {
		address := net.JoinHostPort("127.0.0.1", strconv.Itoa(port))
		l, err := (&net.ListenConfig{}).Listen(context.Background(), "tcp", address)
		if err != nil {
			return fmt.Errorf("port %d is taken: %w; find its owner with: ss -ltnp sport = :%d", port, err, port)
		}
		_ = l.Close()
	}
	return checkRoutes()
}

// checkRoutes makes sure that the addresses of the bed mean nothing yet on this machine.
func checkRoutes() error {
	out, err := output(exec.CommandContext(context.Background(), "ip", "-o", "-4", "address"), "list addresses")
	if err != nil {
		return err
	}
	for _, want := range []string{nodeNet, podNet} {
		_, bed, _ := net.ParseCIDR(want)
		for line := range strings.Lines(string(out)) {
			fields := strings.Fields(line)
			if len(fields) < 4 {
				continue
			}
			ip, other, err := net.ParseCIDR(fields[3])
			if err == nil && (bed.Contains(ip) || other.Contains(bed.IP)) {
				return fmt.Errorf("%s on %s overlaps the bed's %s: remove that address, or use another machine", fields[3], fields[1], want)
			}
		}
	}
	return nil
}

func kernelAtLeast(release string, major, minor int) bool {
	var a, b int
	if n, _ := fmt.Sscanf(release, "%d.%d", &a, &b); n != 2 {
		return false
	}
	return a > major || (a == major && b >= minor)
}

func utsString[T int8 | uint8](field []T) string {
	var b strings.Builder
	for _, c := range field {
		if c == 0 {
			break
		}
		b.WriteByte(byte(c))
	}
	return b.String()
}
