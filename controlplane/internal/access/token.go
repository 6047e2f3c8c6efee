package access

import (
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"encoding/hex"
	"strings"
	"time"
)

// Token is what is known of a token. The token itself is known to its owner only.
type Token struct {
	ID        string `json:"id"`
	Name      string `json:"name"`
	Role      Role   `json:"role"`
	Workspace string `json:"workspace,omitempty"`
	Comment   string `json:"comment,omitempty"`
	CreatedAt int64  `json:"created_at"`
	CreatedBy string `json:"created_by,omitempty"`
	// ExpiresAt is in seconds since 1970, 0 for never.
	ExpiresAt int64 `json:"expires_at,omitempty"`
	// Prefix is how the token begins, by which it is found and recognized.
	Prefix string `json:"prefix"`
	// Hash is the SHA-256 of the whole token, in hex.
	Hash string `json:"hash"`
}

// Expired tells whether the time of the token is over.
func (t *Token) Expired(now time.Time) bool { return t.ExpiresAt != 0 && now.Unix() >= t.ExpiresAt }

const (
	// mark begins every token, so that scanners of leaked secrets know it.
	mark = "sluice_"
	// prefixSize is the length of mark and of 8 bytes in hex.
	prefixSize  = len(mark) + 16
	secretBytes = 32
	// longestToken bounds what is looked at.
	longestToken = 256
)

// generate makes a token: mark, eight bytes to find it by, and the secret.
func generate() (token, prefix string) {
	var random [8 + secretBytes]byte
	_, _ = rand.Read(random[:]) // never fails
	prefix = mark + hex.EncodeToString(random[:8])
	return prefix + "_" + base64.RawURLEncoding.EncodeToString(random[8:]), prefix
}

// prefixOf returns the part of a token that it is found by, "" for what is no token.
func prefixOf(token string) string {
	if len(token) <= prefixSize || len(token) > longestToken || !strings.HasPrefix(token, mark) || token[prefixSize] != '_' {
		return ""
	}
	return token[:prefixSize]
}

func digest(token string) string {
	sum := sha256.Sum256([]byte(token))
	return hex.EncodeToString(sum[:])
}

// is compares in constant time.
func (t *Token) is(digest string) bool {
	return subtle.ConstantTimeCompare([]byte(t.Hash), []byte(digest)) == 1
}
