package access_test

import (
	"errors"
	"net/netip"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/sluice-gateway/sluice/controlplane/internal/access"
	"github.com/sluice-gateway/sluice/controlplane/internal/store"
	"github.com/sluice-gateway/sluice/controlplane/internal/store/bolt"
)

func open(t *testing.T, path string) *bolt.Store {
	t.Helper()
	st, err := bolt.Open(t.Context(), bolt.Options{Path: path})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = st.Close() })
	return st
}

type clock struct{ at time.Time }

func (c *clock) now() time.Time { return c.at }

func TestTokens(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s.db")
	st := open(t, path)
	c := &clock{time.Unix(1_800_000_000, 0)}
	tokens, err := access.NewTokens(st, c.now)
	if err != nil {
		t.Fatal(err)
	}
	known, token, err := tokens.Create(t.Context(), access.Request{Name: "ci", Role: access.Editor, ExpiresAt: c.at.Add(time.Hour)})
	if err != nil {
		t.Fatal(err)
	}
	if got, err := tokens.Authenticate(token); err != nil || got.ID != known.ID {
		t.Fatalf("the token is not good: %v", err)
	}
	if _, _, err := tokens.Create(t.Context(), access.Request{Name: "ci", Role: access.Admin}); !errors.Is(err, access.ErrNameTaken) {
		t.Errorf("a name twice: %v", err)
	}
	last := token[len(token)-1]
	flipped := token[:len(token)-1] + string(last^1)
	for name, wrong := range map[string]string{
		"another end": flipped, "cut": token[:len(token)-1], "longer": token + "A", "prefix only": known.Prefix, "other mark": "x" + token[1:],
		"unknown prefix": "sluice_0000000000000000" + token[len(known.Prefix):], "endless": token + strings.Repeat("a", 1<<20), "spaces": " " + token,
	} {
		if _, err := tokens.Authenticate(wrong); !errors.Is(err, access.ErrUnknown) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := tokens.Authenticate(""); !errors.Is(err, access.ErrNone) {
		t.Errorf("no token: %v", err)
	}
	again, err := access.NewTokens(st, c.now)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := again.Authenticate(token); err != nil {
		t.Errorf("after a restart: %v", err)
	}
	if err := st.View(func(tx store.Tx) error {
		return tx.List(access.Kind, "", 10, func(_ string, body []byte) bool {
			if strings.Contains(string(body), token[len(known.Prefix)+1:]) {
				t.Error("the token is in the store")
			}
			return true
		})
	}); err != nil {
		t.Fatal(err)
	}
	c.at = c.at.Add(time.Hour)
	if got, err := tokens.Authenticate(token); !errors.Is(err, access.ErrExpired) || got == nil {
		t.Errorf("expired: %v", err)
	}
	c.at = c.at.Add(-time.Hour)
	if _, err := tokens.Revoke(t.Context(), "ci"); err != nil {
		t.Fatal(err)
	}
	if _, err := tokens.Authenticate(token); !errors.Is(err, access.ErrUnknown) {
		t.Errorf("revoked: %v", err)
	}
	if _, err := tokens.Revoke(t.Context(), "ci"); !errors.Is(err, access.ErrNotFound) {
		t.Errorf("revoked twice: %v", err)
	}
	if p, err := st.Position(); err != nil || p.Revision != 0 {
		t.Errorf("tokens make revisions: %v %v", p, err)
	}
}

func TestRequestsAreChecked(t *testing.T) {
	now := time.Unix(1_800_000_000, 0)
	for field, r := range map[string]access.Request{
		"name":       {Role: access.Admin},
		"role":       {Name: "x"},
		"expires_at": {Name: "x", Role: access.Admin, ExpiresAt: now},
		"comment":    {Name: "x", Role: access.Admin, Comment: strings.Repeat("c", 2000)},
	} {
		if got, err := r.Check(now); err == nil || got != field {
			t.Errorf("%s: %q %v", field, got, err)
		}
	}
	for _, name := range []string{"a b", strings.Repeat("n", 200), "a\n", "é"} {
		r := access.Request{Name: name, Role: access.Admin}
		if got, err := r.Check(now); err == nil || got != "name" {
			t.Errorf("name %q: %q %v", name, got, err)
		}
	}
	for _, role := range []access.Role{"root", "Admin", "read_only"} {
		r := access.Request{Name: "x", Role: role}
		if got, err := r.Check(now); err == nil || got != "role" {
			t.Errorf("role %q: %q %v", role, got, err)
		}
	}
}

// TestRoles spells the whole matrix out: r, e and a are the roles that may, b an admin who
// is bound to the workspace "team".
func TestRoles(t *testing.T) {
	type use = access.Use
	for _, test := range []struct {
		use  use
		want string
	}{
		{use{access.Read, access.Information, ""}, "reab"},
		{use{access.Create, access.Information, ""}, "ea"},
		{use{access.Read, access.Entities, ""}, "rea"},
		{use{access.Read, access.Entities, "team"}, "reab"},
		{use{access.Create, access.Entities, "team"}, "eab"},
		{use{access.Update, access.Entities, "team"}, "eab"},
		{use{access.Delete, access.Entities, "other"}, "ea"},
		{use{access.Delete, access.Entities, "default"}, "ea"},
		{use{access.Read, access.Configuration, "team"}, "rea"},
		{use{access.Create, access.Configuration, ""}, "ea"},
		{use{access.Read, access.Operations, ""}, "rea"},
		{use{access.Update, access.Operations, ""}, "a"},
		{use{access.Read, access.Workspaces, ""}, "rea"},
		{use{access.Create, access.Workspaces, ""}, "a"},
		{use{access.Read, access.Security, ""}, "a"},
		{use{access.Delete, access.Security, "team"}, "a"},
		{use{access.Read, 0, ""}, "a"},
	} {
		got := ""
		for _, who := range []struct {
			mark  string
			token access.Token
		}{
			{"r", access.Token{Role: access.ReadOnly}},
			{"e", access.Token{Role: access.Editor}},
			{"a", access.Token{Role: access.Admin}},
			{"b", access.Token{Role: access.Admin, Workspace: "team"}},
		} {
			if who.token.Allows(test.use) {
				got += who.mark
			}
		}
		if got != test.want {
			t.Errorf("%+v: %q may, want %q", test.use, got, test.want)
		}
	}
	inDefault := access.Token{Role: access.ReadOnly, Workspace: "default"}
	if !inDefault.Allows(use{access.Read, access.Entities, ""}) || inDefault.Allows(use{access.Create, access.Entities, ""}) {
		t.Error("a reader of the default workspace")
	}
	if (&access.Token{Role: "x"}).Allows(use{access.Create, access.Entities, ""}) {
		t.Error("an unknown role writes")
	}
}

func TestThrottle(t *testing.T) {
	c := &clock{time.Unix(1_800_000_000, 0)}
	th := access.NewThrottle(c.now)
	a := netip.MustParseAddr("192.0.2.1")
	var holds []time.Duration
	for range 13 {
		hold, release := th.Failed(a)
		holds = append(holds, hold)
		release()
	}
	ms := time.Millisecond
	want := []time.Duration{0, 0, 0, 0, 0, 250 * ms, 500 * ms, 1000 * ms, 2000 * ms, 4000 * ms, 8000 * ms, 10000 * ms, 10000 * ms}
	for i := range want {
		if holds[i] != want[i] {
			t.Fatalf("held %v, want %v", holds, want)
		}
	}
	if hold, _ := th.Failed(netip.MustParseAddr("192.0.2.2")); hold != 0 {
		t.Error("another address is held")
	}
	var releases []func()
	for range 4 {
		if _, blocked := th.Blocked(a); blocked {
			t.Fatal("blocked too early")
		}
		_, release := th.Failed(a)
		releases = append(releases, release)
	}
	if after, blocked := th.Blocked(a); !blocked || after != 10*time.Second {
		t.Errorf("not blocked with four held: %v", after)
	}
	releases[0]()
	if _, blocked := th.Blocked(a); blocked {
		t.Error("still blocked")
	}
	c.at = c.at.Add(11 * time.Minute)
	if hold, _ := th.Failed(a); hold != 0 {
		t.Errorf("not forgotten: %v", hold)
	}
	// Clients of IPv6 have whole networks, and mapped addresses are those of IPv4.
	for i, text := range []string{"2001:db8::1", "2001:db8::2", "2001:db8::ffff:3", "2001:db8:0:0:9::", "2001:db8::5", "2001:db8::6"} {
		hold, _ := th.Failed(netip.MustParseAddr(text))
		if (i == 5) != (hold > 0) {
			t.Errorf("%s: held %v", text, hold)
		}
	}
	// Memory is bounded: the oldest are forgotten.
	for i := range 20_000 {
		th.Failed(netip.AddrFrom4([4]byte{10, byte(i >> 16), byte(i >> 8), byte(i)}))
	}
	if n := th.Addresses(); n > 10_000 {
		t.Errorf("%d addresses are remembered", n)
	}
}
