package controlclient

import (
	"math/rand/v2"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// retry waits a random part of a time that doubles (full jitter), so that a fleet does
// not come back at once.
type retry struct {
	min, max, now time.Duration
}

func (b *retry) reset() { b.now = 0 }

// next returns how long to wait after an error.
func (b *retry) next(err error) time.Duration {
	b.now = min(max(b.now*2, b.min), b.max)
	ceiling := b.now
	switch status.Code(err) { //nolint:exhaustive // the others are ordinary
	case codes.Unauthenticated, codes.PermissionDenied, codes.AlreadyExists, codes.FailedPrecondition, codes.InvalidArgument:
		// Nothing that passes by itself. Trying never stops: a certificate may be replaced.
		ceiling = b.max
	}
	return b.min/2 + rand.N(ceiling)
}
