package dictionary_test

import (
	"crypto/sha256"
	"encoding/hex"
	"testing"

	"github.com/sluice-gateway/sluice/shared/dictionary"
)

// TestDictionariesNeverChange: a plane of another version has the same.
func TestDictionariesNeverChange(t *testing.T) {
	sum := sha256.Sum256(dictionary.One)
	if got, want := hex.EncodeToString(sum[:]), "b13d24731099c86330794fe44d925d82b8a5dda4a80644e0ff32299add794806"; got != want {
		t.Errorf("dictionary 1 has the SHA-256 %s, want %s", got, want)
	}
}
