package fleet

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"google.golang.org/protobuf/proto"

	configv1 "github.com/sluice-gateway/sluice/proto/gen/sluice/config/v1"
)

// Node is one node of a fleet.
type Node struct {
	fleet    *Fleet
	id, boot string
	stop     context.CancelFunc
	done     sync.WaitGroup

	mu       sync.Mutex // guards what follows
	wire     *Conn
	position *configv1.Position
}

// run connects again and again.
func (n *Node) run(ctx context.Context) {
	for tries := 0; ctx.Err() == nil; tries++ {
		heard, hint, err := n.session(ctx)
		if ctx.Err() != nil {
			return
		}
		if heard {
			tries = 0
		}
		if !errors.Is(err, errGoodbye) {
			n.fleet.fault(err)
		}
		timer := time.NewTimer(max(backoff(tries), hint))
		select {
		case <-ctx.Done():
			timer.Stop()
		case <-timer.C:
		}
	}
}

// end closes the connection, and with it the node's goroutine.
func (n *Node) end() {
	n.stop()
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.wire != nil {
		n.wire.Close()
	}
}

func (n *Node) set(w *Conn) {
	n.mu.Lock()
	n.wire = w
	n.mu.Unlock()
}

func (n *Node) served() *configv1.Position {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.position
}

func (n *Node) beat() {
	n.mu.Lock()
	w, p := n.wire, n.position
	n.mu.Unlock()
	if w != nil {
		_ = w.Send(&configv1.SyncRequest{Message: &configv1.SyncRequest_Beat{Beat: &configv1.Beat{Position: p, SentAtNs: time.Now().UnixNano()}}})
	}
}

func (n *Node) session(ctx context.Context) (heard bool, hint time.Duration, err error) {
	f := n.fleet
	select {
	case f.slots <- struct{}{}:
	case <-ctx.Done():
		return false, 0, ctx.Err()
	}
	f.dials.Add(1)
	w, err := Dial(ctx, f.o.Address, f.o.TLS, dialTimeout)
	<-f.slots
	if err != nil {
		return false, 0, err
	}
	defer w.Close()
	err = w.Send(&configv1.SyncRequest{Message: &configv1.SyncRequest_Hello{Hello: &configv1.Hello{
		NodeId: n.id, BootId: n.boot, Hostname: "played", Version: "0.1.0", ProtocolMin: 1, ProtocolMax: 1,
		Position: n.served(), Features: []string{"zstd"}, Source: "stream",
	}}})
	if err != nil {
		return false, 0, err
	}
	n.set(w)
	defer n.set(nil)
	if ctx.Err() != nil {
		return false, 0, ctx.Err()
	}
	m := &configv1.SyncResponse{}
	for {
		b, err := w.receive()
		if err != nil {
			return heard, 0, err
		}
		if err := proto.Unmarshal(b, m); err != nil {
			return heard, 0, fmt.Errorf("decode: %w", err)
		}
		f.received.Add(int64(len(b)))
		if m.GetWelcome() != nil {
			heard = true
			f.welcomes.Add(1)
			f.lastWelcome.Store(time.Now().UnixNano())
			f.connected.Add(1)
			defer f.connected.Add(-1)
			continue
		}
		if g := m.GetGoodbye(); g != nil {
			return heard, time.Duration(g.GetRetryAfterMs()) * time.Millisecond, errGoodbye
		}
		if err := n.hear(w, m); err != nil {
			return heard, 0, err
		}
	}
}

func (n *Node) hear(w *Conn, m *configv1.SyncResponse) error {
	switch m := m.GetMessage().(type) {
	case *configv1.SyncResponse_Frame:
		return n.apply(w, m.Frame.GetTo())
	case *configv1.SyncResponse_SnapshotChunk:
		n.fleet.chunks.Add(1)
		if m.SnapshotChunk.GetIndex()+1 == m.SnapshotChunk.GetCount() {
			return n.apply(w, m.SnapshotChunk.GetTo())
		}
	}
	return nil
}

func ack(state configv1.Ack_State, p *configv1.Position) *configv1.SyncRequest {
	return &configv1.SyncRequest{Message: &configv1.SyncRequest_Ack{Ack: &configv1.Ack{State: state, Position: p, Serving: p, ApplyUs: 100}}}
}

func (n *Node) apply(w *Conn, p *configv1.Position) error {
	f := n.fleet
	n.mu.Lock()
	before := n.position.GetRevision()
	n.position = p
	n.mu.Unlock()
	f.deliveries.Add(1)
	f.progress.applied(before, p.GetRevision(), time.Now())
	switch d := f.o.PersistDelay; {
	case d == 0:
		return w.Send(ack(configv1.Ack_STATE_APPLIED, p), ack(configv1.Ack_STATE_PERSISTED, p))
	case d < 0:
		return w.Send(ack(configv1.Ack_STATE_APPLIED, p))
	default:
		if err := w.Send(ack(configv1.Ack_STATE_APPLIED, p)); err != nil {
			return err
		}
		select {
		case f.later <- persisted{node: n, wire: w, at: p, due: time.Now().Add(d)}:
		default: // a disk that is this far behind says it for a later position
		}
		return nil
	}
}
