package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/sluice-gateway/sluice/scripts/e2e/process"
	"github.com/sluice-gateway/sluice/scripts/e2e/relay"
)

// planes are a control plane and one data plane, with a configuration of some size.
type planes struct {
	dir, bin              string
	admin, stream         string
	proxy, status         string
	routes                int // that were loaded
	control, data         *process.Process
	relay                 *relay.Relay // between the two
	http                  *http.Client
	controlArgs, dataArgs []string
	loaded                time.Duration
}

// perService is how many routes a service has.
const perService = 100

// startPlanes starts both planes and loads a configuration of so many routes.
func startPlanes(ctx context.Context, dir, bin string, routes int) (*planes, error) {
	p := &planes{
		dir: dir, bin: bin, admin: process.FreeAddress(), stream: process.FreeAddress(), proxy: process.FreeAddress(), status: process.FreeAddress(),
		routes: routes, http: &http.Client{Timeout: 20 * time.Minute, Transport: &http.Transport{MaxIdleConnsPerHost: 64}},
	}
	control := filepath.Join(dir, "cp")
	p.controlArgs = []string{"--prefix", control, "--admin_listen", p.admin, "--cluster_listen", p.stream, "--status_listen", "off", "--log_level", "warn"}
	if err := p.startControl(ctx); err != nil {
		return p, err
	}
	began := time.Now()
	if err := p.load(ctx); err != nil {
		return p, err
	}
	p.loaded = time.Since(began)
	var err error
	if p.relay, err = relay.New(p.stream); err != nil {
		return p, err
	}
	p.dataArgs = []string{
		"--prefix", filepath.Join(dir, "dp"), "--proxy_listen", p.proxy, "--status_listen", p.status, "--cluster_control_plane", p.relay.Address(),
		"--proxy_access_log", "off", "--log_level", "warn", "--nginx_http_keepalive_requests", "1000000000", "--cluster_cert", p.certificate(), "--cluster_cert_key", p.key(),
	}
	return p, p.startData(ctx)
}

func (p *planes) certificate() string { return filepath.Join(p.dir, "cp", process.ClusterCert) }
func (p *planes) key() string         { return filepath.Join(p.dir, "cp", process.ClusterKey) }

func (p *planes) startControl(ctx context.Context) (err error) {
	p.control, err = process.Start(process.Options{Name: "sluice-controlplane", Path: filepath.Join(p.bin, "sluice-controlplane"), Args: p.controlArgs})
	if err != nil {
		return err
	}
	return poll(ctx, time.Minute, func() error {
		_, _, err := p.call(ctx, "GET", "http://"+p.admin+"/", nil, 200)
		return err
	}, p.control)
}

func (p *planes) startData(ctx context.Context) (err error) {
	p.data, err = process.Start(process.Options{Name: "sluice-dataplane", Path: filepath.Join(p.bin, "sluice-dataplane"), Args: p.dataArgs})
	if err != nil {
		return err
	}
	return poll(ctx, 5*time.Minute, func() error {
		_, _, err := p.call(ctx, "GET", "http://"+p.proxy+"/s0/r0", nil, 200)
		return err
	}, p.data)
}

// stop ends both and removes what they wrote.
func (p *planes) stop() error {
	var errs []error
	for _, proc := range []*process.Process{p.data, p.control} {
		if proc != nil {
			proc.Kill()
		}
	}
	if p.relay != nil {
		errs = append(errs, p.relay.Close())
	}
	return errors.Join(append(errs, os.RemoveAll(p.dir))...)
}

func poll(ctx context.Context, within time.Duration, check func() error, alive ...*process.Process) error {
	ctx, cancel := context.WithTimeout(ctx, within)
	defer cancel()
	return process.Poll(ctx, check, alive...)
}

// call makes a request that is to have a status.
func (p *planes) call(ctx context.Context, method, url string, body any, status int) ([]byte, http.Header, error) {
	var reader io.Reader
	switch b := body.(type) {
	case nil:
	case io.Reader:
		reader = b
	default:
		encoded, err := json.Marshal(body)
		if err != nil {
			return nil, nil, err
		}
		reader = bytes.NewReader(encoded)
	}
	r, err := http.NewRequestWithContext(ctx, method, url, reader)
	if err != nil {
		return nil, nil, err
	}
	if reader != nil {
		r.Header.Set("Content-Type", "application/json")
	}
	answer, err := p.http.Do(r)
	if err != nil {
		return nil, nil, err
	}
	data, err := io.ReadAll(answer.Body)
	if err := errors.Join(err, answer.Body.Close()); err != nil {
		return nil, nil, err
	}
	if answer.StatusCode != status {
		return nil, nil, fmt.Errorf("%s %s: status %d, want %d: %.300s", method, url, answer.StatusCode, status, data)
	}
	return data, answer.Header, nil
}

// load replaces the configuration: all services end at a plugin, so that no upstream is
// needed. The document is written while it is sent.
func (p *planes) load(ctx context.Context) error {
	r, w := io.Pipe()
	go func() {
		_, err := io.WriteString(w, `{"_format_version":"3.0","plugins":[{"name":"request-termination","config":{"status_code":200,"message":"bench"}}],"services":[`)
		for s := 0; s*perService < p.routes && err == nil; s++ {
			var b bytes.Buffer
			if s > 0 {
				b.WriteByte(',')
			}
			fmt.Fprintf(&b, `{"name":"s%d","host":"127.0.0.1","port":9,"routes":[`, s)
			for i := range min(perService, p.routes-s*perService) {
				if i > 0 {
					b.WriteByte(',')
				}
				fmt.Fprintf(&b, `{"name":"r%d-%d","paths":["/s%d/r%d"]}`, s, i, s, i)
			}
			b.WriteString("]}")
			_, err = w.Write(b.Bytes())
		}
		if err == nil {
			_, err = io.WriteString(w, "]}")
		}
		w.CloseWithError(err)
	}()
	_, _, err := p.call(ctx, "POST", "http://"+p.admin+"/config", r, 201)
	return errors.Join(err, r.Close())
}

// change alters one route and returns the revision, and when the answer was there.
func (p *planes) change(ctx context.Context, i int) (revision uint64, written time.Time, took time.Duration, err error) {
	i %= p.routes
	began := time.Now()
	_, header, err := p.call(ctx, "PATCH", fmt.Sprintf("http://%s/routes/r%d-%d", p.admin, i/perService, i%perService), map[string]any{
		"tags": []string{"t" + strconv.FormatInt(began.UnixNano(), 36)},
	}, 200)
	written = time.Now()
	if err != nil {
		return 0, written, 0, err
	}
	revision, err = strconv.ParseUint(header.Get("X-Sluice-Revision"), 10, 64)
	return revision, written, written.Sub(began), err
}

// node asks the data plane for its position.
func (p *planes) node(ctx context.Context) (position, error) {
	data, _, err := p.call(ctx, "GET", "http://"+p.status+"/status", nil, 200)
	if err != nil {
		return position{}, err
	}
	var s struct {
		Configuration struct {
			Position position `json:"position"`
		} `json:"configuration"`
	}
	err = json.Unmarshal(data, &s)
	return s.Configuration.Position, err
}

// follows waits until the data plane serves the revision.
func (p *planes) follows(ctx context.Context, revision uint64) (position, error) {
	var at position
	err := poll(ctx, time.Minute, func() (err error) {
		if at, err = p.node(ctx); err != nil {
			return err
		}
		if at.Revision < revision {
			return fmt.Errorf("the data plane serves %d, not %d", at.Revision, revision)
		}
		return nil
	}, p.control, p.data)
	return at, err
}

// applyTime is how long the only node took for the last change, as it said.
func (p *planes) applyTime(ctx context.Context) (time.Duration, error) {
	data, _, err := p.call(ctx, "GET", "http://"+p.admin+"/clustering/data-planes", nil, 200)
	if err != nil {
		return 0, err
	}
	var list struct {
		Data []struct {
			ApplyTime int64 `json:"apply_time_us"`
		} `json:"data"`
	}
	if err := json.Unmarshal(data, &list); err != nil {
		return 0, err
	}
	if len(list.Data) != 1 {
		return 0, fmt.Errorf("%d nodes are listed instead of one", len(list.Data))
	}
	return time.Duration(list.Data[0].ApplyTime) * time.Microsecond, nil
}

// usage is what a process has taken.
type usage struct {
	cpu      time.Duration
	resident int64
}

func usageOf(p *process.Process) (u usage, err error) {
	tasks, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/schedstat", p.PID()))
	if err != nil {
		return u, err
	}
	for _, t := range tasks {
		data, err := os.ReadFile(t)
		if err != nil {
			continue // the thread has ended
		}
		ns, err := strconv.ParseInt(strings.Fields(string(data))[0], 10, 64)
		if err != nil {
			return u, err
		}
		u.cpu += time.Duration(ns)
	}
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/statm", p.PID()))
	if err != nil {
		return u, err
	}
	pages, err := strconv.ParseInt(strings.Fields(string(data))[1], 10, 64)
	u.resident = pages * int64(os.Getpagesize())
	return u, err
}
