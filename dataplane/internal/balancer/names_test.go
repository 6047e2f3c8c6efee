package balancer_test

import (
	"context"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"net/netip"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sluice-gateway/sluice/dataplane/internal/balancer"
	"github.com/sluice-gateway/sluice/shared/entity"
	"github.com/sluice-gateway/sluice/shared/pdk"
)

// resolver answers questions for addresses from a list, without a network.
type resolver struct {
	mu sync.Mutex
	// addresses of every name; none means that names do not exist.
	addresses []netip.Addr
	// after is how long an answer takes.
	after time.Duration
	// asked counts questions for IPv4 addresses.
	asked int
}

func (r *resolver) say(after time.Duration, addresses ...string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.addresses, r.after = nil, after
	for _, a := range addresses {
		r.addresses = append(r.addresses, netip.MustParseAddr(a))
	}
}

func (r *resolver) questions() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.asked
}

func (r *resolver) net() *net.Resolver {
	return &net.Resolver{PreferGo: true, Dial: func(context.Context, string, string) (net.Conn, error) {
		client, server := net.Pipe()
		go r.serve(server)
		return client, nil
	}}
}

func (r *resolver) serve(nc net.Conn) {
	defer func() { _ = nc.Close() }()
	for {
		var size [2]byte
		if _, err := io.ReadFull(nc, size[:]); err != nil {
			return
		}
		q := make([]byte, binary.BigEndian.Uint16(size[:]))
		if _, err := io.ReadFull(nc, q); err != nil {
			return
		}
		r.mu.Lock()
		after := r.after
		answer := r.answer(q)
		r.mu.Unlock()
		time.Sleep(after)
		if _, err := nc.Write(append(binary.BigEndian.AppendUint16(nil, uint16(len(answer))), answer...)); err != nil {
			return
		}
	}
}

// answer makes the message that answers a question.
func (r *resolver) answer(q []byte) []byte {
	end := 12
	for q[end] != 0 {
		end += int(q[end]) + 1
	}
	kind := binary.BigEndian.Uint16(q[end+1:])
	var records []byte
	n := 0
	for _, a := range r.addresses {
		if a.Is4() != (kind == 1) {
			continue
		}
		b := a.AsSlice()
		records = append(records, 0xc0, 12, 0, byte(kind), 0, 1, 0, 0, 0, 60, 0, byte(len(b)))
		records = append(records, b...)
		n++
	}
	if kind == 1 {
		r.asked++
	}
	out := append([]byte{q[0], q[1], 0x81, 0x80, 0, 1, 0, byte(n), 0, 0, 0, 0}, q[12:end+5]...)
	if len(r.addresses) == 0 {
		out[3] |= 3 // no such name
	}
	return append(out, records...)
}

// inBubble runs fn with a balancer that asks r, with time that passes when all wait.
func inBubble(t *testing.T, fn func(t *testing.T, r *resolver, b *balancer.Balancer)) {
	t.Helper()
	// The system's settings are read once, and not in a bubble.
	outside := &resolver{}
	_, _ = outside.net().LookupNetIP(t.Context(), "ip4", "settings.test.")
	synctest.Test(t, func(t *testing.T) {
		r := &resolver{}
		b := balancer.New(balancer.Options{Resolver: r.net(), ValidTTL: 10 * time.Second, StaleTTL: time.Minute, ErrorTTL: time.Second})
		fn(t, r, b)
		b.Close()
		time.Sleep(time.Minute) // the resolver's own goroutines end
	})
}

func direct(t *testing.T, b *balancer.Balancer) string {
	t.Helper()
	p, err := b.Direct(t.Context(), "name.test.", 80)
	if err != nil {
		return err.Error()
	}
	if p.Host != "name.test." || p.Port != 80 {
		t.Errorf("the peer is %+v", p)
	}
	return p.Address
}

func TestNamesAreRemembered(t *testing.T) {
	inBubble(t, func(t *testing.T, r *resolver, b *balancer.Balancer) {
		r.say(0, "10.0.0.1", "10.0.0.2", "::1")
		for _, want := range []string{"10.0.0.1:80", "10.0.0.2:80", "10.0.0.1:80"} {
			if got := direct(t, b); got != want {
				t.Errorf("%s, want %s: addresses take turns, the ones of version 4", got, want)
			}
		}
		if r.questions() != 1 {
			t.Errorf("%d questions, want 1", r.questions())
		}
		// An answer that is too old serves while another one is fetched.
		time.Sleep(11 * time.Second)
		r.say(2*time.Second, "10.0.0.9")
		began := time.Now()
		for range 3 {
			if got := direct(t, b); got != "10.0.0.1:80" && got != "10.0.0.2:80" {
				t.Errorf("%s is not the stale answer", got)
			}
		}
		if time.Since(began) != 0 {
			t.Error("a stale answer lets requests wait")
		}
		time.Sleep(3 * time.Second)
		if got := direct(t, b); got != "10.0.0.9:80" || r.questions() != 2 {
			t.Errorf("%s after %d questions, want the new answer after 2", got, r.questions())
		}
	})
}

func TestOnlyVersion6(t *testing.T) {
	inBubble(t, func(t *testing.T, r *resolver, b *balancer.Balancer) {
		r.say(0, "2001:db8::1")
		if got := direct(t, b); got != "[2001:db8::1]:80" {
			t.Error(got)
		}
	})
}

// TestStaleAnswersEnd holds that a name which is gone is served for StaleTTL, no longer.
func TestStaleAnswersEnd(t *testing.T) {
	inBubble(t, func(t *testing.T, r *resolver, b *balancer.Balancer) {
		r.say(0, "10.0.0.1")
		direct(t, b)
		r.say(0)
		began := time.Now()
		for {
			time.Sleep(500 * time.Millisecond)
			if got := direct(t, b); got != "10.0.0.1:80" {
				if took := time.Since(began); took < 69*time.Second || took > 73*time.Second || got != balancer.ErrResolve.Error() {
					t.Errorf("after %v: %s, want the answer for 70s and then an error", took, got)
				}
				break
			}
			if time.Since(began) > 10*time.Minute {
				t.Fatal("a name that is gone is served for ever")
			}
		}
		// Failures of refreshing are asked again each ErrorTTL, not each time.
		if n := r.questions(); n > 70 {
			t.Errorf("%d questions in 70s", n)
		}
		r.say(0, "10.0.0.2")
		time.Sleep(1500 * time.Millisecond)
		if got := direct(t, b); got != "10.0.0.2:80" {
			t.Errorf("the name that is there again: %s", got)
		}
	})
}

func TestErrorsAreRemembered(t *testing.T) {
	inBubble(t, func(t *testing.T, r *resolver, b *balancer.Balancer) {
		r.say(0)
		for range 5 {
			if got := direct(t, b); got != balancer.ErrResolve.Error() {
				t.Errorf("%s", got)
			}
		}
		asked := r.questions()
		if asked != 1 {
			t.Errorf("%d questions within ErrorTTL, want 1", asked)
		}
		r.say(0, "10.0.0.1")
		time.Sleep(1100 * time.Millisecond)
		if got := direct(t, b); got != "10.0.0.1:80" {
			t.Errorf("after ErrorTTL: %s", got)
		}
	})
}

// TestQuestionsAreShared holds that a name is asked for once at a time, that requests
// whose context ends do not wait, and that a question ends with the balancer.
func TestQuestionsAreShared(t *testing.T) {
	inBubble(t, func(t *testing.T, r *resolver, b *balancer.Balancer) {
		r.say(time.Second, "10.0.0.1")
		var wait sync.WaitGroup
		for range 10 {
			wait.Go(func() {
				if got := direct(t, b); got != "10.0.0.1:80" {
					t.Error(got)
				}
			})
		}
		wait.Wait()
		if r.questions() != 1 {
			t.Errorf("%d questions, want 1", r.questions())
		}
		ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
		defer cancel()
		began := time.Now()
		if _, err := b.Direct(ctx, "slow.test.", 80); !errors.Is(err, balancer.ErrResolve) || time.Since(began) != 300*time.Millisecond {
			t.Errorf("%v after %v", err, time.Since(began))
		}
	})
}

// TestTargetsWithNames holds that a target which does not resolve is passed over.
func TestTargetsWithNames(t *testing.T) {
	inBubble(t, func(t *testing.T, r *resolver, b *balancer.Balancer) {
		r.say(0)
		u := b.Upstream(&entity.Upstream{ID: "u"}, []*entity.Target{
			{ID: "a", Target: "gone.test.:80", Weight: 100}, {ID: "b", Target: "10.0.0.1:81", Weight: 100}, {ID: "c", Target: "10.0.0.1:82"},
		})
		for range 6 {
			if p := pick(t, u, nil, nil); p.Port != 81 {
				t.Errorf("goes to %d", p.Port)
			}
		}
		if h := u.Health(); h["a"].Health != "DNS_ERROR" || h["b"].Health != "HEALTHCHECKS_OFF" {
			t.Errorf("%+v", h)
		}
		only := b.Upstream(&entity.Upstream{ID: "v"}, []*entity.Target{{ID: "a", Target: "gone.test.:80", Weight: 100}, {ID: "b", Target: "10.0.0.1:81"}})
		if _, err := only.Pick(t.Context(), &pdk.Exchange{}, &balancer.Skip{}); !errors.Is(err, balancer.ErrNoPeer) {
			t.Errorf("nothing but names that are gone: %v", err)
		}
	})
}
