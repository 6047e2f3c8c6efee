package identity

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/sluice-gateway/sluice/shared/tlsutil"
)

// kept is what the file holds: the key, the certificate, and the authority's certificate
// with the address that the node has joined at. It is not changed but by take.
type kept struct {
	pair      tls.Certificate
	leaf      *x509.Certificate
	authority *x509.Certificate
	pin       tlsutil.Pin
	life      time.Duration
	address   string
}

// headerAddress of the authority's PEM block says where the node has joined.
const headerAddress = "Control-Plane"

var errNone = errors.New("the node has not joined a cluster")

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

func load(path, nodeID string) (*kept, error) {
	text, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, errNone
	}
	if err != nil {
		return nil, fmt.Errorf("read the node's certificate: %w", err)
	}
	k, err := parse(text)
	if err != nil {
		return nil, fmt.Errorf("read the node's certificate: %s: %w", path, err)
	}
	if id, _, _ := tlsutil.NodeOf(k.leaf); id != nodeID {
		return nil, fmt.Errorf("read the node's certificate: %s is of the node %s, this one is %s", path, id, nodeID)
	}
	return k, nil
}

func parse(text []byte) (*kept, error) {
	var key, cert, authority *pem.Block
	for _, into := range []**pem.Block{&key, &cert, &authority} {
		if *into, text = pem.Decode(text); *into == nil {
			return nil, errors.New("it is not whole: want a key and two certificates")
		}
	}
	private, err := x509.ParsePKCS8PrivateKey(key.Bytes)
	if err != nil {
		return nil, err
	}
	signer, ok := private.(*ecdsa.PrivateKey)
	if !ok {
		return nil, fmt.Errorf("the key is a %T, want an EC key", private)
	}
	k, err := assemble(signer, cert.Bytes, authority.Bytes)
	if err != nil {
		return nil, err
	}
	k.life = k.leaf.NotAfter.Sub(k.leaf.NotBefore)
	k.address = authority.Headers[headerAddress]
	return k, nil
}

// assemble checks that a certificate is of the key and was signed by the authority.
func assemble(key *ecdsa.PrivateKey, cert, authority []byte) (*kept, error) {
	k := &kept{pair: tls.Certificate{Certificate: [][]byte{cert}, PrivateKey: key}}
	var err error
	if k.leaf, err = x509.ParseCertificate(cert); err != nil {
		return nil, err
	}
	if k.authority, err = x509.ParseCertificate(authority); err != nil {
		return nil, err
	}
	if !key.PublicKey.Equal(k.leaf.PublicKey) {
		return nil, errors.New("the certificate is of another key")
	}
	if err := k.leaf.CheckSignatureFrom(k.authority); err != nil {
		return nil, fmt.Errorf("the certificate is not of the authority: %w", err)
	}
	k.pair.Leaf, k.pin = k.leaf, tlsutil.PinOf(k.authority)
	return k, nil
}

func (k *kept) save(path string) error {
	key, err := encodeKey(k.pair.PrivateKey)
	if err != nil {
		return err
	}
	text := append(key, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: k.leaf.Raw})...)
	text = append(text, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: k.authority.Raw, Headers: map[string]string{headerAddress: k.address}})...)
	return replace(path, text)
}

func encodeKey(key any) ([]byte, error) {
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, fmt.Errorf("encode key: %w", err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}), nil
}

// replace puts a file that only its owner reads in the place of another one, durably.
func replace(path string, text []byte) (err error) {
	next := path + ".new"
	if err := os.Remove(next); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	f, err := os.OpenFile(next, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600) //nolint:gosec // below the prefix
	if err != nil {
		return err
	}
	_, err = f.Write(text)
	if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
		return errors.Join(err, os.Remove(next))
	}
	if err := os.Rename(next, path); err != nil {
		return err
	}
	folder, err := os.Open(filepath.Dir(path))
	if err != nil {
		return err
	}
	return errors.Join(folder.Sync(), folder.Close())
}

// pendingFile has the key of a node that is joining: should the answer get lost, the same
// key may ask again.
const pendingFile = "cluster-identity.key"

func pendingKey(dir string) (*ecdsa.PrivateKey, error) {
	path := filepath.Join(dir, pendingFile)
	if text, err := os.ReadFile(path); err == nil {
		if block, _ := pem.Decode(text); block != nil {
			if private, err := x509.ParsePKCS8PrivateKey(block.Bytes); err == nil {
				if key, ok := private.(*ecdsa.PrivateKey); ok {
					return key, nil
				}
			}
		}
	}
	key, err := newKey()
	if err != nil {
		return nil, err
	}
	text, err := encodeKey(key)
	if err != nil {
		return nil, err
	}
	if err := replace(path, text); err != nil {
		return nil, fmt.Errorf("write the node's key: %w", err)
	}
	return key, nil
}

func newKey() (*ecdsa.PrivateKey, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("make the node's key: %w", err)
	}
	return key, nil
}
