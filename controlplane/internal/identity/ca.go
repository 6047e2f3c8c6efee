package identity

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"math/big"
	"net/url"
	"os"
	"path/filepath"
	"time"

	"github.com/sluice-gateway/sluice/shared/tlsutil"
)

// Files of the authority in the prefix.
const (
	CAFile    = "cluster-ca.crt"
	CAKeyFile = "cluster-ca.key"
)

const (
	// caLife is how long the authority's certificate lives. It is made again with the same
	// key when less than caRenew is left, and what counts for nodes is the key.
	caLife  = 10 * 365 * 24 * time.Hour
	caRenew = 365 * 24 * time.Hour
	caName  = "Sluice cluster authority"
)

// ca signs the certificates of nodes. Its certificate is renewed by itself, its key never:
// to have another one, move both files away and start the control plane. Nodes go on
// proxying then, and follow again once they have joined with a line of the new authority.
//
// It signs the certificate, too, that the control plane shows to nodes that have joined.
type ca struct {
	cert *x509.Certificate
	key  crypto.Signer
	pin  tlsutil.Pin
	// server is made at every start; its key is never written.
	server tls.Certificate
}

// openCA reads the authority, or makes it.
func openCA(dir string, now time.Time) (c *ca, made bool, err error) {
	certFile, keyFile := filepath.Join(dir, CAFile), filepath.Join(dir, CAKeyFile)
	cert, certErr := os.ReadFile(certFile)
	key, keyErr := os.ReadFile(keyFile)
	c = &ca{}
	switch {
	case errors.Is(certErr, fs.ErrNotExist) && errors.Is(keyErr, fs.ErrNotExist):
		if err := c.create(certFile, keyFile, now); err != nil {
			return nil, false, fmt.Errorf("make cluster authority: %w", err)
		}
		made = true
	case keyErr != nil:
		return nil, false, fmt.Errorf("read cluster authority: %w; without its key no node can join or renew: restore the file, or move %s away to begin with a new authority that all nodes have to join", keyErr, certFile)
	default:
		// The certificate follows from the key: one that was lost is made again.
		if err := c.read(cert, certErr, key, certFile, now); err != nil {
			return nil, false, fmt.Errorf("read cluster authority: %w", err)
		}
	}
	c.pin = tlsutil.PinOf(c.cert)
	if err := c.makeServer(now); err != nil {
		return nil, false, fmt.Errorf("make the control plane's certificate: %w", err)
	}
	return c, made, nil
}

func (c *ca) create(certFile, keyFile string, now time.Time) error {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return err
	}
	c.key = key
	if err := c.selfSign(now); err != nil {
		return err
	}
	b, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return err
	}
	return tlsutil.WritePair(certFile, keyFile, c.certPEM(), pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: b}))
}

func (c *ca) read(cert []byte, certErr error, key []byte, certFile string, now time.Time) error {
	block, _ := pem.Decode(key)
	if block == nil {
		return errors.New(CAKeyFile + " has no PEM block")
	}
	private, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil {
		return fmt.Errorf("%s: %w", CAKeyFile, err)
	}
	signer, ok := private.(*ecdsa.PrivateKey)
	if !ok {
		return fmt.Errorf("%s: it is a %T, want an EC key", CAKeyFile, private)
	}
	c.key = signer
	if block, _ := pem.Decode(cert); certErr == nil && block != nil {
		if c.cert, err = x509.ParseCertificate(block.Bytes); err != nil {
			return fmt.Errorf("%s: %w", CAFile, err)
		}
		if !signer.PublicKey.Equal(c.cert.PublicKey) {
			return fmt.Errorf("%s is not of the key in %s", CAFile, CAKeyFile)
		}
		if c.cert.NotAfter.Sub(now) > caRenew {
			return nil
		}
	} else if certErr != nil && !errors.Is(certErr, fs.ErrNotExist) {
		return certErr
	}
	if err := c.selfSign(now); err != nil {
		return err
	}
	return replaceFile(certFile, c.certPEM(), 0o644)
}

func (c *ca) certPEM() []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: c.cert.Raw})
}

func (c *ca) selfSign(now time.Time) error {
	serial, err := newSerial()
	if err != nil {
		return err
	}
	template := &x509.Certificate{
		SerialNumber: serial, Subject: pkix.Name{CommonName: caName}, NotBefore: now.Add(-time.Hour), NotAfter: now.Add(caLife),
		IsCA: true, BasicConstraintsValid: true, MaxPathLenZero: true, KeyUsage: x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, c.key.Public(), c.key)
	if err != nil {
		return err
	}
	c.cert, err = x509.ParseCertificate(der)
	return err
}

func (c *ca) makeServer(now time.Time) error {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return err
	}
	der, err := c.sign(&x509.Certificate{
		Subject: pkix.Name{CommonName: "sluice-controlplane"}, DNSNames: []string{c.pin.ServerName()},
		NotBefore: now.Add(-time.Hour), NotAfter: now.Add(caLife), ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}, key.Public())
	if err != nil {
		return err
	}
	c.server = tls.Certificate{Certificate: [][]byte{der, c.cert.Raw}, PrivateKey: key}
	return nil
}

// node makes a node's certificate.
func (c *ca) node(id string, epoch uint64, key crypto.PublicKey, now time.Time, life time.Duration) ([]byte, error) {
	return c.sign(&x509.Certificate{
		Subject: pkix.Name{CommonName: id}, URIs: []*url.URL{tlsutil.NodeURI(id, epoch)},
		NotBefore: now, NotAfter: now.Add(life), ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	}, key)
}

func (c *ca) sign(template *x509.Certificate, key crypto.PublicKey) ([]byte, error) {
	serial, err := newSerial()
	if err != nil {
		return nil, err
	}
	template.SerialNumber, template.KeyUsage, template.BasicConstraintsValid = serial, x509.KeyUsageDigitalSignature, true
	return x509.CreateCertificate(rand.Reader, template, c.cert, key, c.key)
}

// issued tells whether the authority's key has signed a certificate of a node. Its time
// is not looked at.
func (c *ca) issued(cert *x509.Certificate) bool {
	return !bytes.Equal(cert.Raw, c.cert.Raw) && cert.CheckSignatureFrom(c.cert) == nil &&
		len(cert.ExtKeyUsage) == 1 && cert.ExtKeyUsage[0] == x509.ExtKeyUsageClientAuth
}

func newSerial() (*big.Int, error) {
	return rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 127))
}

// replaceFile writes a file under another name first, so that it is always whole.
func replaceFile(path string, b []byte, mode fs.FileMode) error {
	next := path + ".new"
	if err := os.Remove(next); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if err := os.WriteFile(next, b, mode); err != nil {
		return err
	}
	return os.Rename(next, path)
}
