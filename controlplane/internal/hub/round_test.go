package hub_test

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/sluice-gateway/sluice/controlplane/internal/hub"
	"github.com/sluice-gateway/sluice/controlplane/internal/snapshot"
	"github.com/sluice-gateway/sluice/controlplane/internal/store"
	"github.com/sluice-gateway/sluice/controlplane/internal/store/bolt"
)

// counting is an encoder that counts frames.
type counting struct{ frames atomic.Int64 }

func (c *counting) Frame(*snapshot.Frame, snapshot.Form) ([]byte, error) {
	c.frames.Add(1)
	return []byte("frame"), nil
}

func (c *counting) List([]store.Change, snapshot.Form) (snapshot.Part, error) {
	return snapshot.Part{}, nil
}

func (c *counting) Chunk(*snapshot.Chunk, snapshot.Form) ([]byte, error) {
	return []byte("chunk"), nil
}

func (c *counting) Manifest(*snapshot.Manifest) ([]byte, error) { return []byte("manifest"), nil }

// fleet is a hub with nodes that serve its head.
type fleet struct {
	t        *testing.T
	store    *bolt.Store
	encoder  *counting
	sessions []*hub.Session
}

func newFleet(t *testing.T, n int, now func() time.Time) *fleet {
	t.Helper()
	st, err := bolt.Open(t.Context(), bolt.Options{Path: filepath.Join(t.TempDir(), "db")})
	if err != nil {
		t.Fatal(err)
	}
	f := &fleet{t: t, store: st, encoder: &counting{}}
	f.put("first")
	source, err := snapshot.New(snapshot.Options{Store: st, Encoder: f.encoder, Kinds: []string{"services"}})
	if err != nil {
		t.Fatal(err)
	}
	h, err := hub.New(hub.Options{Store: st, Source: source, Now: now})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- h.Run(ctx) }()
	t.Cleanup(func() {
		for _, s := range f.sessions {
			s.Close(nil)
		}
		cancel()
		if err := errors.Join(<-done, st.Close()); err != nil {
			t.Error(err)
		}
	})
	head, err := st.Position()
	if err != nil {
		t.Fatal(err)
	}
	for range n {
		s, err := h.Connect(hub.Hello{NodeID: uuid.NewString(), BootID: uuid.NewString(), Position: head})
		if err != nil {
			t.Fatal(err)
		}
		f.sessions = append(f.sessions, s)
	}
	return f
}

func (f *fleet) put(id string) store.Position {
	f.t.Helper()
	p, err := f.store.Update(f.t.Context(), store.Info{}, func(tx store.WriteTx) error { return tx.Put("services", id, []byte(`{}`), nil) })
	if err != nil {
		f.t.Fatal(err)
	}
	return p
}

// next is what a node is sent next.
func (f *fleet) next(i int) *snapshot.Step {
	f.t.Helper()
	ctx, cancel := context.WithTimeout(f.t.Context(), 10*time.Second)
	defer cancel()
	d, err := f.sessions[i].Next(ctx, nil)
	if err != nil || d.Step == nil {
		f.t.Fatalf("node %d is sent %+v, %v", i, d, err)
	}
	return d.Step
}

// TestChangesGatherInRounds holds that a change leaves at once while nothing is on its
// way, and that those which come in the meantime leave together.
func TestChangesGatherInRounds(t *testing.T) {
	// By this clock no round ever takes long.
	began := time.Now()
	f := newFleet(t, 20, func() time.Time { return began })
	// The last node does not pick up.
	one := f.put("one")
	for i := range 19 {
		if step := f.next(i); step.To != one {
			t.Fatalf("node %d is sent revision %d, want %d", i, step.To.Revision, one.Revision)
		}
		f.sessions[i].Applied(one, 0, nil)
	}
	var last store.Position
	for i := range 10 {
		last = f.put(fmt.Sprint("more", i))
	}
	if step := f.next(19); step.To != one {
		t.Errorf("the last node of the round is sent revision %d, want %d", step.To.Revision, one.Revision)
	}
	f.sessions[19].Applied(one, 0, nil)
	var all sync.WaitGroup
	for _, session := range f.sessions {
		all.Go(func() {
			ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
			defer cancel()
			for at := one; at != last; {
				d, err := session.Next(ctx, nil)
				if err != nil || d.Step == nil {
					t.Errorf("after revision %d a node is sent %+v, %v", at.Revision, d, err)
					return
				}
				at = d.Step.To
				session.Applied(at, 0, nil)
			}
		})
	}
	all.Wait()
	// The hub may hear of the last of the ten while the second round is on its way.
	if n := f.encoder.frames.Load(); n > 4 {
		t.Errorf("%d frames were encoded for eleven changes to twenty nodes", n)
	}
}

// TestNodeThatDoesNotPickUpHoldsNobody for longer than a moment.
func TestNodeThatDoesNotPickUpHoldsNobody(t *testing.T) {
	f := newFleet(t, 2, nil)
	one := f.put("one")
	f.next(0)
	f.sessions[0].Applied(one, 0, nil)
	two := f.put("two")
	began := time.Now()
	if step := f.next(0); step.To != two {
		t.Errorf("revision %d", step.To.Revision)
	}
	if took := time.Since(began); took > 5*time.Second {
		t.Errorf("after %v", took)
	}
	// The one that was away gets everything at once.
	if step := f.next(1); step.To != two {
		t.Errorf("revision %d", step.To.Revision)
	}
}
