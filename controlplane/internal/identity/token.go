package identity

import (
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"time"
)

// Token is what is known of a join token. Its secret is known to who was given it.
type Token struct {
	ID string `json:"id"`
	// Hash is the SHA-256 of the secret, in hex.
	Hash      string `json:"hash"`
	Comment   string `json:"comment,omitempty"`
	CreatedAt int64  `json:"created_at"`
	CreatedBy string `json:"created_by,omitempty"`
	// ExpiresAt is in seconds since 1970.
	ExpiresAt int64 `json:"expires_at"`
	// Uses is how many nodes may join with it, 0 for any number; Used is how many have.
	Uses int `json:"uses"`
	Used int `json:"used"`
}

// State of a token.
type State string

// States of tokens.
const (
	Good    State = "good"
	Expired State = "expired"
	UsedUp  State = "used up"
)

// State tells whether a token is good.
func (t *Token) State(now time.Time) State {
	switch {
	case now.Unix() >= t.ExpiresAt:
		return Expired
	case t.Uses > 0 && t.Used >= t.Uses:
		return UsedUp
	}
	return Good
}

// is compares in constant time.
func (t *Token) is(digest string) bool {
	return subtle.ConstantTimeCompare([]byte(t.Hash), []byte(digest)) == 1
}

// nobody is compared with when there is no token to compare with, so that it takes as long.
var nobody = &Token{Hash: digest("")}

func digest(secret string) string {
	sum := sha256.Sum256([]byte(secret))
	return hex.EncodeToString(sum[:])
}

// generate makes the id and the secret of a token, as tlsutil.JoinLine has them.
func generate() (id, secret string) {
	var random [8 + 32]byte
	_, _ = rand.Read(random[:]) // never fails
	return hex.EncodeToString(random[:8]), base64.RawURLEncoding.EncodeToString(random[8:])
}

// TokenRequest is what a new token should be.
type TokenRequest struct {
	// Life of the token; 0 means an hour.
	Life time.Duration
	// Uses is how many nodes may join with it; 0 means one, less than 0 any number.
	Uses int
	// Comment is free text.
	Comment string
	// By is who creates it.
	By string
}

const (
	defaultTokenLife = time.Hour
	longestTokenLife = 10 * 365 * 24 * time.Hour
	longestComment   = 1024
	mostUses         = 1 << 30
)

// Check says what is wrong with a request, and with which field.
func (r *TokenRequest) Check() (field string, err error) {
	switch {
	case r.Life < 0 || r.Life > 0 && r.Life < time.Second:
		return "ttl", errors.New("must be at least a second")
	case r.Life > longestTokenLife:
		return "ttl", errors.New("must be at most ten years")
	case r.Uses > mostUses:
		return "uses", fmt.Errorf("must be at most %d", mostUses)
	case len(r.Comment) > longestComment:
		return "comment", fmt.Errorf("length must be at most %d", longestComment)
	}
	return "", nil
}
