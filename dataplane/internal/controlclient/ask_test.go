package controlclient_test

import (
	"context"
	"errors"
	"strings"
	"sync"
	"testing"
	"time"

	configv1 "github.com/sluice-gateway/sluice/proto/gen/sluice/config/v1"
	"github.com/sluice-gateway/sluice/shared/pdk"
)

// question returns what the node asks next.
func (s *stream) question() *configv1.Ask {
	for {
		m, err := s.Recv()
		if err != nil {
			s.t.Errorf("no question: %v", err)
			return nil
		}
		if a := m.GetAsk(); a != nil {
			return a
		}
	}
}

func (s *stream) answer(a *configv1.Answer) {
	s.say(&configv1.SyncResponse{Message: &configv1.SyncResponse_Answer{Answer: a}})
}

// connected waits until the client may ask.
func (c *client) connected(t *testing.T) {
	t.Helper()
	for !c.Facts().Connected {
		time.Sleep(time.Millisecond)
		if t.Context().Err() != nil {
			t.Fatal("not connected")
		}
	}
}

func TestAsking(t *testing.T) {
	c := newControl(t)
	node := c.start(&applier{}, nil)
	control := node.Control("oauth2")
	s := c.next(time.Second)
	node.connected(t)
	write := pdk.EntityWrite{Op: pdk.WriteInsert, Kind: "oauth2_tokens", ID: "i", Body: []byte(`{}`)}
	for _, test := range []struct {
		name   string
		answer configv1.Answer_Outcome
		err    error
	}{
		{"done", configv1.Answer_OUTCOME_DONE, nil},
		{"gone", configv1.Answer_OUTCOME_NOT_FOUND, pdk.ErrWriteGone},
		{"taken", configv1.Answer_OUTCOME_CONFLICT, pdk.ErrWriteConflict},
		{"not valid", configv1.Answer_OUTCOME_INVALID, pdk.ErrWriteRefused},
		{"forbidden", configv1.Answer_OUTCOME_FORBIDDEN, pdk.ErrWriteRefused},
		{"busy", configv1.Answer_OUTCOME_BUSY, pdk.ErrControlBusy},
		{"failed", configv1.Answer_OUTCOME_FAILED, nil},
	} {
		t.Run(test.name, func(t *testing.T) {
			var work sync.WaitGroup
			work.Go(func() {
				q := s.question()
				w := q.GetEntityWrites().GetWrites()
				if q.GetPlugin() != "oauth2" || len(w) != 1 || w[0].GetKind() != "oauth2_tokens" || w[0].GetOp() != configv1.EntityWrite_OP_INSERT || w[0].GetId() != "i" {
					t.Errorf("asked %v", q)
				}
				s.answer(&configv1.Answer{Id: q.GetId() + 99}) // to a question that nobody asked
				s.answer(&configv1.Answer{Id: q.GetId(), Outcome: test.answer, Error: "for people"})
			})
			err := control.Write(t.Context(), write)
			work.Wait()
			switch {
			case test.answer == configv1.Answer_OUTCOME_DONE:
				if err != nil {
					t.Error(err)
				}
			case err == nil || test.err != nil && !errors.Is(err, test.err) || !strings.Contains(err.Error(), "for people"):
				t.Errorf("got %v, want %v", err, test.err)
			}
		})
	}
	t.Run("lease", func(t *testing.T) {
		var work sync.WaitGroup
		work.Go(func() {
			q := s.question()
			r := q.GetLeaseRequests().GetRequests()
			if len(r) != 1 || r[0].GetCounter() != "c" || r[0].GetLimit() != 9 || r[0].GetWaiting() != 2 {
				t.Errorf("asked %v", q)
			}
			s.answer(&configv1.Answer{Id: q.GetId(), Outcome: configv1.Answer_OUTCOME_DONE, Grants: []*configv1.LeaseGrant{{Granted: 2, Taken: 5, Nodes: 3}}})
			q = s.question()
			s.answer(&configv1.Answer{Id: q.GetId(), Outcome: configv1.Answer_OUTCOME_DONE})
		})
		request := []pdk.LeaseRequest{{Counter: "c", Start: 1, End: 2, Limit: 9, Waiting: 2}}
		g, err := control.Lease(t.Context(), request)
		if err != nil || len(g) != 1 || g[0].Granted != 2 || g[0].Taken != 5 || g[0].Nodes != 3 {
			t.Errorf("granted %+v, %v", g, err)
		}
		if _, err := control.Lease(t.Context(), request); err == nil {
			t.Error("an answer without grants is taken")
		}
		work.Wait()
	})
	t.Run("no answer", func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
		defer cancel()
		if err := control.Write(ctx, write); !errors.Is(err, pdk.ErrControlAway) {
			t.Errorf("got %v", err)
		}
		s.question()
	})
	t.Run("too many", func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		var work sync.WaitGroup
		for range 64 {
			work.Go(func() { _ = control.Write(ctx, write) })
		}
		for range 64 {
			s.question()
		}
		short, stop := context.WithTimeout(t.Context(), 20*time.Millisecond)
		defer stop()
		if err := control.Write(short, write); !errors.Is(err, pdk.ErrControlBusy) {
			t.Errorf("got %v", err)
		}
		cancel()
		work.Wait()
	})
	t.Run("goes away", func(t *testing.T) {
		var work sync.WaitGroup
		work.Go(func() {
			s.question()
			s.end <- errors.New("gone")
		})
		if err := control.Write(t.Context(), write); !errors.Is(err, pdk.ErrControlAway) {
			t.Errorf("got %v", err)
		}
		work.Wait()
		node.stop()
		if err := control.Write(t.Context(), write); !errors.Is(err, pdk.ErrControlAway) {
			t.Errorf("without a control plane: %v", err)
		}
	})
}
