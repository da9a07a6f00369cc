package node

import (
	"maps"
	"testing"

	"github.com/periscope-k8s/periscope/internal/collect/collecttest"
)

func TestLimits(t *testing.T) {
	collecttest.Run(t, "testdata/limits/*.txtar", limitsCollector())
}

func TestParseLimitsProcess(t *testing.T) {
	const data = `Limit                     Soft Limit           Hard Limit           Units     
Max cpu time              unlimited            unlimited            seconds   
Max open files            1024                 524288               files     
Max nice priority         0                    0                    
Max nonsense
Max more  1 2 3 4
`
	got, bad := parseLimitsProcess([]byte(data))
	want := map[string]limitsRange{
		"Max cpu time":      {"unlimited", "unlimited", "seconds"},
		"Max open files":    {"1024", "524288", "files"},
		"Max nice priority": {"0", "0", ""},
	}
	if !maps.Equal(got, want) || bad != 2 {
		t.Errorf("got %v, %d malformed, want %v, 2", got, bad, want)
	}
}

func TestParseLimitsCache(t *testing.T) {
	for _, c := range []struct {
		data string
		want uint64
		ok   bool
	}{
		{"entries  allocs\n000003ff 00000001\n000003ff 00000002\n", 1023, true},
		{"allocs   entries\n00000001 0000000a\n", 10, true},
		{"entries\n", 0, false},
		{"allocs\n00000001\n", 0, false},
		{"entries\nx\n", 0, false},
		{"", 0, false},
	} {
		if got, err := parseLimitsCache([]byte(c.data)); got != c.want || (err == nil) != c.ok {
			t.Errorf("%q: got %d, %v, want %d, ok %v", c.data, got, err, c.want, c.ok)
		}
	}
}

func TestLimitsLeast(t *testing.T) {
	set := map[string]string{"a": "7", "b": "5", "c": "x", "d": "0"}
	for _, c := range []struct {
		names []string
		want  uint64
	}{{[]string{"a", "b"}, 5}, {[]string{"c", "a"}, 7}, {[]string{"none"}, 0}, {[]string{"d"}, 0}} {
		if got := limitsLeast(set, c.names...); got != c.want {
			t.Errorf("%v: got %d, want %d", c.names, got, c.want)
		}
	}
}

func FuzzParseLimits(f *testing.F) {
	f.Add([]byte("Max open files            1024                 524288               files     \n"))
	f.Add([]byte("entries allocs\n0000000a 00000001\nprocesses 5\n"))
	f.Fuzz(func(_ *testing.T, data []byte) {
		parseLimitsProcess(data)
		parseLimitsStat(data)
		_, _ = parseLimitsCache(data)
	})
}
