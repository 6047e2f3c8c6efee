package sink

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"

	"github.com/sluice-gateway/sluice/shared/pdk/queue"
)

// Feed is a queue and the sink that it feeds, which end together: what a plugin keeps on
// a node between configs.
type Feed struct {
	*queue.Queue
	sink io.Closer
}

// NewFeed starts the queue.
func NewFeed(o queue.Options, sink io.Closer) *Feed { return &Feed{queue.New(o), sink} }

// Close sends what waits and closes the sink.
func (f *Feed) Close() error {
	f.Queue.Close()
	return f.sink.Close()
}

// Joined returns a function for queue.Options.Send that sends the entries of a batch as
// one body: between before and after, with a comma between two.
func Joined(before, comma, after string, send func(ctx context.Context, body []byte) error) func(ctx context.Context, batch []*queue.Entry) error {
	return func(ctx context.Context, batch []*queue.Entry) error {
		n := len(before) + len(after)
		for _, e := range batch {
			n += len(e.B) + len(comma)
		}
		body := append(make([]byte, 0, n), before...)
		for i, e := range batch {
			if i > 0 {
				body = append(body, comma...)
			}
			body = append(body, e.B...)
		}
		return send(ctx, append(body, after...))
	}
}

// Key names the state of a config: equal for configs that send alike, and without what is
// secret in them.
func Key(config any) (string, error) {
	b, err := json.Marshal(config)
	if err != nil {
		return "", fmt.Errorf("encode config: %w", err)
	}
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:16]), nil
}

// Fire is the queue's config for plugins that have none: entries are sent at once, or
// within 2 ms where batches have more than one, what can not be delivered is lost.
func Fire(batch int) queue.Config {
	c := queue.Config{MaxBatchSize: batch, MaxEntries: 10000, MaxRetryTime: -1, ConcurrencyLimit: 1}
	if batch > 1 {
		c.MaxCoalescingDelay = 0.002
	}
	return c
}
