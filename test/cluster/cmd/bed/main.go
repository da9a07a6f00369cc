// Command bed starts, shows and ends the test cluster of package cluster.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"

	"github.com/periscope-k8s/periscope/test/cluster"
)

const usage = `bed: a real Kubernetes cluster on this machine, for tests

  bed build                   install packages, build the components (once; up does it too)
  bed up [--nodes 3]          start the cluster, or say that it is up; prints KUBECONFIG
  bed down                    end it, or what is left of it
  bed status                  nodes, control plane, memory
  bed exec NODE -- COMMAND    run a command on a node
  bed logs [NAME]             name the logs, or print one: kube-apiserver, node-1/kubelet
  bed kubectl ARGS            kubectl as the cluster's admin
  bed power on|off NODE       boot a node, or pull its plug
  bed import TAR              import an image into every node
`

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, os.Args[1:], os.Stdout)
	stop()
	if code, ok := errors.AsType[exitCode](err); ok {
		os.Exit(int(code))
	}
	if err != nil {
		fmt.Fprintf(os.Stderr, "bed: %v\n", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string, out io.Writer) error {
	if len(args) == 0 {
		return errors.New("no command\n\n" + usage)
	}
	command, args := args[0], args[1:]
	switch command {
	case "build":
		r, err := cluster.Build(ctx, out)
		if err == nil {
			fmt.Fprintln(out, r.Dir)
		}
		return err
	case "up":
		return up(ctx, args, out)
	case "down":
		return cluster.Down(ctx)
	case "node-init": // process 1 of a node; not for people
		return cluster.RunNode(args[0])
	case "help", "-h", "--help":
		fmt.Fprint(out, usage)
		return nil
	}
	b, err := cluster.Attach()
	if err != nil {
		return err
	}
	switch command {
	case "status":
		return b.WriteStatus(ctx, out)
	case "exec":
		return execute(ctx, b, args)
	case "logs":
		return logs(b, args, out)
	case "kubectl":
		cmd := exec.CommandContext(ctx, filepath.Join(b.Release, "bin", "kubectl"), args...)
		cmd.Env = append(os.Environ(), "KUBECONFIG="+b.Kubeconfig)
		return attached(cmd)
	case "power":
		return power(ctx, b, args)
	case "import":
		if len(args) != 1 {
			return errors.New("usage: bed import TAR")
		}
		return b.ImportImage(ctx, args[0])
	}
	return fmt.Errorf("unknown command %q\n\n%s", command, usage)
}

func up(ctx context.Context, args []string, out io.Writer) error {
	o := cluster.Options{Progress: out}
	flags := flag.NewFlagSet("up", flag.ContinueOnError)
	flags.IntVar(&o.Nodes, "nodes", 3, "number of nodes, 1 to 9")
	flags.DurationVar(&o.Timeout, "timeout", 0, "for the start, without the build (default 2m)")
	flags.BoolVar(&o.Keep, "keep", false, "leave a cluster that does not become ready as it is")
	if err := flags.Parse(args); err != nil {
		return err
	}
	if b, err := cluster.Attach(); err == nil {
		fmt.Fprintf(out, "the bed is up, with %d nodes\nexport KUBECONFIG=%s\n", len(b.Nodes), b.Kubeconfig)
		return nil
	}
	b, err := cluster.Up(ctx, o)
	if err != nil {
		return err
	}
	fmt.Fprintf(out, "export KUBECONFIG=%s\n", b.Kubeconfig)
	return nil
}

func execute(ctx context.Context, b *cluster.Bed, args []string) error {
	if len(args) > 1 && args[1] == "--" {
		args = append(args[:1], args[2:]...)
	}
	if len(args) < 2 {
		return errors.New("usage: bed exec NODE -- COMMAND")
	}
	n, err := node(b, args[0])
	if err != nil {
		return err
	}
	if n.PID() == 0 {
		return fmt.Errorf("%s is off; boot it with: bed power on %s", n.Name, n.Name)
	}
	return attached(n.Command(ctx, args[1:]...))
}

// exitCode is the end of a command that had this terminal, and has said itself what is wrong.
type exitCode int

func (c exitCode) Error() string { return fmt.Sprintf("exit status %d", int(c)) }

func attached(cmd *exec.Cmd) error {
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	err := cmd.Run()
	if exit, ok := errors.AsType[*exec.ExitError](err); ok && exit.ExitCode() > 0 {
		return exitCode(exit.ExitCode())
	}
	return err
}

func power(ctx context.Context, b *cluster.Bed, args []string) error {
	if len(args) != 2 || (args[0] != "on" && args[0] != "off") {
		return errors.New("usage: bed power on|off NODE")
	}
	n, err := node(b, args[1])
	if err != nil {
		return err
	}
	if args[0] == "off" {
		return n.PowerOff(ctx)
	}
	return n.PowerOn(ctx)
}

func node(b *cluster.Bed, name string) (*cluster.Node, error) {
	if n := b.Node(name); n != nil {
		return n, nil
	}
	var names []string
	for _, n := range b.Nodes {
		names = append(names, n.Name)
	}
	return nil, fmt.Errorf("no node %q: there are %s", name, strings.Join(names, ", "))
}

func logs(b *cluster.Bed, args []string, out io.Writer) error {
	files := map[string]string{}
	var names []string
	add := func(name, file string) { names, files[name] = append(names, name), file }
	for _, c := range b.Components {
		add(c.Name, c.Log)
	}
	for _, n := range b.Nodes {
		for _, unit := range []string{"node", "containerd", "kubelet", "kube-proxy"} {
			add(n.Name+"/"+unit, filepath.Join(n.Logs, unit+".log"))
		}
	}
	if len(args) == 0 {
		for _, name := range names {
			fmt.Fprintf(out, "%-24s %s\n", name, files[name])
		}
		return nil
	}
	file, ok := files[args[0]]
	if !ok {
		return fmt.Errorf("no log %q; bed logs names them", args[0])
	}
	f, err := os.Open(file)
	if err != nil {
		return err
	}
	defer f.Close()
	_, err = io.Copy(out, f)
	return err
}
