package cli

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"
)

// A byteSize is a flag value: a number of bytes with an optional suffix as in Kubernetes
// quantities.
type byteSize int64

var sizeUnits = []struct {
	suffix string
	factor float64
}{
	{"Ki", 1 << 10}, {"Mi", 1 << 20}, {"Gi", 1 << 30}, {"Ti", 1 << 40},
	{"k", 1e3}, {"M", 1e6}, {"G", 1e9}, {"T", 1e12}, {"", 1},
}

func (b *byteSize) Set(text string) error {
	for _, u := range sizeUnits {
		number, ok := strings.CutSuffix(text, u.suffix)
		if !ok {
			continue
		}
		n, err := strconv.ParseFloat(number, 64)
		if err != nil || n*u.factor < 1 || n*u.factor > math.MaxInt64/2 || math.IsNaN(n) {
			break
		}
		*b = byteSize(n * u.factor)
		return nil
	}
	return fmt.Errorf("not a size: use a number above zero with Ki, Mi, Gi or k, M, G, such as 500Mi")
}

func (b *byteSize) String() string {
	n := int64(*b)
	for _, u := range []struct {
		suffix string
		bytes  int64
	}{{"Gi", 1 << 30}, {"Mi", 1 << 20}, {"Ki", 1 << 10}} {
		if n >= u.bytes && n%u.bytes == 0 {
			return strconv.FormatInt(n/u.bytes, 10) + u.suffix
		}
	}
	return strconv.FormatInt(n, 10)
}

func (*byteSize) Type() string { return "size" }

// A positive is a flag value: a duration above zero.
type positive time.Duration

func (p *positive) Set(text string) error {
	d, err := time.ParseDuration(text)
	if err != nil || d <= 0 {
		return fmt.Errorf("not a duration: use a number above zero with h, m or s, such as 2h or 90m (for two days: 48h)")
	}
	*p = positive(d)
	return nil
}

func (p *positive) String() string {
	switch d := time.Duration(*p); {
	case d == 0:
		return ""
	case d%time.Hour == 0:
		return fmt.Sprintf("%dh", d/time.Hour)
	case d%time.Minute == 0:
		return fmt.Sprintf("%dm", d/time.Minute)
	default:
		return d.String()
	}
}

func (*positive) Type() string { return "duration" }

// An instant is a flag value: a point in time in RFC 3339.
type instant time.Time

func (i *instant) Set(text string) error {
	t, err := time.Parse(time.RFC3339Nano, text)
	if err != nil {
		return fmt.Errorf("not a time: use RFC 3339, such as 2006-01-02T15:04:05Z")
	}
	*i = instant(t.UTC())
	return nil
}

func (i *instant) String() string {
	if t := time.Time(*i); !t.IsZero() {
		return t.Format(time.RFC3339Nano)
	}
	return ""
}

func (*instant) Type() string { return "time" }

// A choice is a flag value: one of a few words.
type choice struct {
	value   string
	options []string
}

func (c *choice) Set(text string) error {
	for _, o := range c.options {
		if text == o {
			c.value = text
			return nil
		}
	}
	return fmt.Errorf("must be one of %s", strings.Join(c.options, ", "))
}

func (c *choice) String() string { return c.value }
func (*choice) Type() string     { return "string" }

// formatBytes is a size for people.
func formatBytes(n int64) string {
	const units = "KMGTPE"
	if n < 1024 {
		return strconv.FormatInt(n, 10) + " B"
	}
	v, i := float64(n)/1024, 0
	for v >= 1023.95 && i < len(units)-1 {
		v, i = v/1024, i+1
	}
	return fmt.Sprintf("%.1f %ciB", v, units[i])
}

// formatSeconds is a duration for people.
func formatSeconds(s float64) string {
	switch d := time.Duration(s * float64(time.Second)); {
	case d < 10*time.Second:
		return fmt.Sprintf("%.1fs", d.Seconds())
	case d < time.Minute-time.Second/2:
		return fmt.Sprintf("%.0fs", d.Seconds())
	default:
		return d.Round(time.Second).String()
	}
}
