package resolver_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/miekg/dns"

	"github.com/sluice-gateway/sluice/dataplane/internal/resolver"
	"github.com/sluice-gateway/sluice/dataplane/internal/resolver/resolvertest"
)

func text(a *resolver.Answer) string {
	var out []string
	for _, rec := range a.Records {
		s := rec.Addr.String()
		if a.Type == resolver.SRV {
			s = fmt.Sprintf("%s:%d*%d", s, rec.Port, rec.Weight)
		}
		out = append(out, s)
	}
	return strings.Join(out, " ")
}

// eventually waits for what happens in a goroutine of the resolver.
func eventually(t testing.TB, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(10 * time.Second); !ok(); {
		if time.Now().After(end) {
			t.Fatalf("it does not come true: %s", what)
		}
		time.Sleep(time.Millisecond)
	}
}

// TestRecords holds what names of all kinds of records stand for.
func TestRecords(t *testing.T) {
	s := resolvertest.New(
		t,
		"a.test. 60 A 10.0.0.2", "a.test. 60 A 10.0.0.1",
		"six.test. 60 AAAA 2001:db8::1",
		"both.test. 60 A 10.0.0.3", "both.test. 60 AAAA 2001:db8::3",
		"alias.test. 60 CNAME a.test.",
		"far.test. 60 CNAME alias.test.",
		"loop.test. 60 CNAME pool.test.", "pool.test. 60 CNAME loop.test.",
		"_web._tcp.test. 60 SRV 1 30 8001 a.test.", "_web._tcp.test. 60 SRV 1 0 8002 both.test.", "_web._tcp.test. 60 SRV 2 10 8003 a.test.",
		"_half._tcp.test. 60 SRV 1 1 80 gone.test.", "_half._tcp.test. 60 SRV 1 1 81 both.test.",
		"_none._tcp.test. 60 SRV 1 1 80 gone.test.",
		"_off._tcp.test. 60 SRV 0 0 0 .",
		"in.search.test. 60 A 10.0.0.7", "a.b.search.test. 60 A 10.0.0.8",
		"text.test. 60 TXT x",
	)
	order := func(names ...string) []resolver.Type {
		list, err := resolver.ParseOrder(names)
		if err != nil {
			t.Fatal(err)
		}
		return list
	}
	for _, c := range []struct {
		name  string
		order []resolver.Type
		want  string
	}{
		{"a.test", nil, "10.0.0.1 10.0.0.2"},
		{"a.test.", nil, "10.0.0.1 10.0.0.2"},
		{"A.TEST", nil, "10.0.0.1 10.0.0.2"},
		{"six.test", nil, resolver.ErrNotFound.Error()},
		{"six.test", order("A", "AAAA"), "2001:db8::1"},
		{"both.test", order("AAAA", "A"), "2001:db8::3"},
		{"both.test", nil, "10.0.0.3"},
		{"alias.test", nil, "10.0.0.1 10.0.0.2"},
		{"alias.test", order("CNAME"), "name does not exist"},
		{"alias.test", order("CNAME", "A"), "10.0.0.1 10.0.0.2"},
		{"far.test", order("A"), "10.0.0.1 10.0.0.2"},
		{"_web._tcp.test", nil, "10.0.0.1:8001*15 10.0.0.2:8001*15 10.0.0.3:8002*1"},
		{"_web._tcp.test", order("A"), "name does not exist"},
		{"_half._tcp.test", nil, "10.0.0.3:81*1"},
		{"_none._tcp.test", nil, "name does not exist"},
		{"_off._tcp.test", nil, "name does not exist"},
		{"in", nil, "10.0.0.7"},
		{"in.", nil, "name does not exist"},
		{"a.b", nil, "10.0.0.8"},
		{"nope.test", nil, "name does not exist"},
		{"text.test", nil, "name does not exist"},
		{strings.Repeat("a", 70) + ".test", nil, "name does not exist"},
		{"10.1.1.1", nil, "10.1.1.1"},
		{"[2001:db8::9]", nil, "2001:db8::9"},
	} {
		r, _ := resolverFor(t, resolver.Options{Order: c.order}, "search other.test search.test\noptions ndots:2 timeout:5", s)
		if got := lookup(t, r, c.name); !strings.HasPrefix(got, c.want) {
			t.Errorf("%s, order %v: %s, want %s", c.name, c.order, got, c.want)
		}
	}
	for _, mode := range []string{"", "lazy"} {
		s.Set(func(f *resolvertest.Faults) { f.Broken = mode })
		r, _ := resolverFor(t, resolver.Options{}, "", s)
		if got := lookup(t, r, "far.test"); got != "10.0.0.1 10.0.0.2" {
			t.Errorf("aliases, server %q: %s", mode, got)
		}
		if got := lookup(t, r, "loop.test"); !strings.Contains(got, "name") {
			t.Errorf("aliases that lead in a circle, server %q: %s", mode, got)
		}
	}
}

// TestTypesThatAreAskedFor holds that the last type that worked comes first, and that
// services are asked for only where that makes sense when it is wanted so.
func TestTypesThatAreAskedFor(t *testing.T) {
	s := resolvertest.New(t, "a.test. 60 A 10.0.0.1", "_x._tcp.test. 60 SRV 0 0 1 a.test.")
	r, c := resolverFor(t, resolver.Options{StaleTTL: -1}, "", s)
	lookup(t, r, "a.test")
	if n := s.Questions("a.test.", "SRV"); n != 1 {
		t.Errorf("%d questions for services, want 1", n)
	}
	c.pass(2 * time.Minute)
	lookup(t, r, "a.test")
	if n, all := s.Questions("a.test.", "SRV"), s.Questions("a.test.", ""); n != 1 || all != 3 {
		t.Errorf("%d questions of %d are for services, want 1 of 3: the last type comes first", n, all)
	}
	strict, _ := resolverFor(t, resolver.Options{Order: []resolver.Type{resolver.A, resolver.SRV}, StrictSRV: true}, "", s)
	before := s.Questions("", "")
	lookup(t, strict, "gone.test")
	lookup(t, strict, "_x._tcp.test")
	if n := s.Questions("gone.test.", "SRV"); n != 0 {
		t.Errorf("%d questions for services of a plain name", n)
	}
	if got := lookup(t, strict, "_x._tcp.test"); got != "10.0.0.1:1*1" {
		t.Errorf("%s after %d questions", got, s.Questions("", "")-before)
	}
	if _, err := resolver.ParseOrder([]string{"A", "MX"}); err == nil || !strings.Contains(err.Error(), "MX") {
		t.Errorf("order with MX: %v", err)
	}
}

// TestLifetimes holds how long answers and failures serve.
func TestLifetimes(t *testing.T) {
	s := resolvertest.New(t, "a.test. 60 A 10.0.0.1")
	r, c := resolverFor(t, resolver.Options{Order: []resolver.Type{resolver.A}, StaleTTL: time.Minute, NotFoundTTL: 30 * time.Second, ErrorTTL: 2 * time.Second}, "options attempts:1", s)
	expect := func(want string, questions int) {
		t.Helper()
		if got := lookup(t, r, "a.test"); !strings.HasPrefix(got, want) {
			t.Errorf("%s, want %s", got, want)
		}
		eventually(t, "the questions are asked", func() bool { return s.Questions("a.test.", "") == questions })
	}
	settled := func(want string) {
		t.Helper()
		eventually(t, "the answer is "+want, func() bool { a := r.Peek("a.test"); return a != nil && a.Err == nil && text(a) == want })
	}
	expect("10.0.0.1", 1)
	expect("10.0.0.1", 1)
	// Ahead of its end the answer is fetched anew, and the request does not wait.
	s.Say(t, "a.test. 60 A 10.0.0.2")
	c.pass(53 * time.Second)
	expect("10.0.0.1", 1)
	c.pass(2 * time.Second)
	expect("10.0.0.1", 2)
	settled("10.0.0.2")
	// A server that fails lets the answer serve on until StaleTTL is over.
	s.Set(func(f *resolvertest.Faults) { f.Codes["a.test."] = dns.RcodeServerFailure })
	c.pass(60*time.Second - time.Millisecond)
	expect("10.0.0.2", 3)
	eventually(t, "the failure is noted", func() bool { return len(r.Names()) == 1 && r.Names()[0].Failures == 0 && r.Names()[0].Questions == 3 })
	c.pass(59 * time.Second)
	expect("10.0.0.2", 4)
	eventually(t, "the failure is noted", func() bool { return r.Names()[0].Questions == 4 })
	c.pass(2 * time.Second)
	expect("no name server answers", 5)
	expect("no name server answers", 5) // for ErrorTTL
	c.pass(2 * time.Second)
	s.Set(func(f *resolvertest.Faults) { f.Codes["a.test."] = dns.RcodeNameError })
	expect("name does not exist", 6)
	c.pass(29 * time.Second)
	expect("name does not exist", 6) // for NotFoundTTL
	s.Say(t, "a.test. 60 A 10.0.0.3")
	c.pass(time.Second)
	expect("10.0.0.3", 7)
}

func TestLifetimeOfZero(t *testing.T) {
	s := resolvertest.New(t, "a.test. 0 A 10.0.0.1")
	r, _ := resolverFor(t, resolver.Options{Order: []resolver.Type{resolver.A}}, "", s)
	for i := range 4 {
		want := fmt.Sprintf("10.0.0.%d", i+1)
		s.Say(t, "a.test. 0 A "+want)
		if got := lookup(t, r, "a.test"); got != want {
			t.Errorf("%s, want %s: each look-up asks", got, want)
		}
	}
	r, c := resolverFor(t, resolver.Options{Order: []resolver.Type{resolver.A}, ValidTTL: time.Minute}, "", s)
	before := s.Questions("", "")
	for range 4 {
		lookup(t, r, "a.test")
		c.pass(10 * time.Second)
	}
	if n := s.Questions("", "") - before; n != 1 {
		t.Errorf("%d questions within ValidTTL, want 1", n)
	}
}

// TestServers holds that another server is asked when one is silent, refuses or talks
// nonsense, and that it is asked last for a while.
func TestServers(t *testing.T) {
	for _, fault := range []string{"silent", "SERVFAIL", "REFUSED", "garbage", "question"} {
		t.Run(fault, func(t *testing.T) {
			t.Parallel()
			bad := resolvertest.New(t, "a.test. 60 A 10.9.9.9")
			good := resolvertest.New(t, "a.test. 60 A 10.0.0.1", "b.test. 60 A 10.0.0.2")
			switch fault {
			case "silent":
				bad.Set(func(f *resolvertest.Faults) { f.Silent = true })
			case "SERVFAIL":
				bad.Set(func(f *resolvertest.Faults) { f.Codes["a.test."] = dns.RcodeServerFailure })
			case "REFUSED":
				bad.Set(func(f *resolvertest.Faults) { f.Codes["a.test."] = dns.RcodeRefused })
			default:
				bad.Set(func(f *resolvertest.Faults) { f.Broken = fault })
			}
			r, c := resolverFor(t, resolver.Options{Order: []resolver.Type{resolver.A}}, "options timeout:1 attempts:1", bad, good)
			if got := lookup(t, r, "a.test"); got != "10.0.0.1" {
				t.Errorf("%s", got)
			}
			if got := lookup(t, r, "b.test"); got != "10.0.0.2" || bad.Questions("b.test.", "") != 0 {
				t.Errorf("%s; the server that failed was asked %d times", got, bad.Questions("b.test.", ""))
			}
			if list := r.Servers(); !list[0].Avoided || list[1].Avoided || list[0].Failed == 0 {
				t.Errorf("%+v", list)
			}
			c.pass(time.Minute)
			bad.Set(func(f *resolvertest.Faults) { f.Silent, f.Broken = false, "" })
			bad.Say(t, "c.test. 60 A 10.9.9.1")
			if got := lookup(t, r, "c.test"); got != "10.9.9.1" {
				t.Errorf("the server that recovered is not asked: %s", got)
			}
		})
	}
}

func TestAllServersAreSilent(t *testing.T) {
	s := resolvertest.New(t)
	s.Set(func(f *resolvertest.Faults) { f.Silent = true })
	r, _ := resolverFor(t, resolver.Options{Order: []resolver.Type{resolver.A}}, "options timeout:1 attempts:2", s)
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if _, err := r.Lookup(ctx, "a.test"); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("who can not wait: %v", err)
	}
	if _, err := r.Lookup(t.Context(), "a.test"); !errors.Is(err, resolver.ErrServer) || s.Questions("a.test.", "") != 2 {
		t.Errorf("%v after %d questions", err, s.Questions("a.test.", ""))
	}
}

// TestWire holds that truncated answers come over TCP, and that servers which know no
// extensions are asked without.
func TestWire(t *testing.T) {
	var zone []string
	for i := range 100 {
		zone = append(zone, fmt.Sprintf("a.test. 60 A 10.0.1.%d", i))
	}
	for fault, tcp := range map[string]int{"": 1, "truncated": 1, "oversize": 1, "edns": 1} {
		s := resolvertest.New(t, zone...)
		s.Set(func(f *resolvertest.Faults) { f.Broken = fault })
		r, _ := resolverFor(t, resolver.Options{Order: []resolver.Type{resolver.A}}, "", s)
		a, err := r.Lookup(t.Context(), "a.test")
		if err != nil || len(a.Records) != 100 {
			t.Fatalf("%s: %v", fault, err)
		}
		if n := s.Questions("a.test.", "A tcp"); n != tcp {
			t.Errorf("%q: %d questions over TCP, want %d", fault, n, tcp)
		}
	}
	s := resolvertest.New(t, zone...)
	r, _ := resolverFor(t, resolver.Options{Order: []resolver.Type{resolver.A}}, "options use-vc", s)
	lookup(t, r, "a.test")
	if n := s.Questions("a.test.", "A udp"); n != 0 {
		t.Errorf("%d questions over UDP with use-vc", n)
	}
}

// TestQuestionsAreShared holds that a name is asked for once at a time, unless no_sync
// is on.
func TestQuestionsAreShared(t *testing.T) {
	for _, noSync := range []bool{false, true} {
		s := resolvertest.New(t, "a.test. 60 A 10.0.0.1")
		s.Set(func(f *resolvertest.Faults) { f.Hold = make(chan struct{}) })
		r, _ := resolverFor(t, resolver.Options{Order: []resolver.Type{resolver.A}, NoSync: noSync}, "options timeout:10", s)
		var wait sync.WaitGroup
		for range 10 {
			wait.Go(func() {
				if got := lookup(t, r, "a.test"); got != "10.0.0.1" {
					t.Error(got)
				}
			})
		}
		want := map[bool]int{false: 1, true: 10}[noSync]
		eventually(t, "all that should ask do", func() bool { return s.Questions("a.test.", "") >= want })
		s.Release()
		wait.Wait()
		if n := s.Questions("a.test.", ""); n > want {
			t.Errorf("no_sync %v: %d questions, want %d", noSync, n, want)
		}
	}
}

func TestHostsFile(t *testing.T) {
	s := resolvertest.New(t, "db.test. 60 A 10.0.0.9", "_s._tcp.test. 60 SRV 0 5 99 db.test.")
	hosts := filepath.Join(t.TempDir(), "hosts")
	write := func(content string) {
		if err := os.WriteFile(hosts, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("# a comment\n127.0.0.1 localhost\n::1 localhost\n10.0.0.1 db.test DB other # names\nnonsense x\n10.0.0.5\n")
	r, c := resolverFor(t, resolver.Options{Hosts: hosts, NotFoundTTL: time.Second}, "", s)
	for name, want := range map[string]string{
		"db.test": "10.0.0.1", "db": "10.0.0.1", "OTHER.": "10.0.0.1", "localhost": "127.0.0.1", "x": "name does not exist", "_s._tcp.test": "10.0.0.1:99*5",
	} {
		if got := lookup(t, r, name); got != want {
			t.Errorf("%s: %s, want %s", name, got, want)
		}
	}
	six, _ := resolverFor(t, resolver.Options{Hosts: hosts, Order: []resolver.Type{resolver.AAAA, resolver.A}}, "", s)
	if got := lookup(t, six, "localhost"); got != "::1" {
		t.Errorf("with version 6 first: %s", got)
	}
	// A change of the file is seen.
	write("10.0.0.22 db.test other.name\n")
	c.pass(time.Minute)
	lookup(t, r, "db.test")
	eventually(t, "the new file counts", func() bool { return text(r.Peek("db.test")) == "10.0.0.22" })
	if err := os.Remove(hosts); err != nil {
		t.Fatal(err)
	}
	c.pass(time.Minute)
	lookup(t, r, "db.test")
	eventually(t, "without the file servers are asked", func() bool { return text(r.Peek("db.test")) == "10.0.0.9" })
}

// TestWatching holds that watched names follow their records although nobody looks them
// up.
func TestWatching(t *testing.T) {
	s := resolvertest.New(t, "a.test. 1 A 10.0.0.1")
	r, err := resolver.New(resolver.Options{Servers: []string{s.Address}, Order: []resolver.Type{resolver.A}, ResolvConf: filepath.Join(t.TempDir(), "none")})
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	answers := make(chan string, 100)
	w := r.Watch("a.test", func(a *resolver.Answer) {
		if a.Err == nil {
			answers <- text(a)
		}
	})
	if got := <-answers; got != "10.0.0.1" {
		t.Error(got)
	}
	if !r.Names()[0].Watched {
		t.Error("the state does not tell that it is watched")
	}
	s.Say(t, "a.test. 1 A 10.0.0.2", "a.test. 1 A 10.0.0.3")
	for want := "10.0.0.2 10.0.0.3"; ; {
		if got := <-answers; got == want {
			break
		} else if got != "10.0.0.1" {
			t.Fatal(got)
		}
	}
	w.Stop()
	w.Stop()
	if r.Names()[0].Watched {
		t.Error("the name is still watched")
	}
}

// TestForgetting holds that the number of names is bounded, and that those in use stay.
func TestForgetting(t *testing.T) {
	s := resolvertest.New(t, "keep.test. 600 A 10.0.0.1")
	r, c := resolverFor(t, resolver.Options{Order: []resolver.Type{resolver.A}, CacheSize: 20}, "", s)
	lookup(t, r, "keep.test")
	for i := range 100 {
		c.pass(time.Second)
		lookup(t, r, fmt.Sprintf("n%d.test", i))
		lookup(t, r, "keep.test")
	}
	if n := len(r.Names()); n > 20 {
		t.Errorf("%d names are remembered, want 20 at most", n)
	}
	if n := s.Questions("keep.test.", ""); n != 1 {
		t.Errorf("the name in use was asked for %d times", n)
	}
}

func TestClosing(t *testing.T) {
	s := resolvertest.New(t)
	s.Set(func(f *resolvertest.Faults) { f.Silent = true })
	r, _ := resolverFor(t, resolver.Options{Order: []resolver.Type{resolver.A}}, "options timeout:30", s)
	failed := make(chan error)
	go func() {
		_, err := r.Lookup(t.Context(), "a.test")
		failed <- err
	}()
	eventually(t, "it asks", func() bool { return s.Questions("a.test.", "") > 0 })
	r.Close()
	if err := <-failed; !errors.Is(err, resolver.ErrServer) {
		t.Errorf("who waits gets %v", err)
	}
	if _, err := r.Lookup(t.Context(), "b.test"); !errors.Is(err, resolver.ErrClosed) {
		t.Errorf("after Close: %v", err)
	}
	if _, err := resolver.New(resolver.Options{ResolvConf: t.TempDir()}); err == nil {
		t.Error("a folder is taken for resolv.conf")
	}
}

// TestLookupAllocatesNothing for a name that is known.
func TestLookupAllocatesNothing(t *testing.T) {
	s := resolvertest.New(t, "a.test. 60 A 10.0.0.1")
	r, _ := resolverFor(t, resolver.Options{}, "", s)
	lookup(t, r, "a.test")
	ctx := t.Context()
	if n := testing.AllocsPerRun(100, func() { _, _ = r.Lookup(ctx, "a.test") }); n > 0 {
		t.Errorf("%v allocations", n)
	}
}

func TestParseServer(t *testing.T) {
	for in, want := range map[string]string{
		"10.0.0.1": "10.0.0.1:53", "10.0.0.1:54": "10.0.0.1:54", "::1": "[::1]:53", "[::1]": "[::1]:53", "[::1]:5353": "[::1]:5353", "name": "", "name:53": "", "10.0.0.1:0": "", "10.0.0.1:70000": "", "": "",
	} {
		if got, err := resolver.ParseServer(in); got != want || (err == nil) != (want != "") {
			t.Errorf("%q: %q, %v", in, got, err)
		}
	}
}
