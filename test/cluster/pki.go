package cluster

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"time"
)

// A keyPair is a certificate and its private key, also in PEM.
type keyPair struct {
	cert            *x509.Certificate
	key             *ecdsa.PrivateKey
	certPEM, keyPEM []byte
}

// sign makes a certificate from template, signed by ca, or by itself when ca is nil. It is valid for a year.
func sign(template *x509.Certificate, ca *keyPair) (*keyPair, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	if template.SerialNumber, err = rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 120)); err != nil {
		return nil, err
	}
	if template.NotAfter.IsZero() {
		template.NotBefore, template.NotAfter = time.Now().Add(-time.Hour), time.Now().AddDate(1, 0, 0)
	}
	parent, signer := template, key
	if ca != nil {
		parent, signer = ca.cert, ca.key
	}
	der, err := x509.CreateCertificate(rand.Reader, template, parent, key.Public(), signer)
	if err != nil {
		return nil, err
	}
	return newKeyPair(der, key)
}

func newKeyPair(der []byte, key *ecdsa.PrivateKey) (*keyPair, error) {
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, err
	}
	keyDER, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, err
	}
	return &keyPair{cert, key,
		pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}),
		pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: keyDER})}, nil
}

func newCA(name string) (*keyPair, error) {
	return sign(&x509.Certificate{Subject: pkix.Name{CommonName: name}, IsCA: true, BasicConstraintsValid: true,
		KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageDigitalSignature}, nil)
}

// An identity is what a certificate states; it serves as client and as server.
type identity struct {
	user, group string
	dns, ips    []string
}

func (ca *keyPair) issue(id identity) (*keyPair, error) {
	t := &x509.Certificate{Subject: pkix.Name{CommonName: id.user}, KeyUsage: x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth, x509.ExtKeyUsageServerAuth}, DNSNames: id.dns}
	if id.group != "" {
		t.Subject.Organization = []string{id.group}
	}
	for _, ip := range id.ips {
		t.IPAddresses = append(t.IPAddresses, net.ParseIP(ip))
	}
	return sign(t, ca)
}

func (p *keyPair) write(dir, name string) error {
	if err := os.WriteFile(filepath.Join(dir, name+".crt"), p.certPEM, 0o644); err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(dir, name+".key"), p.keyPEM, 0o600)
}

func loadKeyPair(dir, name string) (*keyPair, error) {
	certPEM, err := os.ReadFile(filepath.Join(dir, name+".crt"))
	if err != nil {
		return nil, err
	}
	keyPEM, err := os.ReadFile(filepath.Join(dir, name+".key"))
	if err != nil {
		return nil, err
	}
	certBlock, _ := pem.Decode(certPEM)
	keyBlock, _ := pem.Decode(keyPEM)
	if certBlock == nil || keyBlock == nil {
		return nil, fmt.Errorf("read %s: no PEM block", filepath.Join(dir, name))
	}
	key, err := x509.ParsePKCS8PrivateKey(keyBlock.Bytes)
	if err != nil {
		return nil, err
	}
	ec, ok := key.(*ecdsa.PrivateKey)
	if !ok {
		return nil, fmt.Errorf("read %s: not an ECDSA key", filepath.Join(dir, name))
	}
	return newKeyPair(certBlock.Bytes, ec)
}

// kubeconfig is the file with which user speaks to the API server.
func kubeconfig(ca, user *keyPair) []byte {
	b64 := base64.StdEncoding.EncodeToString
	var b bytes.Buffer
	fmt.Fprintf(&b, `apiVersion: v1
kind: Config
current-context: testbed
contexts:
- name: testbed
  context: {cluster: testbed, user: testbed}
clusters:
- name: testbed
  cluster:
    server: %s
    certificate-authority-data: %s
users:
- name: testbed
  user:
    client-certificate-data: %s
    client-key-data: %s
`, apiServer, b64(ca.certPEM), b64(user.certPEM), b64(user.keyPEM))
	return b.Bytes()
}

// writePKI writes the certificates and kubeconfigs of the control plane into dir.
func writePKI(dir string) error {
	ca, err := newCA("testbed-ca")
	if err != nil {
		return err
	}
	frontCA, err := newCA("testbed-front-proxy-ca")
	if err != nil {
		return err
	}
	serviceAccount, err := newCA("testbed-service-accounts")
	if err != nil {
		return err
	}
	pairs := map[string]*keyPair{"ca": ca, "front-proxy-ca": frontCA, "sa": serviceAccount}
	if pairs["apiserver"], err = ca.issue(identity{user: "kube-apiserver",
		dns: []string{"localhost", "kubernetes", "kubernetes.default", "kubernetes.default.svc", "kubernetes.default.svc.cluster.local"},
		ips: []string{gateway, "127.0.0.1", serviceIP}}); err != nil {
		return err
	}
	if pairs["apiserver-kubelet-client"], err = ca.issue(identity{user: "apiserver-kubelet-client", group: "system:masters"}); err != nil {
		return err
	}
	if pairs["front-proxy-client"], err = frontCA.issue(identity{user: "front-proxy-client"}); err != nil {
		return err
	}
	for name, p := range pairs {
		if err := p.write(dir, name); err != nil {
			return err
		}
	}
	for name, id := range map[string]identity{
		"admin":              {user: "admin", group: "system:masters"},
		"controller-manager": {user: "system:kube-controller-manager"},
		"scheduler":          {user: "system:kube-scheduler"},
	} {
		if err := writeKubeconfig(filepath.Join(dir, name+".kubeconfig"), ca, id); err != nil {
			return err
		}
	}
	return nil
}

func writeKubeconfig(path string, ca *keyPair, id identity) error {
	p, err := ca.issue(id)
	if err != nil {
		return err
	}
	return os.WriteFile(path, kubeconfig(ca, p), 0o600)
}
