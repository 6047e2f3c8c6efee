package e2e

import (
	"bufio"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/sluice-gateway/sluice/scripts/e2e/process"
)

// seen are the requests that arrive behind a judge.
type seen struct {
	mu    sync.Mutex
	paths map[string]int
}

// ServeHTTP counts a request and reads its body.
func (s *seen) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	_, _ = io.Copy(io.Discard, r.Body)
	s.mu.Lock()
	s.paths[r.URL.Path]++
	s.mu.Unlock()
	w.Header().Set("X-Behind", "1")
	_, _ = io.WriteString(w, "seen")
}

func (s *seen) take() map[string]int {
	s.mu.Lock()
	defer s.mu.Unlock()
	out := s.paths
	s.paths = map[string]int{}
	return out
}

// find returns where a program is, or skips; nothing may be skipped in CI.
func find(t *testing.T, name string) string {
	t.Helper()
	for _, candidate := range []string{name, "/usr/sbin/" + name} {
		if path, err := exec.LookPath(candidate); err == nil {
			return path
		}
	}
	if os.Getenv("CI") == "true" {
		t.Fatalf("%s is not installed", name)
	}
	t.Skipf("%s is not installed; scripts/deps.sh installs it", name)
	return ""
}

// judge starts a proxy of another making in front of an address.
func judge(t *testing.T, name, config, file string, args ...string) {
	t.Helper()
	path := find(t, name)
	if err := os.WriteFile(file, []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
	p, err := process.Start(process.Options{Name: name, Path: path, Args: args})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.Kill)
}

// startJudges starts nginx and HAProxy, both in front of address, and returns where they are.
func startJudges(t *testing.T, address string) (nginx, haproxy string) {
	t.Helper()
	dir := t.TempDir()
	nginx, haproxy = process.FreeAddress(), process.FreeAddress()
	judge(t, "nginx", `daemon off; worker_processes 1; pid nginx.pid; error_log stderr crit;
events { worker_connections 512; }
http {
  access_log off;
  client_body_temp_path body; proxy_temp_path proxy; fastcgi_temp_path fastcgi; uwsgi_temp_path uwsgi; scgi_temp_path scgi;
  upstream back { server `+address+`; keepalive 8; }
  server {
    listen `+nginx+`;
    location / { proxy_pass http://back; proxy_http_version 1.1; proxy_set_header Connection ""; }
  }
}`, filepath.Join(dir, "nginx.conf"), "-p", dir, "-c", "nginx.conf")
	file := filepath.Join(dir, "haproxy.cfg")
	judge(t, "haproxy", `defaults
  mode http
  timeout connect 5s
  timeout client 10s
  timeout server 10s
frontend front
  bind `+haproxy+`
  default_backend back
backend back
  server one `+address+`
`, file, "-db", "-f", file)
	for _, a := range []string{nginx, haproxy} {
		eventually(t, soon, func() error {
			resp, err := http.Get("http://" + a + "/ready") //nolint:noctx,gosec // our own
			if err == nil {
				err = resp.Body.Close()
			}
			return err
		})
	}
	return nginx, haproxy
}

// pieces are what requests that parsers disagree about are made of.
var oddPieces = []string{
	"\r\n", "\n", "\r", "\x00", "\t", " ", "\x0b", "\x0c", "\x85", "\xa0", ":", ",", ";", "0", "chunked", "Content-Length: 4\r\n", "Content-Length: 0\r\n",
	"Transfer-Encoding: chunked\r\n", "Transfer-Encoding: identity\r\n", "Transfer-Encoding : chunked\r\n", " Transfer-Encoding: chunked\r\n",
	"Connection: Content-Length\r\n", "Connection: Transfer-Encoding\r\n", "Connection: close\r\n", "Expect: 100-continue\r\n", "Host: other\r\n",
	"TE: chunked\r\n", "Trailer: Content-Length\r\n", "Upgrade: h2c\r\n", "0\r\n\r\n", "5\r\nabcde\r\n", "5;x=\"\r\n", "HTTP/1.0", "HTTP/1.1", "\r\n\r\n",
}

// mutant makes a request that hides another one, and spoils it.
func mutant(rnd *rand.Rand, path string) string {
	inner := "GET /smuggled HTTP/1.1\r\nHost: h\r\n\r\n"
	framing := []string{
		"Content-Length: 38\r\n", "Transfer-Encoding: chunked\r\n", "Content-Length: 38\r\nTransfer-Encoding: chunked\r\n",
		"Transfer-Encoding: chunked\r\nContent-Length: 5\r\n", "Content-Length: 0\r\nContent-Length: 38\r\n", "",
	}[rnd.IntN(6)]
	body := []string{inner, "26\r\n" + inner + "\r\n0\r\n\r\n", "0\r\n\r\n" + inner, "5\r\nabcde\r\n0\r\nX: y\r\n\r\n" + inner}[rnd.IntN(4)]
	text := "POST " + path + " HTTP/1.1\r\nHost: h\r\n" + framing + "\r\n" + body
	for range rnd.IntN(3) {
		at := rnd.IntN(len(text))
		end := min(len(text), at+rnd.IntN(3))
		text = text[:at] + oddPieces[rnd.IntN(len(oddPieces))] + text[end:]
	}
	return text
}

// TestJudgesAgree sends thousands of spoilt requests through the proxy to nginx, HAProxy
// and net/http, each of which reads them in its own way, over connections that are shared.
// Behind none of them may a request appear that the proxy did not answer as one, least of
// all the hidden one where its path is in a body.
func TestJudgesAgree(t *testing.T) {
	behind := &seen{paths: map[string]int{}}
	server := httptest.NewServer(behind)
	t.Cleanup(server.Close)
	nginx, haproxy := startJudges(t, strings.TrimPrefix(server.URL, "http://"))
	c := newCluster(t, 1)
	n := c.nodes[0]
	for path, url := range map[string]string{"/n": "http://" + nginx, "/h": "http://" + haproxy, "/g": server.URL} {
		c.must("POST", "/services", form("name", path[1:], "url", url, "retries", "0"), 201)
		c.must("POST", "/services/"+path[1:]+"/routes", object{"paths": []string{path}, "strip_path": false}, 201)
		n.serves(path)
	}
	seed := uint64(time.Now().UnixNano()) //nolint:gosec // any number
	rnd := rand.New(rand.NewPCG(seed, 1)) //nolint:gosec // it has to be repeatable
	behind.take()
	answered := 0
	for i := range 3000 {
		path := []string{"/n", "/h", "/g"}[i%3]
		text := mutant(rnd, path)
		got := exchange(t, n, text)
		answered += got
		arrived := behind.take()
		total := 0
		for p, count := range arrived {
			total += count
			if !strings.HasPrefix(p, path) {
				t.Fatalf("seed %d, case %d: %q appeared behind %s from %q", seed, i, p, path, text)
			}
		}
		if total > got {
			t.Fatalf("seed %d, case %d: %d requests are behind %s and %d were answered from there: %q", seed, i, total, path, got, text)
		}
	}
	if answered < 100 {
		t.Errorf("%d of 3000 requests went through: they are spoilt too much to show anything", answered)
	}
}

// exchange sends bytes on a connection of their own, and counts the answers that come from
// behind.
func exchange(t *testing.T, n *node, text string) (answers int) {
	t.Helper()
	nc, err := net.Dial("tcp", strings.TrimPrefix(n.base, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = nc.Close() }()
	_ = nc.SetDeadline(time.Now().Add(10 * time.Second))
	if _, err := io.WriteString(nc, text); err != nil {
		return 0
	}
	_ = nc.(*net.TCPConn).CloseWrite()
	r := bufio.NewReader(nc)
	for {
		resp, err := http.ReadResponse(r, &http.Request{Method: "POST"})
		if err != nil {
			return answers
		}
		if _, err := io.Copy(io.Discard, resp.Body); err != nil {
			return answers
		}
		if resp.Header.Get("X-Behind") != "" || resp.StatusCode == 400 && resp.Header.Get("Via") != "" {
			answers++
		}
	}
}
