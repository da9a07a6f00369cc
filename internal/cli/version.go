package cli

import (
	"fmt"
	"runtime"
	"runtime/debug"

	"github.com/spf13/cobra"
)

// version is set at build time by -ldflags "-X .../internal/cli.version=v1.2.3".
var version = "dev"

type versionInfo struct {
	Version  string `json:"version"`
	Commit   string `json:"commit,omitempty"`
	Modified bool   `json:"modified,omitempty"` // built from a tree with uncommitted changes
	Go       string `json:"go"`
	Platform string `json:"platform"`
}

func currentVersion() versionInfo {
	v := versionInfo{Version: version, Go: runtime.Version(), Platform: runtime.GOOS + "/" + runtime.GOARCH}
	if info, ok := debug.ReadBuildInfo(); ok {
		for _, s := range info.Settings {
			switch s.Key {
			case "vcs.revision":
				v.Commit = s.Value
			case "vcs.modified":
				v.Modified = s.Value == "true"
			}
		}
	}
	return v
}

func newVersionCmd(s *Streams) *cobra.Command {
	output := choice{options: []string{"json", "yaml"}}
	cmd := &cobra.Command{
		Use:   "version",
		Short: "Show the version of this binary",
		Long:  "Show the version of this binary." + exitStatus,
		Args:  cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			v := currentVersion()
			if output.value != "" {
				return printObject(s.Out, output.value, v)
			}
			_, err := fmt.Fprintf(s.Out, "periscope %s (%s, %s)\n", v.Version, v.Go, v.Platform)
			return err
		},
	}
	cmd.Flags().VarP(&output, "output", "o", "format: json or yaml")
	return cmd
}
