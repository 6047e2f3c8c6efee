package basicauth

import (
	"crypto/rand"
	"crypto/sha1" //nolint:gosec // Kong's form
	"crypto/subtle"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"golang.org/x/crypto/argon2"
	"golang.org/x/crypto/bcrypt"
)

// A stored password is one of:
//
//	$argon2id$v=19$m=7168,t=5,p=1$SALT$KEY        of the password: what is made of new ones
//	$sha1+argon2id$v=19$m=7168,t=5,p=1$SALT$KEY   of Kong's form, which was upgraded so
//	$2b$10$...                                    bcrypt, which is taken as it comes
//	40 hex digits                                 Kong's form: the SHA-1 of password and consumer
//
// Argon2id with these numbers is one of OWASP's recommendations, the one with the least
// memory: a node checks passwords beside the traffic, and a few at a time must not move
// its heap. bcrypt would need less, but cuts passwords at 72 bytes.
const (
	memory  = 7 << 10 // KiB
	passes  = 5
	threads = 1
	saltLen = 16
	keyLen  = 32

	// What a hash from elsewhere may ask of a node.
	maxMemory  = 64 << 10
	maxPasses  = 16
	maxThreads = 4
	maxKey     = 64
	maxCost    = 13

	markArgon   = "$argon2id$"
	markWrapped = "$sha1+argon2id$"
)

var (
	errForm    = errors.New("the hash is malformed")
	errTooMuch = fmt.Errorf("the hash takes too much to check: at most %d KiB, %d passes and %d threads of argon2id, and cost %d of bcrypt are allowed", maxMemory, maxPasses, maxThreads, maxCost)
)

// derived is an Argon2id hash, taken apart.
type derived struct {
	memory, passes uint32
	threads        uint8
	salt, key      []byte
}

func newDerived() derived {
	d := derived{memory: memory, passes: passes, threads: threads, salt: make([]byte, saltLen)}
	_, _ = rand.Read(d.salt) // never fails
	return d
}

func (d *derived) of(text string) []byte {
	return argon2.IDKey([]byte(text), d.salt, d.passes, d.memory, d.threads, keyLen)
}

func (d *derived) encode(mark string) string {
	b64 := base64.RawStdEncoding
	return fmt.Sprintf("%sv=%d$m=%d,t=%d,p=%d$%s$%s", mark, argon2.Version, d.memory, d.passes, d.threads, b64.EncodeToString(d.salt), b64.EncodeToString(d.key))
}

// parseDerived reads what follows the mark.
func parseDerived(text string) (d derived, err error) {
	parts := strings.Split(text, "$")
	if len(parts) != 4 || parts[0] != "v="+strconv.Itoa(argon2.Version) {
		return d, errForm
	}
	numbers := strings.Split(parts[1], ",")
	if len(numbers) != 3 {
		return d, errForm
	}
	var values [3]uint64
	for i, prefix := range []string{"m=", "t=", "p="} {
		n, ok := strings.CutPrefix(numbers[i], prefix)
		if !ok {
			return d, errForm
		}
		if values[i], err = strconv.ParseUint(n, 10, 32); err != nil || values[i] == 0 {
			return d, errForm
		}
	}
	if d.salt, err = base64.RawStdEncoding.Strict().DecodeString(parts[2]); err != nil || len(d.salt) < 8 || len(d.salt) > maxKey {
		return d, errForm
	}
	if d.key, err = base64.RawStdEncoding.Strict().DecodeString(parts[3]); err != nil || len(d.key) < 16 || len(d.key) > maxKey {
		return d, errForm
	}
	if values[0] > maxMemory || values[1] > maxPasses || values[2] > maxThreads {
		return d, errTooMuch
	}
	d.memory, d.passes, d.threads = uint32(values[0]), uint32(values[1]), uint8(values[2])
	return d, nil
}

// hashed tells whether a text is a hash in a form that no password has. The error tells
// that it is one which can't be taken.
func hashed(text string) (bool, error) {
	for _, mark := range []string{markArgon, markWrapped} {
		if rest, ok := strings.CutPrefix(text, mark); ok {
			_, err := parseDerived(rest)
			return err == nil, tooMuch(err)
		}
	}
	if isBcrypt(text) {
		cost, err := bcrypt.Cost([]byte(text))
		if err == nil && cost > maxCost {
			return false, errTooMuch
		}
		return err == nil, nil
	}
	return false, nil
}

func tooMuch(err error) error {
	if errors.Is(err, errTooMuch) {
		return err
	}
	return nil // it is a password that looks odd
}

func isBcrypt(text string) bool {
	return len(text) == 60 && (strings.HasPrefix(text, "$2a$") || strings.HasPrefix(text, "$2b$") || strings.HasPrefix(text, "$2y$"))
}

// isKongs tells whether a text has the form of Kong's hashes.
func isKongs(text string) bool {
	if len(text) != 2*sha1.Size {
		return false
	}
	for i := range len(text) {
		if c := text[i]; (c < '0' || c > '9') && (c < 'a' || c > 'f') {
			return false
		}
	}
	return true
}

// hash makes the stored form of a password.
func hash(password string) string {
	d := newDerived()
	d.key = d.of(password)
	return d.encode(markArgon)
}

// wrap upgrades Kong's form without knowing the password.
func wrap(kongs string) string {
	d := newDerived()
	d.key = d.of(kongs)
	return d.encode(markWrapped)
}

// verify tells whether a password of a consumer is the stored one. It takes tens of
// milliseconds but for Kong's form.
func verify(stored, password, consumer string) bool {
	if isKongs(stored) {
		return isDigest(stored, password, consumer)
	}
	if rest, ok := strings.CutPrefix(stored, markWrapped); ok {
		return verifyDerived(rest, digest(password, consumer))
	}
	if rest, ok := strings.CutPrefix(stored, markArgon); ok {
		return verifyDerived(rest, password)
	}
	if isBcrypt(stored) {
		return len(password) <= 72 && bcrypt.CompareHashAndPassword([]byte(stored), []byte(password)) == nil
	}
	return false
}

func verifyDerived(rest, text string) bool {
	d, err := parseDerived(rest)
	if err != nil {
		return false
	}
	key := argon2.IDKey([]byte(text), d.salt, d.passes, d.memory, d.threads, uint32(len(d.key)))
	return subtle.ConstantTimeCompare(key, d.key) == 1
}

// digest is Kong's form.
func digest(password, consumer string) string {
	sum := sum(password, consumer)
	return hex.EncodeToString(sum[:])
}

// isDigest compares without allocating.
func isDigest(stored, password, consumer string) bool {
	sum := sum(password, consumer)
	var text [2 * sha1.Size]byte
	hex.Encode(text[:], sum[:])
	equal := byte(0)
	for i := range text {
		equal |= text[i] ^ stored[i]
	}
	return equal == 0
}

func sum(password, consumer string) [sha1.Size]byte {
	var space [256]byte                                                  // enough for nearly all, and it stays on the stack
	return sha1.Sum(append(append(space[:0], password...), consumer...)) //nolint:gosec // Kong's form
}
