package store

import "errors"

// Sentinels of opening.
var (
	// ErrDamaged means that the store's file is torn or holds something else than was
	// written. Nothing of it may be served.
	ErrDamaged = errors.New("store is damaged")
	// ErrInUse means that another process has the store open.
	ErrInUse = errors.New("store is in use by another process")
	// ErrKey means that the store is encrypted with another key than those given.
	ErrKey = errors.New("store can't be decrypted")
	// ErrNewer means that a newer version of the product wrote the store.
	ErrNewer = errors.New("store was written by a newer version")
)

// Sentinels of reads.
var (
	ErrNotFound = errors.New("not found")
	// ErrCompacted means that the change log does not reach back that far.
	ErrCompacted = errors.New("change log compacted")
)

// Sentinels of writes.
var (
	ErrConflict = errors.New("unique index conflict")
	ErrClosed   = errors.New("store closed")
	// ErrReadOnly means that an earlier fsync failed: nothing is written any more.
	ErrReadOnly = errors.New("store read-only after a write error")
	// ErrWrongKind means that a streamed kind was written as a local one, or the
	// other way round.
	ErrWrongKind = errors.New("kind is kept the other way")
)

// ConflictError says which exclusive index entry belongs to another entity.
type ConflictError struct {
	Index, Key, ID string
}

func (e *ConflictError) Error() string { return "index " + e.Index + " has " + e.Key + " for " + e.ID }

// Is makes errors.Is(err, ErrConflict) true.
func (e *ConflictError) Is(target error) bool { return target == ErrConflict }
