// Package resolvertest is a DNS server for tests: on UDP and TCP of one port of the
// loopback, with records that change and faults on demand.
package resolvertest

import (
	"net"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/miekg/dns"
)

// Server is a DNS server on UDP and TCP of one port of the loopback.
type Server struct {
	Address string

	mu      sync.Mutex
	records map[string][]dns.RR // by "name type"
	faults  Faults
	asked   map[string]int
}

// Faults are what a server does wrong.
type Faults struct {
	// Codes to answer with, by name.
	Codes map[string]int
	// Silent servers answer nothing.
	Silent bool
	// Broken is how answers are spoilt: lazy, edns, truncated, oversize, question or
	// garbage.
	Broken string
	// Hold keeps answers back until Release.
	Hold chan struct{}
}

// New starts a server with the records of a zone file; it ends with the test.
func New(t testing.TB, zone ...string) *Server {
	t.Helper()
	s := &Server{asked: map[string]int{}}
	s.Say(t, zone...)
	l, pc := listen(t)
	s.Address = l.Addr().String()
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
			s.Release()
			_ = server.Shutdown()
			<-done
		})
	}
	return s
}

// listen finds a port that is free for both.
func listen(t testing.TB) (net.Listener, net.PacketConn) {
	t.Helper()
	for try := 0; ; try++ {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		pc, err := net.ListenPacket("udp", l.Addr().String())
		if err == nil {
			return l, pc
		}
		_ = l.Close()
		if try == 50 {
			t.Fatal(err)
		}
	}
}

// Say replaces the records with those of a zone file.
func (s *Server) Say(t testing.TB, zone ...string) {
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
	s.records, s.faults.Codes = records, map[string]int{}
}

// Set changes what the server does wrong.
func (s *Server) Set(fn func(f *Faults)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	fn(&s.faults)
}

// Questions returns how often a name was asked for with a type, "" for all types.
func (s *Server) Questions(name, kind string) int {
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

// Release lets the answers go that are kept back.
func (s *Server) Release() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.faults.Hold != nil {
		close(s.faults.Hold)
		s.faults.Hold = nil
	}
}

func (s *Server) serveUDP(w dns.ResponseWriter, q *dns.Msg) { s.serve(w, q, "udp") }
func (s *Server) serveTCP(w dns.ResponseWriter, q *dns.Msg) { s.serve(w, q, "tcp") }

func (s *Server) serve(w dns.ResponseWriter, q *dns.Msg, network string) {
	s.mu.Lock()
	name, kind := strings.ToLower(q.Question[0].Name), dns.TypeToString[q.Question[0].Qtype]
	s.asked[name+" "+kind+" "+network]++
	m := new(dns.Msg)
	m.SetReply(q)
	m.Answer = slices.Clone(s.records[name+" "+kind])
	if len(m.Answer) == 0 && kind != "CNAME" {
		m.Answer = append(m.Answer, s.records[name+" CNAME"]...)
		for _, rr := range m.Answer {
			if s.faults.Broken != "lazy" {
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
	if code, ok := s.faults.Codes[name]; ok {
		m.Rcode, m.Answer = code, nil
	}
	silent, broken, hold := s.faults.Silent, s.faults.Broken, s.faults.Hold
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
