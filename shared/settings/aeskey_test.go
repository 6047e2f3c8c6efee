package settings

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestReadAESKey(t *testing.T) {
	key := bytes.Repeat([]byte{0xfb}, 32)
	dir := t.TempDir()
	file := func(name string, content []byte) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, content, 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	for name, text := range map[string]string{
		"hex": hex.EncodeToString(key), "base64": base64.StdEncoding.EncodeToString(key), "url": base64.RawURLEncoding.EncodeToString(key),
		"file of bytes": file("raw", key), "file of hex": file("hex", []byte(hex.EncodeToString(key)+"\n")),
		"file of base64": file("b64", []byte(base64.StdEncoding.EncodeToString(key))),
	} {
		if got, err := readAESKey("store_encryption_key", text); err != nil || !bytes.Equal(got, key) {
			t.Errorf("%s: %x %v", name, got, err)
		}
	}
	for name, text := range map[string]string{
		"short": hex.EncodeToString(key[:31]), "long": hex.EncodeToString(append(key, 1)), "no file": filepath.Join(dir, "none"),
		"empty file": file("empty", nil), "wrong file": file("wrong", []byte("password")), "word": "hunter2",
	} {
		_, err := readAESKey("store_encryption_key", text)
		if err == nil || !strings.HasPrefix(err.Error(), "store_encryption_key: ") || strings.Contains(err.Error(), text) {
			t.Errorf("%s: %v", name, err)
		}
	}
}
