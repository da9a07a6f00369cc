// Package cli provides the commands of the periscope binary. There is one file for each
// command: its options, its flags and its run; wire.go joins the concrete parts.
//
// Results go to standard output, everything else (progress, warnings, errors) to standard
// error. Every text that comes from a host or a bundle is escaped before a terminal sees
// it.
package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// Streams are a process's standard streams.
type Streams struct {
	In       io.Reader
	Out, Err io.Writer
}

// Main runs the command of args, whose first element is the program's name, and returns
// the exit code. When ctx ends, a command stops what it does and keeps what it has.
func Main(ctx context.Context, args []string, s Streams) int {
	cmd := newRootCmd(&s)
	cmd.SetArgs(args[1:])
	err := cmd.ExecuteContext(ctx)
	if err == nil {
		return exitDone
	}
	var exit *exitError
	if !errors.As(err, &exit) {
		exit = &exitError{code: exitFailed, err: err}
	}
	if exit.err != nil {
		fmt.Fprintf(s.Err, "periscope: %s\n", escapeLines(exit.err.Error()))
	}
	return exit.code
}

func newRootCmd(s *Streams) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "periscope",
		Short: "Find out what is wrong with a Kubernetes node, and keep the evidence",
		Long: `Periscope collects the diagnostics of a Kubernetes node into a bundle: one zip
with logs, kernel, network, disk, memory and process state, secrets masked.

Start with: periscope collect --local` + exitStatus,
		Args:          cobra.NoArgs,
		SilenceErrors: true,
		SilenceUsage:  true,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return cmd.Help()
		},
	}
	cmd.Version = version
	cmd.SuggestionsMinimumDistance = 2
	cmd.SetIn(s.In)
	cmd.SetOut(s.Out)
	cmd.SetErr(s.Err)
	cmd.SetFlagErrorFunc(flagError)
	cmd.CompletionOptions.HiddenDefaultCmd = false
	cmd.AddCommand(newCollectCmd(s), newLsCmd(s), newCatCmd(s), newVersionCmd(s))
	usageErrors(cmd)
	return cmd
}

// usageErrors makes wrong arguments of every command end with the code for wrong usage.
func usageErrors(cmd *cobra.Command) {
	if check := cmd.Args; check != nil {
		cmd.Args = func(cmd *cobra.Command, args []string) error {
			if err := check(cmd, args); err != nil {
				return usageError("%v\nSee '%s --help'.", unknownCommand(cmd, args, err), cmd.CommandPath())
			}
			return nil
		}
	}
	for _, sub := range cmd.Commands() {
		usageErrors(sub)
	}
}

// unknownCommand adds the nearest command to cobra's message about an unknown one.
func unknownCommand(cmd *cobra.Command, args []string, err error) error {
	if cmd.HasParent() || len(args) == 0 {
		return err
	}
	return fmt.Errorf("unknown command %q%s", args[0], didYouMean(cmd.SuggestionsFor(args[0])...))
}

// flagError explains a flag that could not be read, and names the nearest one.
func flagError(cmd *cobra.Command, err error) error {
	var hint string
	if name, ok := strings.CutPrefix(err.Error(), "unknown flag: --"); ok {
		var names []string
		cmd.Flags().VisitAll(func(f *pflag.Flag) { names = append(names, f.Name) })
		if near := nearest(name, names); near != "" {
			hint = didYouMean("--" + near)
		}
	}
	return usageError("%v%s\nSee '%s --help'.", err, hint, cmd.CommandPath())
}

// escapeLines escapes a message that may quote a host or a bundle, line by line.
func escapeLines(text string) string {
	lines := strings.Split(text, "\n")
	for i := range lines {
		lines[i] = escape(lines[i])
	}
	return strings.Join(lines, "\n")
}

func didYouMean(names ...string) string {
	if len(names) == 0 || names[0] == "" {
		return ""
	}
	return fmt.Sprintf(" (did you mean %s?)", strings.Join(names, ", "))
}
