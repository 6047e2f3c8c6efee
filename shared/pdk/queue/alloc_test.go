//go:build !race

// Under the race detector pools forget on purpose.
package queue_test

import (
	"context"
	"testing"

	"github.com/sluice-gateway/sluice/shared/pdk/queue"
)

func TestPutAllocations(t *testing.T) {
	c := defaults()
	c.MaxEntries = 64
	block := make(chan struct{})
	q := queue.New(queue.Options{Config: c, Send: func(context.Context, []*queue.Entry) error { <-block; return nil }})
	defer q.Close()
	defer close(block)
	for range 200 {
		put(q, "warm")
	}
	if n := testing.AllocsPerRun(1000, func() { put(q, "an entry") }); n > 0 {
		t.Errorf("%v allocations a put", n)
	}
}
