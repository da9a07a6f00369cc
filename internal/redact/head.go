package redact

import "bytes"

// A head is the stage before the others that looks at the first lines of a stream. A log that is cut at its front may begin
// within a private key, whose BEGIN line is gone: as long as lines end in what looks like the body of one, that is masked.
type head struct {
	r      *Redactor
	next   stage
	counts map[string]int64
	held   []byte // an unfinished line
	key    bool   // the line before was of a key
	over   bool
}

const (
	privateKeyRule = "private-key"

	headLine = 4 << 10 // a longer first line is not of a key
	headKey  = 40      // least characters of a line of a key, but for its last; PEM has 64
	headMost = 80
)

func (h *head) write(p []byte) error {
	if h.over {
		return h.next.write(p)
	}
	h.held = append(h.held, p...)
	for !h.over {
		i := bytes.IndexByte(h.held[:min(len(h.held), headLine)], '\n')
		if i < 0 {
			if len(h.held) < headLine {
				return nil
			}
			return h.end()
		}
		if err := h.line(i + 1); err != nil {
			return err
		}
	}
	return nil
}

// line deals with the first n bytes held: a line.
func (h *head) line(n int) error {
	line := h.held[:n]
	start, end := keyText(line)
	if !h.ofKey(line[start:end]) {
		return h.end()
	}
	h.key = true
	mac := h.r.newMAC()
	mac.Write(line[start:end])
	h.counts[privateKeyRule]++
	masked := append(append(bytes.Clone(line[:start]), pseudonym(privateKeyRule, mac)...), line[end:]...)
	h.held = h.held[n:]
	return h.next.write(masked)
}

// keyText returns where in a line a line of a key would stand: behind the last blank, or in the text of a Docker log.
func keyText(line []byte) (start, end int) {
	const docker = `{"log":"`
	if bytes.HasPrefix(line, []byte(docker)) {
		n := max(0, bytes.IndexAny(line[len(docker):], `\"`))
		return len(docker), len(docker) + n
	}
	end = len(bytes.TrimRight(line, "\r\n"))
	start = bytes.LastIndexByte(line[:end], ' ') + 1
	if bytes.HasSuffix(line[:start], []byte("-data: ")) {
		start = end
	}
	return start, end
}

// ofKey reports whether b is a line of a key; after one, its last line may be short.
func (h *head) ofKey(b []byte) bool {
	if len(b) == 0 || len(b) > headMost || base64std.run(b, len(b)) < len(b) {
		return false
	}
	var p pem
	for _, c := range b {
		p.see(c)
	}
	if h.key && len(b) < headKey {
		return len(b)%4 == 0 && (p.upper && p.lower || b[len(b)-1] == '=')
	}
	return len(b) >= headKey && p.gap == 0
}

func (h *head) end() error {
	h.over = true
	held := h.held
	h.held = nil
	return h.next.write(held)
}

func (h *head) close() error {
	if !h.over && len(h.held) > 0 {
		if err := h.line(len(h.held)); err != nil {
			return err
		}
	}
	return h.next.close()
}
