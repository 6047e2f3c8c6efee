package oauth2

import (
	"crypto/pbkdf2"
	"crypto/rand"
	"crypto/sha256"
	"crypto/sha512"
	"crypto/subtle"
	"encoding/base64"
	"fmt"
	gohash "hash"
	"regexp"
	"strconv"
)

// Secrets are hashed as Kong does, so that hashes of either are good at both.
const (
	iterations = 10000
	hashLength = 32
	saltLength = 16
	// maxIterations and maxHash bound what a hash from elsewhere may cost.
	maxIterations = 10_000_000
	maxHash       = 128
)

// phc is the form of a hash: algorithm, iterations and length, salt, hash.
var phc = regexp.MustCompile(`^\$pbkdf2-(sha256|sha512)\$i=(\d{1,8}),l=(\d{1,3})\$([A-Za-z0-9+/]+)\$([A-Za-z0-9+/]+)$`)

func isHash(text string) bool { return phc.MatchString(text) }

// hash makes the hash of a secret.
func hash(secret string) string {
	salt := make([]byte, saltLength)
	_, _ = rand.Read(salt) // never fails
	key, err := pbkdf2.Key(sha512.New, secret, salt, iterations, hashLength)
	if err != nil {
		panic(err) // the parameters are constants
	}
	return fmt.Sprintf("$pbkdf2-sha512$i=%d,l=%d$%s$%s", iterations, hashLength,
		base64.RawStdEncoding.EncodeToString(salt), base64.RawStdEncoding.EncodeToString(key))
}

// verify tells whether a hash is of a secret.
func verify(secret, hashed string) bool {
	m := phc.FindStringSubmatch(hashed)
	if m == nil {
		return false
	}
	digests := map[string]func() gohash.Hash{"sha256": sha256.New, "sha512": sha512.New}
	rounds, _ := strconv.Atoi(m[2])
	length, _ := strconv.Atoi(m[3])
	salt, saltErr := base64.RawStdEncoding.DecodeString(m[4])
	want, wantErr := base64.RawStdEncoding.DecodeString(m[5])
	if saltErr != nil || wantErr != nil || rounds < 1 || rounds > maxIterations || length < 1 || length > maxHash {
		return false
	}
	got, err := pbkdf2.Key(digests[m[1]], secret, salt, rounds, length)
	return err == nil && subtle.ConstantTimeCompare(got, want) == 1
}

func same(a, b string) bool { return subtle.ConstantTimeCompare([]byte(a), []byte(b)) == 1 }
