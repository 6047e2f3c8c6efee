package rpc

import (
	"errors"
	"time"
)

var errTooMuch = errors.New("the node says too much")

const (
	// A node that keeps to the protocol says some words a second: two acknowledgements of
	// what it is sent, a beat now and then, and questions of plugins, which are most.
	wordsPerSecond, wordsAtOnce = 5000, 20_000
	// bytesPerSecond and bytesAtOnce bound the same in bytes: inventories and reports.
	bytesPerSecond, bytesAtOnce = 1 << 20, 32 << 20
)

// budget bounds what a node says, so that one that floods is ended and the others are
// heard.
type budget struct {
	at           time.Time
	words, bytes float64 // left
}

func newBudget(now time.Time) budget { return budget{now, wordsAtOnce, bytesAtOnce} }

// take tells whether a word of a size is still within bounds.
func (b *budget) take(now time.Time, size int) bool {
	passed := max(0, now.Sub(b.at).Seconds())
	b.at = now
	b.words = min(b.words+passed*wordsPerSecond, wordsAtOnce) - 1
	b.bytes = min(b.bytes+passed*bytesPerSecond, bytesAtOnce) - float64(size)
	return b.words >= 0 && b.bytes >= 0
}
