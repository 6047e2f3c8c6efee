package main

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/sluice-gateway/sluice/scripts/e2e/process"
)

// stack is everything that runs during a benchmark.
type stack struct {
	dir, bin string

	upstream, admin, cluster string
	// backend and rpcBackend are the upstreams of the flows, in this process.
	backend, rpcBackend string
	// drain is where TCP is taken and thrown away while plugins are measured.
	drain string
	// address by proxy, in clear, with TLS, and for HTTP/2 in clear.
	clear, secure, h2c map[proxyKind]string
	// measured are the processes whose CPU time counts.
	measured map[proxyKind]*process.Process
	running  []*process.Process
	closers  []func()
	// answer is the body that only our own upstream gives.
	answer string
	// loaded is the configuration that Sluice has.
	loaded string
}

var client = &http.Client{
	Transport: &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}, MaxIdleConnsPerHost: 4},
	Timeout:   time.Minute, // a configuration may have 100,000 routes
}

// prepare chooses addresses and the answer.
func (s *stack) prepare() {
	s.upstream, s.admin, s.cluster = process.FreeAddress(), process.FreeAddress(), process.FreeAddress()
	s.backend, s.rpcBackend = process.FreeAddress(), process.FreeAddress()
	s.drain = process.FreeAddress()
	s.h2c = map[proxyKind]string{nginx: process.FreeAddress(), sluice: process.FreeAddress()}
	s.clear, s.secure, s.measured = map[proxyKind]string{}, map[proxyKind]string{}, map[proxyKind]*process.Process{}
	for _, p := range []proxyKind{nginx, haproxy, sluice} {
		s.clear[p], s.secure[p] = process.FreeAddress(), process.FreeAddress()
	}
	// 71 bytes, as in the measurements of performance.md.
	s.answer = fmt.Sprintf("sluice-bench %016x ", time.Now().UnixNano())
	s.answer += strings.Repeat("=", 71-len(s.answer))
}

func (s *stack) start(ctx context.Context) error {
	s.prepare()
	if err := s.writeFiles(); err != nil {
		return err
	}
	for _, start := range []func(context.Context) error{s.startUpstream, s.startBackend, s.startNginx, s.startHAProxy, s.startSluice} {
		if err := start(ctx); err != nil {
			return err
		}
	}
	return nil
}

func (s *stack) launch(name, path string, args ...string) (*process.Process, error) {
	p, err := process.Start(process.Options{Name: name, Path: path, Args: args})
	if err == nil {
		s.running = append(s.running, p)
	}
	return p, err
}

// launchTool starts a program of the distribution.
func (s *stack) launchTool(name string, args ...string) (*process.Process, error) {
	path, err := lookTool(name)
	if err != nil {
		return nil, err
	}
	return s.launch(name, path, args...)
}

func (s *stack) startUpstream(ctx context.Context) error {
	_, err := s.launchTool("nginx", "-p", s.dir, "-c", "upstream.conf")
	if err != nil {
		return err
	}
	return s.answers(ctx, "http://"+s.upstream+"/", nil)
}

func (s *stack) startNginx(ctx context.Context) (err error) {
	if s.measured[nginx], err = s.launchTool("nginx", "-p", s.dir, "-c", "nginx.conf"); err != nil {
		return err
	}
	if err := s.answers(ctx, "http://"+s.clear[nginx]+"/r0", nil); err != nil {
		return err
	}
	return s.answers(ctx, "https://"+s.secure[nginx]+"/r0", nil)
}

func (s *stack) startHAProxy(ctx context.Context) (err error) {
	if s.measured[haproxy], err = s.launchTool("haproxy", "-db", "-f", filepath.Join(s.dir, "haproxy.cfg")); err != nil {
		return err
	}
	return s.answers(ctx, "http://"+s.clear[haproxy]+"/r0", nil)
}

func (s *stack) startSluice(ctx context.Context) error {
	control, data := filepath.Join(s.dir, "controlplane"), filepath.Join(s.dir, "dataplane")
	_, err := s.launch("sluice-controlplane", filepath.Join(s.bin, "sluice-controlplane"),
		"--prefix", control, "--admin_listen", s.admin, "--cluster_listen", s.cluster, "--status_listen", "off", "--admin_gui_listen", "off", "--log_level", "warn")
	if err != nil {
		return err
	}
	if err := s.poll(ctx, func() error {
		_, err := fetch(ctx, "GET", "http://"+s.admin+"/", "", nil, http.StatusOK)
		return err
	}); err != nil {
		return err
	}
	s.measured[sluice], err = s.launch("sluice-dataplane", filepath.Join(s.bin, "sluice-dataplane"),
		"--prefix", data, "--proxy_listen", s.clear[sluice]+", "+s.secure[sluice]+" ssl http2, "+s.h2c[sluice]+" http2", "--status_listen", "off",
		"--cluster_control_plane", s.cluster, "--proxy_access_log", "off", "--log_level", "warn",
		"--upstream_keepalive_max_requests", "0", "--nginx_http_keepalive_requests", "1000000000",
		"--cluster_cert", filepath.Join(control, process.ClusterCert), "--cluster_cert_key", filepath.Join(control, process.ClusterKey))
	return err
}

// configure gives Sluice a configuration and waits until it serves.
func (s *stack) configure(ctx context.Context, c testCase) error {
	changed := c.config != s.loaded
	if changed {
		if _, err := fetch(ctx, "POST", "http://"+s.admin+"/config", c.config, []string{"Content-Type: application/json"}, http.StatusCreated); err != nil {
			return err
		}
		s.loaded = c.config
	}
	path, headers := c.path, c.headers
	if path == "" {
		n := strconv.Itoa(c.last)
		path, headers = "/r"+n, []string{"apikey: key-" + n}
	}
	if err := s.answers(ctx, s.url(c)+path, headers); err != nil || !changed {
		return err
	}
	return s.settle(ctx)
}

// settle waits until the data plane does nothing: after it serves a configuration it has
// still the old one to forget and the new one to write to its disk. What does not end is
// measured.
func (s *stack) settle(ctx context.Context) error {
	const quiet, bound = 300 * time.Millisecond, 20 * time.Second
	ticker := time.NewTicker(quiet)
	defer ticker.Stop()
	pid := s.measured[sluice].PID()
	last, err := cpuTime(pid)
	for began := time.Now(); err == nil && time.Since(began) < bound; {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-ticker.C:
		}
		var now time.Duration
		if now, err = cpuTime(pid); now-last <= quiet/20 {
			break
		}
		last = now
	}
	return err
}

func (s *stack) url(c testCase) string {
	if c.tls {
		return "https://" + s.secure[c.proxy]
	}
	return "http://" + s.clear[c.proxy]
}

// answers waits until url gives the answer of our own upstream.
func (s *stack) answers(ctx context.Context, url string, headers []string) error {
	return s.poll(ctx, func() error {
		body, err := fetch(ctx, "GET", url, "", headers, http.StatusOK)
		if err == nil && body != s.answer {
			err = fmt.Errorf("%s is not our own: it answers %.80q", url, body)
		}
		return err
	})
}

func (s *stack) poll(ctx context.Context, check func() error) error {
	ctx, cancel := context.WithTimeout(ctx, 20*time.Second)
	defer cancel()
	return process.Poll(ctx, check, s.running...)
}

func fetch(ctx context.Context, method, url, body string, headers []string, want int) (string, error) {
	request, err := http.NewRequestWithContext(ctx, method, url, strings.NewReader(body))
	if err != nil {
		return "", err
	}
	for _, h := range headers {
		name, value, _ := strings.Cut(h, ": ")
		request.Header.Set(name, value)
	}
	response, err := client.Do(request)
	if err != nil {
		return "", err
	}
	data, err := io.ReadAll(response.Body)
	if err := errors.Join(err, response.Body.Close()); err != nil {
		return "", err
	}
	if response.StatusCode != want {
		return "", fmt.Errorf("%s %s answers %d: %.200s", method, url, response.StatusCode, data)
	}
	return string(data), nil
}

// stop ends what was started, the last first.
func (s *stack) stop() error {
	var failed []error
	for _, p := range slices.Backward(s.running) {
		err := p.Stop(15 * time.Second)
		// HAProxy ends by the signal itself.
		if err != nil && p != s.measured[haproxy] {
			failed = append(failed, err)
		}
	}
	for _, end := range slices.Backward(s.closers) {
		end()
	}
	return errors.Join(failed...)
}

func (s *stack) writeFiles() error {
	cert, key, err := selfSigned()
	if err != nil {
		return err
	}
	for name, text := range map[string]string{
		"cert.pem": cert, "key.pem": key, "both.pem": cert + key,
		"upstream.conf": s.upstreamConf(), "nginx.conf": s.nginxConf(), "haproxy.cfg": s.haproxyConf(),
	} {
		if err := os.WriteFile(filepath.Join(s.dir, name), []byte(text), 0o600); err != nil {
			return err
		}
	}
	return nil
}
