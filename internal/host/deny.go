package host

import (
	"bytes"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"path"
	"strings"
)

// The lists below are of path ends, in lower case, since some file systems ignore case: "a/b" is every path that
// ends so. A part is as in path.Match; "**" stands for any number of parts. Ends and not whole paths, because the
// same tree is found at several places: the kubelet's root directory can be moved or bind-mounted (AKS puts it on
// the temporary disk as /mnt/aks/kubelet), and container roots have an /etc and a /proc, too.

// secrets are files whose content is never read.
var secrets = parse(
	// Volumes of pods, by the mount in the pod's folder and by the one that drivers share between pods.
	"pods/*/volumes/**",
	"pods/*/volume-subpaths/**",
	"plugins/kubernetes.io/**",

	// Environments, memory, and other processes' files by way of their root, folder and descriptors.
	"proc/**/environ",
	"proc/**/mem",
	"proc/**/root/**",
	"proc/**/cwd/**",
	"proc/**/fd/**",
	"proc/**/map_files/**",
	"proc/kcore",

	// Environments of containers, where their runtimes keep them.
	"io.containerd.runtime.v2.task/**/config.json",
	"docker/containers/*/config.v2.json",

	// Passwords and the cloud's credentials.
	"etc/shadow*",
	"etc/gshadow*",
	"etc/kubernetes/sp.txt",

	// Encoded, so that redaction would not find the credentials in them.
	"lib/waagent/**/*.settings",
	"lib/waagent/**/ovf-env.xml",
	"lib/waagent/**/customdata",
	"lib/cloud/**/user-data.txt*",
	"etcd/member/**",

	// Not secret, but what is read from these is taken away from their reader on the host.
	"proc/kmsg",
	"trace_pipe",
)

// keys are files that hold private keys. Certificates may read those that also hold certificates.
var keys = parse(
	"*.key",
	"*-key.pem",
	"*.p12",
	"*.pfx",
	"*.keytab",
	".ssh/**",
	"etc/ssh/*_key",
	"kubelet/pki/*.pem",
	"lib/waagent/**/*.prv",
	"lib/waagent/**/*.pem",
)

type patterns [][]string

func parse(ends ...string) patterns {
	var list patterns
	for _, end := range ends {
		list = append(list, strings.Split("**/"+end, "/"))
	}
	return list
}

func (list patterns) match(name string) bool {
	parts := strings.Split(strings.ToLower(strings.TrimPrefix(name, "/")), "/")
	for _, pattern := range list {
		if matchParts(pattern, parts) {
			return true
		}
	}
	return false
}

// matchParts takes time proportional to len(pattern) * len(name): if a part does not match, only the last "**" is
// made longer.
func matchParts(pattern, name []string) bool {
	p, n := 0, 0
	star, resume := -1, 0
	for n < len(name) {
		switch {
		case p < len(pattern) && pattern[p] == "**":
			star, resume = p, n
			p++
		case p < len(pattern) && matchPart(pattern[p], name[n]):
			p++
			n++
		case star >= 0:
			resume++
			p, n = star+1, resume
		default:
			return false
		}
	}
	return p == len(pattern) || p == len(pattern)-1 && pattern[p] == "**"
}

func matchPart(pattern, part string) bool {
	if strings.IndexByte(pattern, '*') < 0 { // most are; path.Match is many times slower
		return pattern == part
	}
	ok, err := path.Match(pattern, part)
	return ok || err != nil
}

// denied reports whether the content of the file with this cleaned host name is never read.
func denied(name string) bool {
	return secret(name) || keys.match(name)
}

// secret is denied without those that hold nothing worse than private keys.
func secret(name string) bool {
	// Logs of a container that is called "volumes" look like a pod's volumes.
	if strings.HasPrefix(name, "/var/log/pods/") {
		return false
	}
	return secrets.match(name)
}

const maxCertificates = 1 << 20

// Certificates returns the certificates of a PEM file of at most 1 MiB, in their order. It is the one way to look
// into files with private keys: they are dropped unparsed and nothing of them is returned. All else that Open denies is
// denied. A certificate that cannot be parsed is left out and its error returned with the others. A file without
// any is an error.
func (f FS) Certificates(name string) ([]*x509.Certificate, error) {
	return onName("read certificates", name, func(name string) ([]*x509.Certificate, error) {
		data, err := f.readFile(name, maxCertificates, secret)
		defer clear(data)
		if err != nil {
			return nil, err
		}
		return parseCertificates(data)
	})
}

func parseCertificates(data []byte) ([]*x509.Certificate, error) {
	var certificates []*x509.Certificate
	var errs []error
	begin := []byte("-----BEGIN CERTIFICATE-----")
	for {
		start := bytes.Index(data, begin)
		if start < 0 {
			break
		}
		block, rest := pem.Decode(data[start:])
		if block == nil {
			errs = append(errs, errors.New("malformed PEM block"))
			break
		}
		data = rest
		if block.Type != "CERTIFICATE" {
			clear(block.Bytes)
			continue
		}
		certificate, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			errs = append(errs, err)
			continue
		}
		certificates = append(certificates, certificate)
	}
	if len(certificates) == 0 && len(errs) == 0 {
		errs = append(errs, errors.New("no certificate in it"))
	}
	return certificates, errors.Join(errs...)
}
