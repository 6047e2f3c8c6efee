package session

import (
	"slices"
	"strconv"
	"time"

	"github.com/sluice-gateway/sluice/shared/pdk"
)

// state is one session.
type state struct {
	ID         string   `json:"i"`
	Audience   string   `json:"a"`
	Subject    string   `json:"s,omitempty"`
	Consumer   string   `json:"u,omitempty"`
	Credential string   `json:"c,omitempty"`
	Groups     []string `json:"g,omitempty"`
	// Created is when it began, Rolled when it was renewed, Touched when it was last noted
	// to be used: seconds since 1970.
	Created int64 `json:"b"`
	Rolled  int64 `json:"r"`
	Touched int64 `json:"t"`
}

// span is how long sessions of a kind live, in seconds; 0 is forever.
type span struct {
	idling, rolling, absolute int64
}

// touchEvery bounds how often a session is noted to be used, in seconds.
const touchEvery = 60

// left returns the seconds that are left of one timeout, and false when it is off.
func left(from, timeout, now int64) (int64, bool) {
	if timeout <= 0 {
		return 0, false
	}
	return max(0, from+timeout-now), true
}

// remaining returns the seconds until the session ends, false for never.
func (s *state) remaining(t span, now int64) (int64, bool) {
	least, ends := int64(0), false
	for _, p := range [][2]int64{{s.Touched, t.idling}, {s.Rolled, t.rolling}, {s.Created, t.absolute}} {
		if n, on := left(p[0], p[1], now); on && (!ends || n < least) {
			least, ends = n, true
		}
	}
	return least, ends
}

// ended tells whether the session is over.
func (s *state) ended(t span, now int64) bool {
	n, ends := s.remaining(t, now)
	return ends && n == 0
}

// worn tells whether the session is in its last quarter and must be renewed.
func (s *state) worn(t span, now int64) bool {
	n, on := left(s.Rolled, t.rolling, now)
	return on && n*4 < t.rolling
}

// stale tells whether the session must be noted to be used.
func (s *state) stale(t span, now int64) bool {
	return t.idling > 0 && now-s.Touched >= min(touchEvery, max(1, t.idling/4))
}

// tell sets the headers that are asked for.
func (s *state) tell(x *pdk.Exchange, h *pdk.Header, facts []string, t span, now int64) {
	set := func(name, fact, value string) {
		if slices.Contains(facts, fact) {
			h.Set(name, value)
		}
	}
	seconds := func(name, fact string, from, timeout int64) {
		if n, on := left(from, timeout, now); on && slices.Contains(facts, fact) {
			h.Set(name, x.Text.Int(n))
		}
	}
	set("Session-Id", "id", s.ID)
	set("Session-Audience", "audience", s.Audience)
	if s.Subject != "" {
		set("Session-Subject", "subject", s.Subject)
	}
	if n, ends := s.remaining(t, now); ends {
		set("Session-Timeout", "timeout", strconv.FormatInt(n, 10))
	}
	seconds("Session-Idling-Timeout", "idling-timeout", s.Touched, t.idling)
	seconds("Session-Rolling-Timeout", "rolling-timeout", s.Rolled, t.rolling)
	seconds("Session-Absolute-Timeout", "absolute-timeout", s.Created, t.absolute)
}

func seconds(f float64) int64 { return int64(time.Duration(f * float64(time.Second)).Seconds()) }
