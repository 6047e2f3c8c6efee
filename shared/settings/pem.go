package settings

import (
	"encoding/base64"
	"fmt"
	"os"
	"strings"
)

const (
	pemBegin = "-----BEGIN "
	pemEnd   = "-----END "
)

// readPEM returns PEM text that is given as itself, in base64 or as a path.
func readPEM(key, text string) ([]byte, error) {
	if strings.Contains(text, pemBegin) && strings.Contains(text, pemEnd) {
		return []byte(text), nil
	}
	if decoded, err := base64.StdEncoding.DecodeString(text); err == nil && strings.Contains(string(decoded), pemBegin) {
		return decoded, nil
	}
	data, err := os.ReadFile(text)
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", key, err)
	}
	if !strings.Contains(string(data), pemBegin) {
		return nil, fmt.Errorf("read %s: %s holds no PEM block", key, text)
	}
	return data, nil
}
