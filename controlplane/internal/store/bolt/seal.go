package bolt

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"

	"go.etcd.io/bbolt"

	"github.com/sluice-gateway/sluice/controlplane/internal/store"
)

// An encrypted file has under meta/cipher the data key, which is random and encrypted with
// the operator's: a version, the id of the operator's key, and the sealed data key.
//
// The values of entity, local, value and log are sealed with AES-256-GCM, bound to the
// place where they are. Keys of unique and multi, which are values of fields, are replaced
// by a keyed hash. Ids, kinds, names of indexes, revisions and the root are in clear: the
// root is over what was sealed, so that positions do not depend on keys.
const (
	keyBytes      = 32
	keyIDBytes    = 8
	cipherVersion = 1
)

var keyCipher = []byte("cipher")

// sealer encrypts and decrypts. A nil one does nothing. It is safe for concurrent use.
type sealer struct {
	aead  cipher.AEAD
	names []byte // key of the hash of index keys
	meta  []byte // what is under meta/cipher
}

func newAEAD(key []byte) (cipher.AEAD, error) {
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, err
	}
	return cipher.NewGCMWithRandomNonce(block)
}

// keyID recognizes an operator's key without telling anything of it.
func keyID(key []byte) []byte {
	h := hmac.New(sha256.New, key)
	h.Write([]byte("sluice store encryption key"))
	return h.Sum(nil)[:keyIDBytes]
}

// newSealer makes a sealer with a new data key; an operator's key that is nil makes none.
func newSealer(key []byte) (*sealer, error) {
	if key == nil {
		return nil, nil //nolint:nilnil // a nil sealer is one
	}
	outer, err := newAEAD(key)
	if err != nil {
		return nil, err
	}
	data := make([]byte, 2*keyBytes)
	_, _ = rand.Read(data) // never fails
	meta := append([]byte{cipherVersion}, keyID(key)...)
	meta = outer.Seal(meta, nil, data, keyCipher)
	return sealerOf(data, meta)
}

func sealerOf(data, meta []byte) (*sealer, error) {
	aead, err := newAEAD(data[:keyBytes])
	if err != nil {
		return nil, err
	}
	return &sealer{aead: aead, names: data[keyBytes:], meta: meta}, nil
}

// openSealer makes the sealer of a file with the first of the operator's keys that fits.
func openSealer(meta []byte, keys ...[]byte) (*sealer, error) {
	if meta == nil {
		return nil, nil //nolint:nilnil // the file is not encrypted
	}
	if len(meta) < 1+keyIDBytes || meta[0] != cipherVersion {
		return nil, fmt.Errorf("%w: the data key is malformed", store.ErrDamaged)
	}
	id, sealed := meta[1:1+keyIDBytes], meta[1+keyIDBytes:]
	var given []string
	for _, key := range keys {
		if key == nil {
			continue
		}
		if !bytes.Equal(id, keyID(key)) {
			given = append(given, hex.EncodeToString(keyID(key)))
			continue
		}
		outer, err := newAEAD(key)
		if err != nil {
			return nil, err
		}
		data, err := outer.Open(nil, nil, sealed, keyCipher)
		if err != nil || len(data) != 2*keyBytes {
			return nil, fmt.Errorf("%w: the data key was changed", store.ErrDamaged)
		}
		return sealerOf(data, bytes.Clone(meta))
	}
	if len(given) == 0 {
		return nil, fmt.Errorf("%w: it is encrypted with key %x, and no key is given", store.ErrKey, id)
	}
	return nil, fmt.Errorf("%w: it is encrypted with key %x, given is %s", store.ErrKey, id, given[0])
}

// opens tells whether an operator's key is the one of this sealer.
func (s *sealer) opens(key []byte) bool {
	if s == nil || key == nil {
		return s == nil && key == nil
	}
	return bytes.Equal(s.meta[1:1+keyIDBytes], keyID(key))
}

// place is what a value is bound to.
func place(top, name, key []byte) []byte {
	b := make([]byte, 0, len(top)+len(name)+len(key)+12)
	return appendBytes(appendBytes(appendBytes(b, top), name), key)
}

func (s *sealer) seal(top, name, key, value []byte) []byte {
	if s == nil {
		return value
	}
	return s.aead.Seal(make([]byte, 0, len(value)+s.aead.Overhead()), nil, value, place(top, name, key))
}

var errSealed = errors.New("the value was changed, or belongs elsewhere")

func (s *sealer) open(top, name, key, value []byte) ([]byte, error) {
	if s == nil || value == nil {
		return value, nil
	}
	out, err := s.aead.Open(make([]byte, 0, len(value)), nil, value, place(top, name, key))
	if err != nil {
		return nil, fmt.Errorf("%w: %s %s %s: %w", store.ErrDamaged, top, name, key, errSealed)
	}
	return out, nil
}

// indexKey is the key under which an index has a value.
func (s *sealer) indexKey(index, key string) string {
	if s == nil {
		return key
	}
	h := hmac.New(sha256.New, s.names)
	h.Write(appendBytes(nil, index))
	h.Write([]byte(key))
	return string(h.Sum(nil))
}

// isSealed tells whether the values of a top bucket are sealed.
func isSealed(top []byte) bool {
	return bytes.Equal(top, bucketEntity) || bytes.Equal(top, bucketLocal) || bytes.Equal(top, bucketValue) || bytes.Equal(top, bucketLog)
}

// sealerIn opens the sealer of an open file.
func sealerIn(b *bbolt.Tx, o *Options) (*sealer, error) {
	meta := b.Bucket(bucketMeta)
	if meta == nil {
		return nil, nil //nolint:nilnil // verify says that it is not there
	}
	return openSealer(meta.Get(keyCipher), o.Key, o.PreviousKey)
}
