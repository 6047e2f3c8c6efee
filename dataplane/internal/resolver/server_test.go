package resolver_test

import (
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/miekg/dns"
	"go.uber.org/goleak"

	"github.com/sluice-gateway/sluice/dataplane/internal/resolver"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// nameServer is a DNS server on UDP and TCP of one port of the loopback.
type nameServer struct {
	address string

	mu      sync.Mutex
	records map[string][]dns.RR // by "name type"
	rcode   map[string]int      // by name
	silent  bool
	broken  string // how answers are spoilt
	asked   map[string]int
	hold    chan struct{} // answers wait for it to be closed
}

func newServer(t testing.TB, zone ...string) *nameServer {
	t.Helper()
	s := &nameServer{asked: map[string]int{}}
	s.say(t, zone...)
	pc, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s.address = pc.LocalAddr().String()
	l, err := net.Listen("tcp", s.address)
	if err != nil {
		t.Fatal(err)
	}
	for _, server := range []*dns.Server{
		{PacketConn: pc, Handler: dns.HandlerFunc(s.serveUDP)}, {Listener: l, Handler: dns.HandlerFunc(s.serveTCP)},
	} {
		started := make(chan struct{})
		server.NotifyStartedFunc = func() { close(started) }
		done := make(chan struct{})
		go func() {
			defer close(done)
			_ = server.ActivateAndServe()
		}()
		<-started
		t.Cleanup(func() {
			s.release()
			_ = server.Shutdown()
			<-done
		})
	}
	return s
}

// say replaces the records with those of a zone file.
func (s *nameServer) say(t testing.TB, zone ...string) {
	t.Helper()
	records := map[string][]dns.RR{}
	for _, line := range zone {
		rr, err := dns.NewRR(line)
		if err != nil {
			t.Fatal(err)
		}
		key := rr.Header().Name + " " + dns.TypeToString[rr.Header().Rrtype]
		records[key] = append(records[key], rr)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.records, s.rcode = records, map[string]int{}
}

func (s *nameServer) set(fn func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	fn()
}

// questions returns how often a name was asked for with a type, "" for all types.
func (s *nameServer) questions(name, kind string) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	n := 0
	for k, v := range s.asked {
		if name == "" || strings.HasPrefix(k, name+" "+kind) {
			n += v
		}
	}
	return n
}

func (s *nameServer) release() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.hold != nil {
		close(s.hold)
		s.hold = nil
	}
}

func (s *nameServer) serveUDP(w dns.ResponseWriter, q *dns.Msg) { s.serve(w, q, "udp") }
func (s *nameServer) serveTCP(w dns.ResponseWriter, q *dns.Msg) { s.serve(w, q, "tcp") }

func (s *nameServer) serve(w dns.ResponseWriter, q *dns.Msg, network string) {
	s.mu.Lock()
	name, kind := strings.ToLower(q.Question[0].Name), dns.TypeToString[q.Question[0].Qtype]
	s.asked[name+" "+kind+" "+network]++
	m := new(dns.Msg)
	m.SetReply(q)
	m.Answer = slices.Clone(s.records[name+" "+kind])
	if len(m.Answer) == 0 && kind != "CNAME" {
		m.Answer = append(m.Answer, s.records[name+" CNAME"]...)
		for _, rr := range m.Answer {
			if s.broken != "lazy" {
				m.Answer = append(m.Answer, s.records[rr.(*dns.CNAME).Target+" "+kind]...)
			}
		}
	}
	known := false
	for k := range s.records {
		known = known || strings.HasPrefix(k, name+" ")
	}
	if !known {
		m.Rcode = dns.RcodeNameError
	}
	if code, ok := s.rcode[name]; ok {
		m.Rcode, m.Answer = code, nil
	}
	silent, broken, hold := s.silent, s.broken, s.hold
	s.mu.Unlock()
	if hold != nil {
		<-hold
	}
	switch {
	case silent:
		return
	case broken == "edns" && q.IsEdns0() != nil:
		m.Rcode, m.Answer = dns.RcodeFormatError, nil
	case broken == "truncated" && network == "udp":
		m.Truncated, m.Answer = true, nil
	case broken == "question":
		m.Question[0].Name = "other.test."
	case broken == "garbage":
		_, _ = w.Write([]byte{1, 2, 3})
		return
	}
	if network == "udp" && broken != "oversize" {
		size := dns.MinMsgSize
		if e := q.IsEdns0(); e != nil {
			size = int(e.UDPSize())
		}
		m.Truncate(size)
	}
	_ = w.WriteMsg(m)
}

// clock is one that only tests move.
type clock struct {
	mu  sync.Mutex
	now time.Time
}

func newClock() *clock { return &clock{now: time.Unix(1_800_000_000, 0)} }

func (c *clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

func (c *clock) pass(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
}

// resolverFor asks these servers, with a resolv.conf of its own.
func resolverFor(t testing.TB, o resolver.Options, conf string, servers ...*nameServer) (*resolver.Resolver, *clock) {
	t.Helper()
	o.ResolvConf = filepath.Join(t.TempDir(), "resolv.conf")
	if err := os.WriteFile(o.ResolvConf, []byte(conf), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, s := range servers {
		o.Servers = append(o.Servers, s.address)
	}
	c := newClock()
	o.Now = c.Now
	r, err := resolver.New(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(r.Close)
	return r, c
}

// lookup returns the addresses of a name, with ports and weights of services, or the
// error's text.
func lookup(t testing.TB, r *resolver.Resolver, name string) string {
	t.Helper()
	a, err := r.Lookup(t.Context(), name)
	if err != nil {
		return err.Error()
	}
	return text(a)
}
