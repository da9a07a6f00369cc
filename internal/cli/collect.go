package cli

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/signal"
	"path"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/periscope-k8s/periscope/internal/collect"
	"github.com/periscope-k8s/periscope/internal/collect/node"
	"github.com/periscope-k8s/periscope/internal/host"
	"github.com/periscope-k8s/periscope/internal/nodebundle"
	"github.com/periscope-k8s/periscope/internal/redact"
)

// memoryLimit is where the runtime begins to work hard against growth, unless GOMEMLIMIT
// says otherwise.
const memoryLimit = 96 << 20

type collectOptions struct {
	local                bool
	dir, root            string
	collectors, skip     []string
	nodeLogs, podLogs    []string
	since                positive
	sinceTime, untilTime instant
	timeout              positive
	maxSize              byteSize
	parallel             int
	noRedact, yes        bool
	redactRules          []string
	layout, output       choice
	verbose, quiet       bool
}

const collectHelp = `Collect the diagnostics of this host into a bundle: DIR/RUN-ID/NODE/NODE.zip.

Secrets are masked while the files are written. Nothing on the host is changed, nothing
is sent anywhere. Run it as root to see everything; without, it collects what it may
read and says what is missing.

The first Ctrl-C, or --timeout, ends the collecting and closes the bundle with what is
there; a second Ctrl-C ends at once and leaves DIR/RUN-ID/NODE/NODE.zip.partial, which
'periscope ls' and 'periscope cat' can read.

When --max-size is reached, the collectors at the end of this list are cut first; logs
lose their oldest lines:

`

func newCollectCmd(s *Streams) *cobra.Command {
	o := &collectOptions{
		timeout: positive(10 * time.Minute), maxSize: 1 << 30,
		layout: choice{"zip", []string{"zip", "files", "both"}}, output: choice{options: []string{"json", "yaml"}},
	}
	cmd := &cobra.Command{
		Use:   "collect --local",
		Short: "Collect the diagnostics of a node into a bundle",
		Long:  collectHelp + collectorTable(nodeCollectors(node.Settings{})) + exitStatus,
		Example: `  # everything of the last two hours
  sudo periscope collect --local --since 2h

  # only the pods' logs of one namespace and the kubelet's journal
  sudo periscope collect --local --collectors podlogs,journal --container-logs kube-system`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := noEmptyLists(cmd); err != nil {
				return err
			}
			signal.Ignore(syscall.SIGPIPE) // a reader that goes away must not cost the bundle
			return o.run(cmd.Context(), s)
		},
	}
	o.addFlags(cmd)
	return cmd
}

func (o *collectOptions) addFlags(cmd *cobra.Command) {
	f := cmd.Flags()
	f.BoolVar(&o.local, "local", false, "collect this host; needs no cluster")
	f.StringVarP(&o.dir, "dir", "d", "./periscope", "folder for the bundle")
	f.StringSliceVar(&o.collectors, "collectors", nil, "only these collectors (a,b)")
	f.StringSliceVar(&o.skip, "skip", nil, "all collectors but these (a,b)")
	f.StringSliceVar(&o.podLogs, "container-logs", nil, "only the logs of these pods: NAMESPACE or NAMESPACE/NAME, NAME a pod, the start of its name, or a container")
	f.StringSliceVar(&o.nodeLogs, "node-logs", nil, "log files to collect beside the usual ones (paths or globs, such as /var/log/auth.log)")
	f.Var(&o.since, "since", "only log lines newer than this, such as 2h")
	f.Var(&o.sinceTime, "since-time", "only log lines at or after this time (RFC 3339)")
	f.Var(&o.untilTime, "until-time", "only log lines at or before this time (RFC 3339)")
	f.Var(&o.timeout, "timeout", "close the bundle with what is there after this time")
	f.Var(&o.maxSize, "max-size", "most bytes to collect, before compression")
	f.IntVar(&o.parallel, "parallel", collect.DefaultParallel, "collectors that run at once")
	f.StringArrayVar(&o.redactRules, "redact-rules", nil, "YAML file with redaction rules of your own (may be repeated)")
	f.BoolVar(&o.noRedact, "no-redact", false, "leave secrets in the bundle; needs --yes")
	f.BoolVar(&o.yes, "yes", false, "confirm --no-redact")
	f.Var(&o.layout, "layout", "form of the bundle: zip, files or both")
	f.VarP(&o.output, "output", "o", "print the summary as json or yaml")
	f.BoolVarP(&o.verbose, "verbose", "v", false, "also show what collectors warn about")
	f.BoolVar(&o.quiet, "quiet", false, "no progress and no summary; errors only")
	f.StringVar(&o.root, "host-root", "/", "where the host's file system is mounted")
	complete(cmd, "collectors", collectorNames(nodeCollectors(node.Settings{})))
	complete(cmd, "skip", collectorNames(nodeCollectors(node.Settings{})))
	complete(cmd, "layout", o.layout.options)
	complete(cmd, "output", o.output.options)
}

// noEmptyLists refuses --collectors "" and the like: an empty shell variable would
// otherwise mean everything.
func noEmptyLists(cmd *cobra.Command) (err error) {
	cmd.Flags().Visit(func(f *pflag.Flag) {
		if list, ok := f.Value.(pflag.SliceValue); ok && len(strings.Join(list.GetSlice(), "")) == 0 {
			err = usageError("--%s has an empty value", f.Name)
		}
	})
	return err
}

// complete offers words for a flag's value.
func complete(cmd *cobra.Command, flag string, words []string) {
	// The flag was defined a moment ago, which is all that this can fail for.
	_ = cmd.RegisterFlagCompletionFunc(flag, cobra.FixedCompletions(words, cobra.ShellCompDirectiveNoFileComp))
}

func (o *collectOptions) run(ctx context.Context, s *Streams) error {
	req, err := o.request()
	if err != nil {
		return err
	}
	if os.Getenv("GOMEMLIMIT") == "" {
		debug.SetMemoryLimit(memoryLimit)
	}
	if err := makeRunDir(o.dir, req); err != nil {
		return err
	}
	progress := newProgress(s, o, masker(req.Redactor), req.Options.Collectors)
	req.Options.Observe = progress.observe
	req.Log = progress.logger()
	made, err := nodebundle.Make(ctx, *req)
	progress.end()
	if err != nil {
		return err
	}
	return o.report(s, made)
}

// request checks the options and turns them into a Request.
func (o *collectOptions) request() (*nodebundle.Request, error) {
	if !o.local {
		return nil, usageError("say what to collect: --local collects this host and needs nothing else")
	}
	if o.noRedact && !o.yes {
		return nil, usageError("--no-redact leaves passwords, tokens and keys in the bundle: add --yes if you mean it")
	}
	if o.parallel < 1 {
		return nil, usageError("--parallel must be at least 1")
	}
	window, err := o.window(time.Now().UTC())
	if err != nil {
		return nil, err
	}
	collectors, err := o.choose()
	if err != nil {
		return nil, err
	}
	redactor, err := o.redactor()
	if err != nil {
		return nil, err
	}
	root, err := host.Open(o.root)
	if err != nil {
		return nil, usageError("--host-root: %v", err)
	}
	return &nodebundle.Request{
		Node: nodeName(root), Version: version, Layout: nodebundle.Layout(o.layout.value), Redactor: redactor,
		Host: root, Exec: host.NewRunner(o.root).Run, Window: window, Timeout: time.Duration(o.timeout), Notes: o.notes(),
		Options: collect.Options{Collectors: collectors, Parallel: o.parallel, MaxSize: int64(o.maxSize)},
	}, nil
}

func (o *collectOptions) window(now time.Time) (w collect.Window, err error) {
	w = collect.Window{Since: time.Time(o.sinceTime), Until: time.Time(o.untilTime)}
	if o.since != 0 {
		if !w.Since.IsZero() {
			return w, usageError("--since and --since-time both say when to start: use one")
		}
		w.Since = now.Add(-time.Duration(o.since))
	}
	if !w.Since.IsZero() && !w.Until.IsZero() && w.Since.After(w.Until) {
		return w, usageError("the window is empty: it starts at %s, after its end at %s", w.Since.Format(time.RFC3339), w.Until.Format(time.RFC3339))
	}
	if w.Since.After(now) {
		return w, usageError("--since-time %s is in the future", w.Since.Format(time.RFC3339))
	}
	return w, nil
}

// choose returns the collectors that --collectors and --skip leave.
func (o *collectOptions) choose() ([]collect.Collector, error) {
	filters, err := podFilters(o.podLogs)
	if err != nil {
		return nil, usageError("--container-logs: %v", err)
	}
	if err := checkNodeLogs(o.nodeLogs); err != nil {
		return nil, err
	}
	all := nodeCollectors(node.Settings{NodeLogs: o.nodeLogs, ContainerLogs: filters})
	only, err := known(all, "--collectors", o.collectors)
	if err != nil {
		return nil, err
	}
	skip, err := known(all, "--skip", o.skip)
	if err != nil {
		return nil, err
	}
	chosen := slices.DeleteFunc(all, func(c collect.Collector) bool {
		return (len(only) > 0 && !slices.Contains(only, c.Name)) || slices.Contains(skip, c.Name)
	})
	if len(chosen) == 0 {
		return nil, usageError("--collectors and --skip leave no collector")
	}
	return chosen, nil
}

func checkNodeLogs(patterns []string) error {
	for _, p := range patterns {
		if !strings.HasPrefix(p, "/") {
			return usageError("--node-logs: %q is not a path from the root, such as /var/log/auth.log", p)
		}
		if _, err := path.Match(p, ""); err != nil {
			return usageError("--node-logs: %q: %v", p, err)
		}
	}
	return nil
}

func podFilters(texts []string) (filters []node.PodFilter, err error) {
	for _, t := range texts {
		f, err := node.ParsePodFilter(t)
		if err != nil {
			return nil, err
		}
		filters = append(filters, f)
	}
	return filters, nil
}

// known translates collector names, of today or of AKS Periscope.
func known(all []collect.Collector, flag string, names []string) ([]string, error) {
	var out []string
	for _, n := range names {
		name := strings.ToLower(strings.TrimSpace(n))
		if ours, ok := legacyCollectors[name]; ok {
			name = ours
		}
		have := collectorNames(all)
		if !slices.Contains(have, name) {
			return nil, usageError("%s: no collector %q%s\nCollectors: %s", flag, n, didYouMean(nearest(name, have)), strings.Join(have, ", "))
		}
		out = append(out, name)
	}
	return out, nil
}

func collectorNames(all []collect.Collector) []string {
	names := make([]string, len(all))
	for i, c := range all {
		names[i] = c.Name
	}
	return names
}

// collectorTable lists collectors for help.
func collectorTable(all []collect.Collector) string {
	var b strings.Builder
	for _, c := range all {
		fmt.Fprintf(&b, "  %-10s %s\n", c.Name, c.Doc)
	}
	return b.String()
}

func (o *collectOptions) redactor() (*redact.Redactor, error) {
	r, err := newRedactor(o.redactRules)
	if err != nil {
		return nil, usageError("--redact-rules: %v", err)
	}
	if o.noRedact {
		return nil, nil
	}
	return r, nil
}

// masker masks short texts, or leaves them when r is nil.
func masker(r *redact.Redactor) func(string) string {
	if r == nil {
		return func(s string) string { return s }
	}
	return r.String
}

// notes are what a reader of the bundle should know about how it was made.
func (o *collectOptions) notes() (notes []string) {
	if runtime.GOOS == "linux" && os.Geteuid() != 0 {
		notes = append(notes, "not run as root: other users' processes, the kernel log, journals and most of /var/log may be missing; run it with sudo to get them")
	}
	if o.noRedact {
		notes = append(notes, "redaction was switched off: this bundle may hold passwords, tokens and keys")
	}
	return notes
}

// nodeName is the host's name as a folder name.
func nodeName(root host.FS) string {
	name, err := root.ReadFile("/proc/sys/kernel/hostname", 256)
	if err != nil {
		own, _ := os.Hostname()
		name = []byte(own)
	}
	if n := strings.TrimSpace(string(name)); n != "" && n != "." && n != ".." {
		return collect.SafeName(strings.ReplaceAll(n, "/", "_"))
	}
	return "localhost"
}

// makeRunDir makes DIR/RUN-ID/NODE for a run ID that is not taken.
func makeRunDir(dir string, req *nodebundle.Request) error {
	dir = filepath.Clean(dir)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return dirError(err)
	}
	for at := time.Now().UTC(); ; at = at.Add(time.Second) {
		req.RunID = at.Format(nodebundle.RunIDLayout)
		err := os.Mkdir(filepath.Join(dir, req.RunID), 0o700)
		if errors.Is(err, fs.ErrExist) {
			continue
		}
		if err == nil {
			req.Dir = filepath.Join(dir, req.RunID, req.Node)
			err = os.Mkdir(req.Dir, 0o700)
		}
		return dirError(err)
	}
}

func dirError(err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("make the folder for the bundle: %w (choose another folder with --dir)", err)
}

// report shows the summary and decides the exit code.
func (o *collectOptions) report(s *Streams, made *nodebundle.Bundle) error {
	sum := newSummary(made)
	if made.Memory != nil {
		path, err := nodebundle.Save(made.Finished, "periscope-"+made.Manifest.Node, os.TempDir(), "/dev/shm", "/run")
		if err != nil {
			return fmt.Errorf("the disk under %s broke and no other place takes the rest: %w", o.dir, err)
		}
		sum.Bundle = path
	}
	if made.LayoutErr != nil {
		sum.fail(made.LayoutErr)
	}
	if err := o.show(s, sum); err != nil && !errors.Is(err, syscall.EPIPE) {
		return exitWith(exitIncomplete, fmt.Errorf("the bundle is at %s, but its summary could not be written: %w", sum.Bundle, err))
	}
	if sum.Outcome != "Succeeded" {
		return exitWith(exitIncomplete, nil)
	}
	return nil
}

func (o *collectOptions) show(s *Streams, sum *summary) error {
	switch {
	case o.output.value != "":
		return printObject(s.Out, o.output.value, sum)
	case o.quiet:
		for _, p := range sum.Problems {
			fmt.Fprintf(s.Err, "periscope: %s\n", escape(p))
		}
		return nil
	}
	return sum.print(s.Out)
}
