package basicauth

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"runtime"
	"sync"
)

const (
	// mostVerdicts bounds what is remembered, in two halves of which the older is dropped.
	mostVerdicts = 20_000
	// mostWaiting bounds those who wait for their password to be checked.
	mostWaiting = 512
)

// errBusy means that too many passwords wait to be checked.
var errBusy = errors.New("too many passwords are being checked")

// verdicts remembers which passwords were good and which were not, so that a password is
// looked at closely once. What is remembered is a keyed hash of the credential, its
// stored form and the password: another password, and another stored form, is another
// key, so that nothing has to be dropped when a credential changes. The key is random
// and never leaves the process. It is safe for concurrent use, and a hit allocates nothing.
type verdicts struct {
	secret [32]byte
	// checking bounds the work that is done at the same time.
	checking chan struct{}

	mu       sync.RWMutex
	young    map[verdictKey]bool
	old      map[verdictKey]bool
	inFlight map[verdictKey]*flight
	waiting  int
}

type verdictKey [sha256.Size]byte

// flight is a check that others wait for, too.
type flight struct {
	done chan struct{}
	good bool
}

func newVerdicts() *verdicts {
	v := &verdicts{
		checking: make(chan struct{}, max(1, runtime.GOMAXPROCS(0)/2)),
		young:    map[verdictKey]bool{}, inFlight: map[verdictKey]*flight{},
	}
	_, _ = rand.Read(v.secret[:]) // never fails
	return v
}

// key is SHA-256 with the secret in front: digests are never shown, so that more is not
// needed.
func (v *verdicts) key(id, stored, password string) verdictKey {
	var space [512]byte
	b := append(space[:0], v.secret[:]...)
	for _, part := range [...]string{id, stored, password} {
		b = binary.AppendUvarint(b, uint64(len(part)))
		b = append(b, part...)
	}
	return sha256.Sum256(b)
}

func (v *verdicts) known(k verdictKey) (good, known bool) {
	v.mu.RLock()
	good, known = v.young[k]
	if !known {
		good, known = v.old[k]
	}
	v.mu.RUnlock()
	return good, known
}

func (v *verdicts) rememberLocked(k verdictKey, good bool) {
	if len(v.young) >= mostVerdicts/2 {
		v.old, v.young = v.young, make(map[verdictKey]bool, mostVerdicts/2)
	}
	v.young[k] = good
}

// remember notes what is known already.
func (v *verdicts) remember(id, stored, password string) {
	k := v.key(id, stored, password)
	v.mu.Lock()
	defer v.mu.Unlock()
	v.rememberLocked(k, true)
}

// check tells whether the password of a credential is good. Only a few are looked at
// closely at a time; equal ones wait for the one that is.
func (v *verdicts) check(id, stored, password, consumer string) (bool, error) {
	if isKongs(stored) {
		return isDigest(stored, password, consumer), nil
	}
	k := v.key(id, stored, password)
	if good, known := v.known(k); known {
		return good, nil
	}
	return v.slow(k, stored, password, consumer)
}

func (v *verdicts) slow(k verdictKey, stored, password, consumer string) (bool, error) {
	v.mu.Lock()
	if good, known := v.young[k]; known {
		v.mu.Unlock()
		return good, nil
	}
	if v.waiting >= mostWaiting {
		v.mu.Unlock()
		return false, errBusy
	}
	v.waiting++
	f := v.inFlight[k]
	mine := f == nil
	if mine {
		f = &flight{done: make(chan struct{})}
		v.inFlight[k] = f
	}
	v.mu.Unlock()
	if !mine {
		<-f.done
		v.mu.Lock()
		v.waiting--
		v.mu.Unlock()
		return f.good, nil
	}
	v.checking <- struct{}{}
	f.good = verify(stored, password, consumer)
	<-v.checking
	v.mu.Lock()
	v.rememberLocked(k, f.good)
	delete(v.inFlight, k)
	v.waiting--
	v.mu.Unlock()
	close(f.done)
	return f.good, nil
}
