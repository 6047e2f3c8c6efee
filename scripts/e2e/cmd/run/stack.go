package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/sluice-gateway/sluice/scripts/e2e/process"
)

// stack is what make run starts.
type stack struct {
	admin, manager, cluster, controlStatus, proxy, proxyTLS, dataStatus, upstream string
	// state and bin are absolute.
	state, bin string

	running []*process.Process // in the order of start
	logs    []io.Closer
}

// checkPorts finds everything that is in the way before anything starts.
func (s *stack) checkPorts() error {
	var taken []error
	for _, address := range []string{s.admin, s.manager, s.cluster, s.controlStatus, s.proxy, s.proxyTLS, s.dataStatus, s.upstream} {
		if err := process.CheckFree(address); err != nil {
			taken = append(taken, err)
		}
	}
	return errors.Join(taken...)
}

func (s *stack) start(ctx context.Context) error {
	control, data := filepath.Join(s.state, "controlplane"), filepath.Join(s.state, "dataplane")
	for _, folder := range []string{control, data, filepath.Join(s.state, "logs")} {
		if err := os.MkdirAll(folder, 0o700); err != nil {
			return err
		}
	}
	if err := s.launch("upstream", "-listen", s.upstream); err != nil {
		return err
	}
	err := s.launch("sluice-controlplane",
		"--prefix", control, "--admin_listen", s.admin, "--admin_gui_listen", s.manager, "--cluster_listen", s.cluster, "--status_listen", s.controlStatus,
		"--proxy_listen", s.proxy+", "+s.proxyTLS+" ssl http2")
	if err != nil {
		return err
	}
	if err := s.ready(ctx, "http://"+s.admin+"/"); err != nil {
		return err
	}
	// With cluster_mtls=shared both planes have the certificate that the control plane
	// made.
	err = s.launch("sluice-dataplane",
		"--prefix", data, "--proxy_listen", s.proxy+", "+s.proxyTLS+" ssl http2", "--status_listen", s.dataStatus,
		"--cluster_control_plane", s.cluster,
		"--cluster_cert", filepath.Join(control, process.ClusterCert), "--cluster_cert_key", filepath.Join(control, process.ClusterKey))
	if err != nil {
		return err
	}
	return s.ready(ctx, "http://"+s.dataStatus+"/status/ready")
}

func (s *stack) launch(name string, args ...string) error {
	log, err := os.OpenFile(filepath.Join(s.state, "logs", name+".log"), os.O_CREATE|os.O_WRONLY|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	s.logs = append(s.logs, log)
	p, err := process.Start(process.Options{Name: name, Path: filepath.Join(s.bin, name), Args: args, Env: os.Environ(), Output: log})
	if err != nil {
		return err
	}
	s.running = append(s.running, p)
	return nil
}

// ready waits until url answers 200.
func (s *stack) ready(ctx context.Context, url string) error {
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	return process.Poll(ctx, func() error {
		status, err := get(ctx, url)
		if err == nil && status != http.StatusOK {
			err = fmt.Errorf("%s answers %d", url, status)
		}
		return err
	}, s.running...)
}

func get(ctx context.Context, url string) (status int, err error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return 0, err
	}
	request.Close = true
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return 0, err
	}
	return response.StatusCode, response.Body.Close()
}

// web says where the web UI is, or that there is none.
func (s *stack) web(ctx context.Context) string {
	// Only a UI that was built has scripts.
	if status, err := get(ctx, "http://"+s.manager+"/assets/"); err == nil && status == http.StatusNotFound {
		return "http://" + s.manager
	}
	return "left out: install Node.js 20.19 or later, then make manager"
}

// wait returns nil when ctx ends, and an error when a program does.
func (s *stack) wait(ctx context.Context) error {
	ended := make(chan error, len(s.running))
	for _, p := range s.running {
		go func() {
			<-p.Done()
			ended <- fmt.Errorf("a program ended with exit code %d:\n%s", p.ExitCode(), lastLines(p.Output(), 20))
		}()
	}
	select {
	case <-ctx.Done():
		return nil
	case err := <-ended:
		return err
	}
}

func lastLines(text string, n int) string {
	lines := strings.Split(strings.TrimRight(text, "\n"), "\n")
	return strings.Join(lines[max(0, len(lines)-n):], "\n")
}

// stop ends the programs in the reverse order: clients first, what they need last.
func (s *stack) stop() error {
	var failed []error
	for _, p := range slices.Backward(s.running) {
		select {
		case <-p.Done():
			continue
		default:
		}
		if err := p.Stop(20 * time.Second); err != nil {
			failed = append(failed, err)
		}
	}
	return errors.Join(failed...)
}

func (s *stack) closeLogs() {
	for _, log := range s.logs {
		_ = log.Close()
	}
}

// local makes an address with the wildcard one that a client can use.
func local(address string) string {
	host, port, err := net.SplitHostPort(address)
	if err != nil || host != "0.0.0.0" && host != "::" {
		return address
	}
	return net.JoinHostPort("localhost", port)
}

// welcome prints where things are and what to try.
func (s *stack) welcome(ctx context.Context, out io.Writer) {
	admin, proxy := "http://"+s.admin, "http://"+local(s.proxy)
	_, _ = fmt.Fprintf(out, `
Sluice is running.

  Admin API      %s
  Proxy          %s and https://%s
  Manager        %s
  Status         http://%s/status (data plane), http://%s/status (control plane)
  Upstream       http://%s (go-httpbin, an example)
  State, logs    %s (kept for the next start; remove it to begin afresh)

`, admin, proxy, local(s.proxyTLS), s.web(ctx), s.dataStatus, s.controlStatus, s.upstream, s.state)
	if status, err := get(ctx, admin+"/services/example_service"); err == nil && status == http.StatusOK {
		_, _ = fmt.Fprintf(out, "The example of last time is still there:\n\n")
	} else {
		_, _ = fmt.Fprintf(out, `Create a service and a route, and call them:

  curl -i -X POST %s/services --data name=example_service --data url=http://%s
  curl -i -X POST %s/services/example_service/routes --data name=example_route --data 'paths[]=/mock'
`, admin, s.upstream, admin)
	}
	_, _ = fmt.Fprintf(out, "  curl -i %s/mock/anything\n\nCtrl-C stops everything.\n", proxy)
}
