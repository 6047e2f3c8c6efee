package session

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
)

// format is the first byte of what is sealed, so that it can be changed some time.
const format = 1

var errSeal = errors.New("not sealed with this secret")

// seal encrypts and signs (AES-256-GCM). What is sealed for one place can not be opened
// in another.
type seal struct {
	aead cipher.AEAD
}

func newSeal(secret string) (*seal, error) {
	key, err := hkdf.Key(sha256.New, []byte(secret), nil, "sluice session", 32)
	if err != nil {
		return nil, fmt.Errorf("derive a key: %w", err)
	}
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, fmt.Errorf("make a cipher: %w", err)
	}
	aead, err := cipher.NewGCM(block)
	if err != nil {
		return nil, fmt.Errorf("make a cipher: %w", err)
	}
	return &seal{aead}, nil
}

func (s *seal) close(st *state, place string) string {
	plain, err := json.Marshal(st)
	if err != nil {
		panic(err) // strings and numbers
	}
	b := make([]byte, 1+s.aead.NonceSize(), 1+s.aead.NonceSize()+len(plain)+s.aead.Overhead())
	b[0] = format
	_, _ = rand.Read(b[1:]) // never fails
	b = s.aead.Seal(b, b[1:], plain, []byte(place))
	return base64.RawURLEncoding.EncodeToString(b)
}

func (s *seal) open(text, place string) (*state, error) {
	b, err := base64.RawURLEncoding.DecodeString(text)
	n := 1 + s.aead.NonceSize()
	if err != nil || len(b) < n || b[0] != format {
		return nil, errSeal
	}
	plain, err := s.aead.Open(nil, b[1:n], b[n:], []byte(place))
	if err != nil {
		return nil, errSeal
	}
	st := new(state)
	if err := json.Unmarshal(plain, st); err != nil {
		return nil, errSeal
	}
	return st, nil
}

func newID() string {
	var b [24]byte
	_, _ = rand.Read(b[:]) // never fails
	return base64.RawURLEncoding.EncodeToString(b[:])
}
