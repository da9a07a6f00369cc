package collecttest_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"strconv"
	"testing"

	"github.com/periscope-k8s/periscope/internal/collect"
	"github.com/periscope-k8s/periscope/internal/collect/collecttest"
)

func entropyCollector() collect.Collector {
	return collect.Collector{
		Name: "entropy",
		Doc:  "random numbers the kernel can give: /proc/sys/kernel/random",
		Size: 1 << 20,
		Run:  collectEntropy,
	}
}

const entropyPath = "/proc/sys/kernel/random/entropy_avail"

func collectEntropy(_ context.Context, env *collect.Env, out collect.Output) error {
	data, err := env.Host.ReadFile(entropyPath, 64)
	if err != nil {
		return collect.Skip("the kernel does not tell its entropy: %v", err)
	}
	bits, err := parseEntropy(data)
	if err != nil {
		return err
	}
	text, err := json.Marshal(map[string]int64{"availableBits": bits})
	if err != nil {
		return err
	}
	return collect.WriteFile(out, "entropy.json", text)
}

// parseEntropy reads one number, https://docs.kernel.org/admin-guide/sysctl/kernel.html#random
func parseEntropy(data []byte) (int64, error) {
	bits, err := strconv.ParseInt(string(bytes.TrimSpace(data)), 10, 64)
	if err != nil {
		return 0, fmt.Errorf("read %s: %w", entropyPath, err)
	}
	return bits, nil
}

func TestEntropy(t *testing.T) {
	collecttest.Run(t, "testdata/entropy/*.txtar", entropyCollector())
}

func FuzzParseEntropy(f *testing.F) {
	f.Add([]byte("256\n"))
	f.Fuzz(func(_ *testing.T, data []byte) {
		_, _ = parseEntropy(data)
	})
}

// TestGuide checks that the programming guide shows this file as it is.
func TestGuide(t *testing.T) {
	guide, err := os.ReadFile("../../../docs/programming-guide.md")
	if err != nil {
		t.Fatal(err)
	}
	source, err := os.ReadFile("entropy_test.go")
	if err != nil {
		t.Fatal(err)
	}
	start := bytes.Index(source, []byte("func entropyCollector"))
	end := bytes.Index(source, []byte("// TestGuide checks"))
	if !bytes.Contains(guide, bytes.TrimSpace(source[start:end])) {
		t.Error("docs/programming-guide.md does not show the example of entropy_test.go")
	}
	testCase, err := os.ReadFile("testdata/entropy/normal.txtar")
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Contains(guide, bytes.TrimSpace(testCase)) {
		t.Error("docs/programming-guide.md does not show testdata/entropy/normal.txtar")
	}
}
