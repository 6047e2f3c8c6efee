package hub_test

import (
	"errors"
	"testing"
	"time"

	"github.com/sluice-gateway/sluice/controlplane/internal/hub"
)

// TestNoGoodbyeToWhoHasLeft holds that a sender that looks only after the wire has closed
// the session is told so, and has no goodbye without a reason to send.
func TestNoGoodbyeToWhoHasLeft(t *testing.T) {
	f := newFleet(t, 1, time.Now)
	s := f.sessions[0]
	s.Close(nil)
	if d, err := s.Next(t.Context(), nil); !errors.Is(err, hub.ErrClosed) {
		t.Errorf("got %+v and %v, want %v", d, err, hub.ErrClosed)
	}
}
