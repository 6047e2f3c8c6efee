// Package fleet plays data planes: thousands of nodes that speak the protocol of the
// config stream over TCP and TLS connections of their own, and do with a configuration
// what can be seen from outside, which is to acknowledge it. It owns the nodes'
// connections, when they come back, and what they saw when. It builds no configuration
// and proves no root: what a node says it serves is what it was told to say.
package fleet

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/google/uuid"

	configv1 "github.com/sluice-gateway/sluice/proto/gen/sluice/config/v1"
)

// Options of a Fleet.
type Options struct {
	// Address of the control plane, host:port.
	Address string
	// TLS of the nodes.
	TLS *tls.Config
	// Position that nodes say they serve when they connect for the first time.
	Position *configv1.Position
	// PersistDelay is how long after APPLIED a node says PERSISTED, as one does whose
	// disk takes that long; 0 says it at once and negative never.
	PersistDelay time.Duration
}

const (
	// What a data plane uses, see controlclient.
	minBackoff, maxBackoff = 100 * time.Millisecond, 15 * time.Second
	dialTimeout            = 20 * time.Second
	// dialling bounds how many nodes shake hands at a time: what a fleet does on many
	// machines, one machine must not do all at once to itself.
	dialling = 64
)

// Seen is what a fleet has seen.
type Seen struct {
	// Connected nodes have a welcome. Welcomes and Dials count since the start.
	Connected, Welcomes, Dials int64
	// LastWelcome is when the newest of them came, in nanoseconds since 1970.
	LastWelcome int64
	// Deliveries are frames and whole snapshots, Chunks the parts of snapshots.
	Deliveries, Chunks int64
	// Received are bytes of messages.
	Received int64
	// Errors are ends of streams that nobody wanted; Error is the last one.
	Errors int64
	Error  string
}

// Fleet is some nodes.
type Fleet struct {
	o     Options
	nodes []*Node
	slots chan struct{}
	later chan persisted
	work  sync.WaitGroup
	stop  context.CancelFunc
	ctx   context.Context //nolint:containedctx // the fleet's life; Close ends it

	connected, welcomes, dials, lastWelcome, deliveries, chunks, received, errors atomic.Int64

	mu       sync.Mutex
	lastErr  string
	progress *Progress
}

type persisted struct {
	node *Node
	wire *Conn
	at   *configv1.Position
	due  time.Time
}

// New makes a fleet without nodes.
func New(ctx context.Context, o Options) *Fleet {
	f := &Fleet{o: o, slots: make(chan struct{}, dialling), later: make(chan persisted, 1<<16), progress: NewProgress()}
	f.ctx, f.stop = context.WithCancel(ctx)
	f.work.Go(f.persist)
	f.work.Go(f.beat)
	return f
}

// Close ends all nodes.
func (f *Fleet) Close() {
	f.Resize(0)
	f.stop()
	f.work.Wait()
}

// Resize starts or ends nodes so that there are n. It does not wait for connections.
func (f *Fleet) Resize(n int) {
	for len(f.nodes) < n {
		node := &Node{fleet: f, id: uuid.NewString(), boot: uuid.NewString(), position: f.o.Position}
		ctx, stop := context.WithCancel(f.ctx)
		node.stop = stop
		node.done.Go(func() { node.run(ctx) })
		f.mu.Lock()
		f.nodes = append(f.nodes, node)
		f.mu.Unlock()
	}
	f.mu.Lock()
	ended := slices.Clone(f.nodes[n:])
	f.nodes = f.nodes[:n]
	f.mu.Unlock()
	for _, node := range ended {
		node.end()
	}
	for _, node := range ended {
		node.done.Wait()
	}
}

// Connected waits until n nodes are connected.
func (f *Fleet) Connected(ctx context.Context, n int) error {
	ticker := time.NewTicker(10 * time.Millisecond)
	defer ticker.Stop()
	for f.connected.Load() != int64(n) {
		select {
		case <-ctx.Done():
			s := f.Seen()
			return fmt.Errorf("%d of %d nodes are connected; %d errors, the last: %s: %w", s.Connected, n, s.Errors, s.Error, ctx.Err())
		case <-ticker.C:
		}
	}
	return nil
}

// Progress tells when positions were applied.
func (f *Fleet) Progress() *Progress { return f.progress }

// Seen returns the counts.
func (f *Fleet) Seen() Seen {
	f.mu.Lock()
	defer f.mu.Unlock()
	return Seen{
		Connected: f.connected.Load(), Welcomes: f.welcomes.Load(), Dials: f.dials.Load(), LastWelcome: f.lastWelcome.Load(),
		Deliveries: f.deliveries.Load(), Chunks: f.chunks.Load(), Received: f.received.Load(), Errors: f.errors.Load(), Error: f.lastErr,
	}
}

func (f *Fleet) fault(err error) {
	f.errors.Add(1)
	f.mu.Lock()
	f.lastErr = err.Error()
	f.mu.Unlock()
}

// persist says PERSISTED when it is time.
func (f *Fleet) persist() {
	for {
		select {
		case <-f.ctx.Done():
			return
		case p := <-f.later:
			if d := time.Until(p.due); d > 0 {
				timer := time.NewTimer(d)
				select {
				case <-f.ctx.Done():
					timer.Stop()
					return
				case <-timer.C:
				}
			}
			_ = p.wire.Send(ack(configv1.Ack_STATE_PERSISTED, p.at))
		}
	}
}

// beatInterval is what both sides keep.
const beatInterval = 5 * time.Second

// beat lets each node say that it lives, spread over the interval.
func (f *Fleet) beat() {
	const steps = 100
	ticker := time.NewTicker(beatInterval / steps)
	defer ticker.Stop()
	for step := 0; ; step = (step + 1) % steps {
		select {
		case <-f.ctx.Done():
			return
		case <-ticker.C:
		}
		f.mu.Lock()
		var due []*Node
		for i := step; i < len(f.nodes); i += steps {
			due = append(due, f.nodes[i])
		}
		f.mu.Unlock()
		for _, n := range due {
			n.beat()
		}
	}
}

func backoff(tries int) time.Duration {
	ceiling := min(minBackoff<<min(tries, 20), maxBackoff)
	return minBackoff/2 + rand.N(ceiling)
}

var errGoodbye = errors.New("goodbye")
