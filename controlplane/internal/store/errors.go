package store

import "errors"

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
)

// ConflictError says which exclusive index entry belongs to another entity.
type ConflictError struct {
	Index, Key, ID string
}

func (e *ConflictError) Error() string { return "index " + e.Index + " has " + e.Key + " for " + e.ID }

// Is makes errors.Is(err, ErrConflict) true.
func (e *ConflictError) Is(target error) bool { return target == ErrConflict }
