package tlsutil

import (
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
	"os"
	"path/filepath"
	"time"
)

// DefaultLife is how long a certificate lives that is made on first start: Kong's.
const DefaultLife = 1095 * 24 * time.Hour

// Generate makes a self-signed certificate and its key (EC P-256) as PEM, with a common
// name and no alternative names as `kong hybrid gen_cert` does, whose P-384 costs both
// sides ten times the CPU for a handshake: thousands of nodes come back at once.
func Generate(name string, life time.Duration, now time.Time) (certificate, key []byte, err error) {
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, nil, fmt.Errorf("generate key: %w", err)
	}
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 127))
	if err != nil {
		return nil, nil, fmt.Errorf("generate serial number: %w", err)
	}
	template := &x509.Certificate{
		SerialNumber: serial, Subject: pkix.Name{CommonName: name},
		// Clocks of machines differ.
		NotBefore: now.Add(-time.Hour), NotAfter: now.Add(life),
		BasicConstraintsValid: true, IsCA: true,
		KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, private.Public(), private)
	if err != nil {
		return nil, nil, fmt.Errorf("create certificate: %w", err)
	}
	b, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		return nil, nil, fmt.Errorf("encode key: %w", err)
	}
	certificate = pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	return certificate, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: b}), nil
}

// ErrExists means that a file is there already and is not overwritten.
var ErrExists = errors.New("file exists")

// WritePair writes a certificate (0644) and its key (0600). It overwrites neither.
func WritePair(certificateFile, keyFile string, certificate, key []byte) error {
	if err := create(keyFile, key, 0o600); err != nil {
		return err
	}
	if err := create(certificateFile, certificate, 0o644); err != nil {
		_ = os.Remove(keyFile)
		return err
	}
	return nil
}

func create(path string, b []byte, mode fs.FileMode) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, mode)
	if errors.Is(err, fs.ErrExist) {
		return fmt.Errorf("%s: %w", path, ErrExists)
	}
	if err != nil {
		return fmt.Errorf("write certificate: %w", err)
	}
	_, err = f.Write(b)
	err = errors.Join(err, f.Sync(), f.Close())
	if err != nil {
		_ = os.Remove(path)
		return fmt.Errorf("write %s: %w", path, err)
	}
	return nil
}

// Ensure reads cluster.crt and cluster.key in dir, and makes them when neither is there.
func Ensure(dir string, now time.Time) (certificate, key []byte, made bool, err error) {
	return EnsureNamed(dir, "cluster", Name, DefaultLife, now)
}

// EnsureNamed reads file.crt and file.key in dir, and makes them for a name when neither
// is there.
func EnsureNamed(dir, file, name string, life time.Duration, now time.Time) (certificate, key []byte, made bool, err error) {
	certificateFile, keyFile := filepath.Join(dir, file+".crt"), filepath.Join(dir, file+".key")
	certificate, certErr := os.ReadFile(certificateFile)
	key, keyErr := os.ReadFile(keyFile)
	switch {
	case certErr == nil && keyErr == nil:
		return certificate, key, false, nil
	case errors.Is(certErr, fs.ErrNotExist) && errors.Is(keyErr, fs.ErrNotExist):
	default:
		return nil, nil, false, fmt.Errorf("read certificate %s in %s: %w", file, dir, errors.Join(certErr, keyErr))
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, nil, false, fmt.Errorf("make certificate %s: %w", file, err)
	}
	if certificate, key, err = Generate(name, life, now); err != nil {
		return nil, nil, false, err
	}
	return certificate, key, true, WritePair(certificateFile, keyFile, certificate, key)
}

// Server certificates that are made when none are set live this long: browsers do not
// trust them anyway, and nobody renews them.
const serverLife = 20 * 365 * 24 * time.Hour

// ServerPairs reads certificates with their keys, in the same order, for clients of a
// listener. Without any it reads, or makes once, a self-signed one in dir.
func ServerPairs(certificates, keys [][]byte, dir, file string) ([]tls.Certificate, error) {
	if len(certificates) != len(keys) {
		return nil, fmt.Errorf("%d keys for %d certificates", len(keys), len(certificates))
	}
	if len(certificates) == 0 {
		certificate, key, _, err := EnsureNamed(dir, file, "localhost", serverLife, time.Now())
		if err != nil {
			return nil, err
		}
		certificates, keys = [][]byte{certificate}, [][]byte{key}
	}
	out := make([]tls.Certificate, len(certificates))
	for i := range certificates {
		var err error
		if out[i], err = tls.X509KeyPair(certificates[i], keys[i]); err != nil {
			return nil, fmt.Errorf("certificate %d: %w", i+1, err)
		}
	}
	return out, nil
}
