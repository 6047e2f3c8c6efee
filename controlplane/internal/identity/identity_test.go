package identity_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/sluice-gateway/sluice/controlplane/internal/identity"
	"github.com/sluice-gateway/sluice/controlplane/internal/store"
	"github.com/sluice-gateway/sluice/controlplane/internal/store/bolt"
	"github.com/sluice-gateway/sluice/shared/tlsutil"
)

// cluster is an authority on a store, with a clock that tests set.
type cluster struct {
	*identity.Authority

	t     *testing.T
	dir   string
	store *bolt.Store
	now   time.Time
}

func newCluster(t *testing.T) *cluster {
	t.Helper()
	c := &cluster{t: t, dir: t.TempDir(), now: time.Unix(1_800_000_000, 0)}
	st, err := bolt.Open(t.Context(), bolt.Options{Path: filepath.Join(c.dir, "s.db")})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = st.Close() })
	c.store = st
	c.open()
	return c
}

// open reads everything again, as a restart does.
func (c *cluster) open() {
	c.t.Helper()
	var err error
	c.Authority, err = identity.New(identity.Options{Dir: c.dir, Store: c.store, Life: time.Hour, Grace: 10 * time.Hour, Now: func() time.Time { return c.now }})
	if err != nil {
		c.t.Fatal(err)
	}
}

func (c *cluster) token(uses int) tlsutil.JoinLine {
	c.t.Helper()
	known, secret, err := c.CreateToken(c.t.Context(), identity.TokenRequest{Uses: uses})
	if err != nil {
		c.t.Fatal(err)
	}
	return c.JoinLine(known, secret, "cp:8005")
}

// node is one that joins.
type node struct {
	c    *cluster
	id   string
	key  *ecdsa.PrivateKey
	cert *x509.Certificate
}

func (c *cluster) node() *node {
	c.t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		c.t.Fatal(err)
	}
	return &node{c: c, id: uuid.NewString(), key: key}
}

func (n *node) request() []byte {
	n.c.t.Helper()
	b, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{}, n.key)
	if err != nil {
		n.c.t.Fatal(err)
	}
	return b
}

func (n *node) join(line tlsutil.JoinLine) error {
	issued, err := n.c.Join(n.c.t.Context(), identity.JoinRequest{TokenID: line.TokenID, Secret: line.Secret, NodeID: n.id, Hostname: "h", Request: n.request()})
	if err != nil {
		return err
	}
	n.cert, err = x509.ParseCertificate(issued.Certificate)
	return err
}

func (n *node) renew() error {
	issued, err := n.c.Renew(n.c.t.Context(), n.cert, n.request())
	if err != nil {
		return err
	}
	n.cert, err = x509.ParseCertificate(issued.Certificate)
	return err
}

// admit tells what becomes of a stream under an id.
func (n *node) admit(id string) error { return n.c.Admit(n.shown(), id) }

func (n *node) shown() tls.ConnectionState {
	s := tls.ConnectionState{ServerName: n.c.Pin().ServerName()}
	if n.cert != nil {
		s.PeerCertificates = []*x509.Certificate{n.cert}
	}
	return s
}

func (c *cluster) is(what string, got, want error) {
	c.t.Helper()
	if !errors.Is(got, want) {
		c.t.Errorf("%s: %v, want %v", what, got, want)
	}
}

func TestTokens(t *testing.T) {
	c := newCluster(t)
	line := c.token(2)
	if got, err := tlsutil.ParseJoinLine(line.String()); err != nil || got != line {
		t.Fatalf("the line is not read back: %+v, %v", got, err)
	}
	first, second, third := c.node(), c.node(), c.node()
	c.is("first", first.join(line), nil)
	c.is("a second time with the same key", first.join(line), nil)
	wrong := line
	wrong.Secret = strings.Repeat("A", len(line.Secret))
	c.is("another secret", second.join(wrong), identity.ErrTokenUnknown)
	wrong = line
	wrong.TokenID = "0000000000000000"
	c.is("another id", second.join(wrong), identity.ErrTokenUnknown)
	c.open()
	c.is("second, after a restart", second.join(line), nil)
	c.is("third", third.join(line), identity.ErrTokenUsed)
	c.is("the first again, with its key", first.join(line), nil)
	first.key = third.key
	c.is("the first again, with another key", first.join(line), identity.ErrTokenUsed)
	if got := c.Token(line.TokenID); got.Used != 2 || got.State(c.now) != identity.UsedUp {
		t.Errorf("the token: %+v", got)
	}

	many, old := c.token(-1), c.token(0)
	for range 3 {
		c.is("any number", c.node().join(many), nil)
	}
	c.now = c.now.Add(time.Hour)
	c.is("expired", c.node().join(old), identity.ErrTokenExpired)
	if _, err := c.Authenticate(old.TokenID, "x"); !errors.Is(err, identity.ErrTokenUnknown) {
		t.Errorf("who has not the secret is told: %v", err)
	}
	fresh := c.token(0)
	c.is("revoke", c.RevokeToken(t.Context(), fresh.TokenID), nil)
	c.is("revoke again", c.RevokeToken(t.Context(), fresh.TokenID), identity.ErrNotFound)
	c.is("revoked", c.node().join(fresh), identity.ErrTokenUnknown)

	if err := c.store.View(func(tx store.Tx) error {
		return tx.List(identity.KindTokens, "", 100, func(_ string, body []byte) bool {
			for _, l := range []tlsutil.JoinLine{line, many, old} {
				if strings.Contains(string(body), l.Secret) {
					t.Error("a secret is in the store")
				}
			}
			return true
		})
	}); err != nil {
		t.Fatal(err)
	}
	if p, err := c.store.Position(); err != nil || p.Revision != 0 {
		t.Errorf("joining makes revisions: %v %v", p, err)
	}
}

// A token for one node is for one, however many come at the same time.
func TestOneUse(t *testing.T) {
	c := newCluster(t)
	line := c.token(1)
	var joined, refused atomic.Int32
	var wait sync.WaitGroup
	for range 16 {
		n := c.node()
		wait.Go(func() {
			switch err := n.join(line); {
			case err == nil:
				joined.Add(1)
			case errors.Is(err, identity.ErrTokenUsed):
				refused.Add(1)
			default:
				t.Error(err)
			}
		})
	}
	wait.Wait()
	if joined.Load() != 1 || refused.Load() != 15 {
		t.Errorf("%d nodes joined, %d were refused", joined.Load(), refused.Load())
	}
}

func TestWhoIsAdmitted(t *testing.T) {
	c := newCluster(t)
	n, other := c.node(), c.node()
	c.is("without a certificate", n.admit(n.id), identity.ErrNoCertificate)
	c.is("join", n.join(c.token(1)), nil)
	c.is("join", other.join(c.token(1)), nil)
	c.is("its own id", n.admit(n.id), nil)
	c.is("another id", n.admit(other.id), identity.ErrOtherNode)
	c.is("shared certificate, an id of its own", c.Admit(tls.ConnectionState{}, uuid.NewString()), nil)
	c.is("shared certificate, the id of a node that has joined", c.Admit(tls.ConnectionState{}, n.id), identity.ErrJoined)

	with := n.shown()
	with.ServerName = "" // as with pki and this very authority
	c.is("under another server name, another id", c.Admit(with, other.id), identity.ErrOtherNode)
	c.is("under another server name, its own id", c.Admit(with, n.id), nil)

	stranger := newCluster(t)
	s := stranger.node()
	c.is("join elsewhere", s.join(stranger.token(1)), nil)
	foreign := node{c: c, id: s.id, key: s.key, cert: s.cert}
	c.is("a certificate of another authority", foreign.admit(s.id), identity.ErrNoCertificate)
	c.is("its renewal", foreign.renew(), identity.ErrNoCertificate)

	// Only the authority's clock counts, and starts of validity do not.
	c.now = c.now.Add(-5 * 365 * 24 * time.Hour)
	c.is("the clock went back for years", n.admit(n.id), nil)
	c.now = time.Unix(1_800_000_000, 0).Add(time.Hour - time.Second)
	c.is("at its end", n.admit(n.id), nil)
	c.now = c.now.Add(time.Second)
	c.is("after its end", n.admit(n.id), identity.ErrExpired)
	c.is("renewal after its end", n.renew(), nil)
	c.is("with the new one", n.admit(n.id), nil)
	c.now = c.now.Add(12 * time.Hour)
	c.is("renewal after the grace", n.renew(), identity.ErrExpired)
	c.is("join again", n.join(c.token(1)), nil)
	c.is("and in", n.admit(n.id), nil)
}

func TestRevokeAndForget(t *testing.T) {
	c := newCluster(t)
	n := c.node()
	c.is("join", n.join(c.token(1)), nil)
	c.is("revoke", c.Revoke(t.Context(), n.id), nil)
	for range 2 {
		c.is("revoked", n.admit(n.id), identity.ErrRevoked)
		c.is("renewal of a revoked one", n.renew(), identity.ErrRevoked)
		c.is("a token for a revoked one", n.join(c.token(1)), identity.ErrRevoked)
		c.is("with the shared certificate", c.Admit(tls.ConnectionState{}, n.id), identity.ErrRevoked)
		c.open()
	}
	old := n.cert
	c.is("forget", c.Forget(t.Context(), n.id), nil)
	c.is("forget twice", c.Forget(t.Context(), n.id), identity.ErrNotFound)
	c.is("the certificate of before", n.admit(n.id), identity.ErrReplaced)
	c.is("its renewal", n.renew(), identity.ErrReplaced)
	c.is("join anew", n.join(c.token(1)), nil)
	c.is("in", n.admit(n.id), nil)
	clone := node{c: c, id: n.id, key: n.key, cert: old}
	c.is("a copy of the certificate of before", clone.admit(n.id), identity.ErrReplaced)

	// Of a node nobody knows which epochs its certificates have.
	unseen := c.node()
	c.is("join", unseen.join(c.token(1)), nil)
	c.drop(unseen.id)
	c.open()
	c.is("unknown, with a good certificate", unseen.admit(unseen.id), nil)
	c.is("revoke", c.Revoke(t.Context(), unseen.id), nil)
	c.is("forget", c.Forget(t.Context(), unseen.id), nil)
	c.is("forgotten", unseen.admit(unseen.id), identity.ErrReplaced)

	// With a certificate for all.
	id := uuid.NewString()
	c.is("revoke a node with the shared certificate", c.Revoke(t.Context(), id), nil)
	c.is("it comes back", c.Admit(tls.ConnectionState{}, id), identity.ErrRevoked)
	c.is("forget it", c.Forget(t.Context(), id), nil)
	c.is("it comes back", c.Admit(tls.ConnectionState{}, id), nil)
}

// drop takes a node out of the store, as a restored backup of before it joined does.
func (c *cluster) drop(id string) {
	c.t.Helper()
	if _, err := c.store.Update(c.t.Context(), store.Info{}, func(tx store.WriteTx) error { return tx.DeleteLocal(identity.KindNodes, id) }); err != nil {
		c.t.Fatal(err)
	}
}

func TestAdopt(t *testing.T) {
	c := newCluster(t)
	n := c.node()
	c.is("join", n.join(c.token(1)), nil)
	c.drop(n.id)
	c.open()
	if c.Node(n.id) != nil {
		t.Fatal("still known")
	}
	c.is("adopt", c.Adopt(t.Context(), n.shown()), nil)
	c.is("with the shared certificate", c.Admit(tls.ConnectionState{}, n.id), identity.ErrJoined)
	c.is("forget", c.Forget(t.Context(), n.id), nil)
	c.is("forgotten", n.admit(n.id), identity.ErrReplaced)
	c.drop(n.id)
	c.open()
	c.is("renewal of an unknown one", n.renew(), nil)
	if got := c.Node(n.id); got == nil || got.Epoch != 1 {
		t.Errorf("kept is %+v", got)
	}
}

// What is kept does not grow with nodes and tokens that are long gone.
func TestOldRecordsAreDropped(t *testing.T) {
	c := newCluster(t)
	var gone []string
	for range 20 {
		n := c.node()
		c.is("join", n.join(c.token(1)), nil)
		gone = append(gone, n.id)
	}
	c.is("revoke", c.Revoke(t.Context(), gone[0]), nil)
	c.is("forget", c.Forget(t.Context(), gone[1]), nil)
	c.now = c.now.Add(8 * 24 * time.Hour)
	left := c.node()
	c.is("join", left.join(c.token(1)), nil)
	c.open()
	if n := len(c.Tokens()); n != 1 {
		t.Errorf("%d tokens are kept", n)
	}
	if nodes := c.Nodes(); len(nodes) != 1 || nodes[0].ID != left.id {
		t.Errorf("%d nodes are kept", len(nodes))
	}
	if c.Node(gone[0]) != nil || c.Node(gone[1]) != nil {
		t.Error("what was revoked or forgotten is kept although nothing of it can be used")
	}
}

func TestRequestsAreChecked(t *testing.T) {
	c := newCluster(t)
	line, n := c.token(0), c.node()
	good := n.request()
	ask := func(id string, request []byte) error {
		_, err := c.Join(t.Context(), identity.JoinRequest{TokenID: line.TokenID, Secret: line.Secret, NodeID: id, Request: request})
		return err
	}
	weak, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	other, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{}, weak)
	if err != nil {
		t.Fatal(err)
	}
	forged := append([]byte(nil), good...)
	forged[len(forged)-1] ^= 1
	for name, err := range map[string]error{
		"no UUID":          ask("../../etc", good),
		"UUID in braces":   ask("{"+n.id+"}", good),
		"no request":       ask(n.id, nil),
		"noise":            ask(n.id, []byte("x")),
		"huge":             ask(n.id, make([]byte, 1<<20)),
		"RSA":              ask(n.id, other),
		"forged signature": ask(n.id, forged),
	} {
		c.is(name, err, identity.ErrRequest)
	}
	if c.Token(line.TokenID).Used != 0 {
		t.Error("what was refused has used the token")
	}
	for field, r := range map[string]identity.TokenRequest{
		"ttl": {Life: time.Millisecond}, "uses": {Uses: 1 << 40}, "comment": {Comment: strings.Repeat("c", 2000)},
	} {
		if got, err := r.Check(); err == nil || got != field {
			t.Errorf("%s: %q %v", field, got, err)
		}
	}
}

func TestRenewalsAreBounded(t *testing.T) {
	c := newCluster(t)
	n := c.node()
	c.is("join", n.join(c.token(1)), nil)
	c.is("renew", n.renew(), nil)
	c.is("at once again", n.renew(), identity.ErrTooSoon)
	c.now = c.now.Add(time.Second)
	c.is("a second later", n.renew(), nil)
}

// The authority outlives its certificate: the key is what nodes know.
func TestAuthorityIsRenewed(t *testing.T) {
	c := newCluster(t)
	n, pin := c.node(), c.Pin()
	c.is("join", n.join(c.token(1)), nil)
	before, err := os.ReadFile(filepath.Join(c.dir, identity.CAFile))
	if err != nil {
		t.Fatal(err)
	}
	for _, years := range []int{5, 6, 30} { // half of its life, shortly before its end, after it
		c.now = c.now.AddDate(years, 0, 0)
		c.open()
		if c.Pin() != pin || c.Made() {
			t.Fatalf("after %d more years the authority is another one", years)
		}
		c.is("join", c.node().join(c.token(1)), nil)
	}
	after, err := os.ReadFile(filepath.Join(c.dir, identity.CAFile))
	if err != nil || string(after) == string(before) {
		t.Errorf("the certificate is the same: %v", err)
	}
	old := time.Unix(1_800_000_000, 0)
	c.now = old.Add(time.Minute)
	c.is("a certificate of the authority's first one", n.admit(n.id), nil)
	if err := os.Remove(filepath.Join(c.dir, identity.CAFile)); err != nil {
		t.Fatal(err)
	}
	c.open()
	if c.Pin() != pin {
		t.Error("a lost certificate makes another authority")
	}
	c.is("its nodes", n.admit(n.id), nil)
}

func TestAuthorityFiles(t *testing.T) {
	c := newCluster(t)
	key := filepath.Join(c.dir, identity.CAKeyFile)
	if info, err := os.Stat(key); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("mode of the key: %v, %v", info.Mode(), err)
	}
	again := func() error {
		_, err := identity.New(identity.Options{Dir: c.dir, Store: c.store})
		return err
	}
	text, err := os.ReadFile(key)
	if err != nil {
		t.Fatal(err)
	}
	other := newCluster(t)
	foreign, err := os.ReadFile(filepath.Join(other.dir, identity.CAKeyFile))
	if err != nil {
		t.Fatal(err)
	}
	for name, content := range map[string][]byte{"torn": text[:40], "empty": nil, "of another authority": foreign} {
		if err := os.WriteFile(key, content, 0o600); err != nil {
			t.Fatal(err)
		}
		if err := again(); err == nil || !strings.Contains(err.Error(), identity.CAKeyFile) {
			t.Errorf("%s key: %v, want an error that names the file", name, err)
		}
	}
	if err := os.Remove(key); err != nil {
		t.Fatal(err)
	}
	if err := again(); err == nil || !strings.Contains(err.Error(), identity.CAFile) {
		t.Errorf("no key: %v, want an error that says what to do", err)
	}
}

func BenchmarkJoin(b *testing.B) {
	dir := b.TempDir()
	st, err := bolt.Open(b.Context(), bolt.Options{Path: filepath.Join(dir, "s.db")})
	if err != nil {
		b.Fatal(err)
	}
	defer func() { _ = st.Close() }()
	a, err := identity.New(identity.Options{Dir: dir, Store: st})
	if err != nil {
		b.Fatal(err)
	}
	known, secret, err := a.CreateToken(b.Context(), identity.TokenRequest{Uses: -1})
	if err != nil {
		b.Fatal(err)
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		b.Fatal(err)
	}
	request, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{}, key)
	if err != nil {
		b.Fatal(err)
	}
	i := 0
	for b.Loop() {
		i++
		id := fmt.Sprintf("00000000-0000-4000-8000-%012x", i)
		if _, err := a.Join(b.Context(), identity.JoinRequest{TokenID: known.ID, Secret: secret, NodeID: id, Request: request}); err != nil {
			b.Fatal(err)
		}
	}
}
