package settings

import (
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"os"
	"strings"
)

// aesKeySize is the size of a key in bytes.
const aesKeySize = 32

// readAESKey returns a key that is given as itself or as a path. Its errors never show
// the value, which may be the key.
func readAESKey(key, text string) ([]byte, error) {
	if decoded := decodeAESKey(text); decoded != nil {
		return decoded, nil
	}
	data, err := os.ReadFile(text) //nolint:gosec // the operator's path
	if err != nil {
		return nil, fmt.Errorf("%s: neither 32 bytes in hex or base64 nor a file that can be read", key)
	}
	if len(data) == aesKeySize {
		return data, nil
	}
	if decoded := decodeAESKey(strings.TrimSpace(string(data))); decoded != nil {
		return decoded, nil
	}
	return nil, fmt.Errorf("%s: the file does not hold 32 bytes, in hex, in base64 or as they are", key)
}

func decodeAESKey(text string) []byte {
	if b, err := hex.DecodeString(text); err == nil && len(b) == aesKeySize {
		return b
	}
	for _, form := range []*base64.Encoding{base64.StdEncoding, base64.RawStdEncoding, base64.URLEncoding, base64.RawURLEncoding} {
		if b, err := form.DecodeString(text); err == nil && len(b) == aesKeySize {
			return b
		}
	}
	return nil
}
