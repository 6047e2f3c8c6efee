package diskcache

import (
	"crypto/aes"
	"crypto/cipher"
	"errors"
	"fmt"
	"io"
)

// Magics of files whose records are encrypted.
const (
	sealedBaseMagic = "SLBASE2\n"
	sealedLogMagic  = "SLWLOG2\n"
)

var (
	errNotSealed = errors.New("it is not encrypted, although a key is set")
	errSealed    = errors.New("it is encrypted, and no key is set")
	errOpen      = errors.New("it was changed, or encrypted with another key")
)

// sealer encrypts the payloads of records with AES-256-GCM; a nil one does not. Each is
// bound to the kind of file that it is in, and the root to all of them together.
type sealer struct{ aead cipher.AEAD }

func newSealer(key []byte) (*sealer, error) {
	if key == nil {
		return nil, nil //nolint:nilnil // a nil sealer is one
	}
	if len(key) != 32 {
		return nil, fmt.Errorf("the key has %d bytes, want 32", len(key))
	}
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, err
	}
	aead, err := cipher.NewGCMWithRandomNonce(block)
	if err != nil {
		return nil, err
	}
	return &sealer{aead}, nil
}

func (s *sealer) baseMagic() string {
	if s == nil {
		return baseMagic
	}
	return sealedBaseMagic
}

func (s *sealer) logMagic() string {
	if s == nil {
		return logMagic
	}
	return sealedLogMagic
}

// checkMagic reads the beginning of a file.
func (s *sealer) checkMagic(r io.Reader, want, other, what string) error {
	magic := make([]byte, len(want))
	_, err := io.ReadFull(r, magic)
	switch {
	case err == nil && string(magic) == want:
		return nil
	case err == nil && string(magic) == other && s != nil:
		return errNotSealed
	case err == nil && string(magic) == other:
		return errSealed
	}
	return errors.New("not a " + what + " of this format")
}

// frame makes a record of a payload.
func (s *sealer) frame(magic string, payload []byte) []byte {
	if s != nil {
		payload = s.aead.Seal(make([]byte, 0, len(payload)+s.aead.Overhead()), nil, payload, []byte(magic))
	}
	return frame(payload)
}

// record reads a record, and how many bytes of the file it takes. io.EOF is a clean end.
func (s *sealer) record(r io.Reader, magic string) (payload []byte, size int64, err error) {
	payload, err = readRecord(r)
	size = int64(8 + len(payload))
	if err != nil || s == nil {
		return payload, size, err
	}
	payload, err = s.aead.Open(nil, nil, payload, []byte(magic))
	if err != nil {
		return nil, size, errOpen
	}
	return payload, size, nil
}
