package redact

import "bytes"

var schemes = []string{"bearer", "basic", "token", "negotiate", "ntlm", "apikey"}

func isScheme(v []byte) bool {
	for _, s := range schemes {
		if len(v) == len(s) && hasFold(v, s) {
			return true
		}
	}
	return false
}

// keep reports whether the value is no secret.
func (a *assign) keep(h hit) bool {
	keyword := a.place.after[:a.place.lit]
	v, whole := a.place.value(h)
	v = a.withCloser(h.from, v)
	switch {
	case a.key.valid != nil:
		return !a.key.valid(v)
	case a.by == byTag:
		return !a.closed(h.from, v, whole) || harmless(v)
	case !whole:
		return false
	case len(v) == 0:
		return true
	case a.by == byColon && emptyBlock(a.place.after[h.from:]):
		return true
	case a.key.header && isScheme(v), a.line && bytes.HasPrefix(v, []byte("# ")):
		return true
	case harmless(v), !a.key.password && isPath(v):
		return true
	case len(a.name.text) == 0 && hasFold(keyword, "secret") && isObjectName(v):
		return true
	case string(keyword) == "PWD" && (len(a.name.text) == 0 || string(a.name.text) == "OLD"):
		return len(v) > 0 && v[0] == '/'
	case string(keyword) == "PASS" && len(a.name.text) == 0 && a.by == byColon:
		return true // the result of a test
	case a.quoted || a.line && a.key.password && a.name.prev != '/':
		return false
	}
	return (a.by == byBlank || a.by == byColon && a.after) && isProse(v)
}

// closed reports whether an end tag follows the text of an element; <pass> may be a word in brackets. Of a text too long to see its
// end a part without blanks is enough.
func (a *assign) closed(from int, v []byte, whole bool) bool {
	if !whole {
		return !bytes.ContainsAny(v, " \n")
	}
	end := a.place.after[from+len(v):]
	return hasFold(end, "</") || hasFold(end, "&lt;/") || hasFold(end, "]]>")
}

// withCloser adds the bracket after an unquoted value that begins with one: <nil>, $(NAME).
func (a *assign) withCloser(from int, v []byte) []byte {
	till := from + len(v)
	if a.quoted || len(v) < 2 || till >= len(a.place.after) {
		return v
	}
	switch closer := a.place.after[till]; {
	case closer == '>' && v[0] == '<', closer == ')' && (v[0] == '(' || v[1] == '('), closer == '}' && v[1] == '{':
		return a.place.after[from : till+1]
	}
	return v
}

// verdicts are values that tell nothing, wherever they stand.
var verdicts = wordSet(`
	true false yes no on off null nil none undefined ~ - n/a unset set empty blank
	<nil> <none> <null> <unset> <empty> <unknown> <redacted> <hidden> <masked> <sensitive> <omitted> <token> <password> <secret>
	(nil) (none) (empty) (redacted) redacted [redacted] masked hidden omitted filtered [filtered] removed
	convertto-securestring
	invalid expired missing required optional unknown present absent enabled disabled valid unauthorized forbidden
	string integer boolean bytes object
	amd64 arm64 i386 armhf all files compat systemd sss`)

// prose are words with which the explanation of an error begins, or the sentence that a key ended by chance.
var prose = wordSet(`
	a an and any are as at been but by can cannot could couldn't did didn't do does doesn't error errors failed failure flag flags for
	from has have http https if in incorrect instead into is isn't it its lookup may must no not of open option or permission
	please read refused rejected rpc secret secrets signature should so stat than that the then there this to token tokens
	unable unexpected unsupported used using value was were when which while will with without wrong
	already argument authentication authorization configmap configmaps connect connection context deadline dial empty exists file found get
	listing malformed net/http nothing only parse parsing patch post put reading request resource retry serviceaccount serviceaccounts square/go-jose
	status success successfully syscall timed timeout tls too use user validation verification write x509 ok`)

func wordSet(s string) map[string]bool {
	m := map[string]bool{}
	for _, w := range bytes.Fields([]byte(s)) {
		m[string(w)] = true
	}
	return m
}

// harmless reports whether a value tells nothing or is a reference to the real one.
func harmless(v []byte) bool {
	if len(v) > 64 {
		return reference(v)
	}
	switch {
	case len(v) == 1, len(v) == 2 && v[0] == '%', isVerdict(v):
		return true
	case digit.run(v, len(v)) == len(v):
		return len(v) <= 3
	case maskChars.run(v, len(v)) == len(v):
		return len(v) >= 3 && bytes.Count(v, v[:1]) == len(v)
	}
	return reference(v)
}

var maskChars = setOf("*xX.")

func isVerdict(v []byte) bool {
	words := bytes.Fields(bytes.ToLower(v))
	for _, w := range words {
		if !verdicts[string(w)] {
			return false
		}
	}
	return len(words) > 0
}

// reference reports whether v names a variable, $(NAME) or ${NAME}, or is what kubectl describe prints for a value from a secret.
func reference(v []byte) bool {
	if bytes.HasPrefix(v, []byte("<set to the key '")) {
		return true
	}
	n := len(v)
	if n < 4 || n > 64 || v[0] != '$' || !(v[1] == '(' && v[n-1] == ')' || v[1] == '{' && v[n-1] == '}') {
		return false
	}
	return nameByte.run(v[2:], n) == n-3
}

// isProse reports whether a value begins with a word of prose.
func isProse(v []byte) bool {
	first, _, _ := bytes.Cut(v, []byte(" "))
	if len(first) > 16 {
		return false
	}
	first = bytes.ToLower(bytes.TrimRight(first, `.,;:!?"'`))
	return prose[string(first)] || verdicts[string(first)]
}

// isPath reports whether v is plainly the path of a file.
func isPath(v []byte) bool {
	if pathByte.run(v, len(v)) < len(v) {
		return false
	}
	for _, dir := range []string{"/etc/", "/var/", "/run/", "/opt/", "/usr/", "/tmp/", "/home/", "/root/", "/mnt/", "/host/"} {
		if bytes.HasPrefix(v, []byte(dir)) {
			return true
		}
	}
	return false
}

var pathByte = nameByte.with("/@:")

// isObjectName reports whether v is the namespace and the name of an object.
func isObjectName(v []byte) bool {
	namespace, name, ok := bytes.Cut(v, []byte("/"))
	return ok && isLabel(namespace) && isLabel(name)
}

func isLabel(v []byte) bool {
	return len(v) > 0 && len(v) <= 63 && letters[v[0]] && labelByte.run(v, len(v)) == len(v)
}

var labelByte = lowerNum.with("-")
