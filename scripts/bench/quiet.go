package main

import (
	"context"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// latencyRow is what one connection sees, in microseconds: the upstream itself, and the
// proxies between.
type latencyRow struct {
	Name string  `json:"name"`
	P50  float64 `json:"p50_us"`
	P99  float64 `json:"p99_us"`
}

// lowLoad measures one connection that calls again and again. Each is measured three times
// in turn; the smallest figures are those that the machine disturbed least.
func (s *stack) lowLoad(ctx context.Context) ([]latencyRow, error) {
	urls := []struct{ name, url string }{
		{"direct", "http://" + s.upstream}, {"nginx", "http://" + s.clear[nginx]}, {"Sluice", "http://" + s.clear[sluice]},
	}
	rows := make([]latencyRow, len(urls))
	for round := range 3 {
		for i, u := range urls {
			m, err := s.wrk(ctx, u.url+"/r0", 2, 1)
			if err != nil {
				return nil, fmt.Errorf("%s: %w", u.name, err)
			}
			if round == 0 {
				rows[i] = latencyRow{u.name, m.P50, m.P99}
			}
			rows[i].P50, rows[i].P99 = min(rows[i].P50, m.P50), min(rows[i].P99, m.P99)
		}
	}
	return rows, nil
}

func printLow(out io.Writer, rows []latencyRow) {
	_, _ = fmt.Fprintf(out, "\nOne connection, p50 / p99 in us (least of 3 runs):")
	for _, r := range rows {
		_, _ = fmt.Fprintf(out, " %s %.0f / %.0f", r.Name, r.P50, r.P99)
		if r.Name != "direct" {
			_, _ = fmt.Fprintf(out, " (added %.0f / %.0f)", r.P50-rows[0].P50, r.P99-rows[0].P99)
		}
		_, _ = fmt.Fprint(out, ";")
	}
	_, _ = fmt.Fprintln(out, " goal: added at most 60 / 150")
}

// idleConnections is how many are opened; each takes a descriptor here and there.
const idleConnections = 8000

// idleRow is what kept-alive connections without requests cost.
type idleRow struct {
	Proxy proxyKind `json:"proxy"`
	Count int       `json:"connections"`
	// Bytes of the proxy's resident memory for each connection.
	Bytes float64 `json:"bytes_each"`
}

// idle opens connections, makes one request on each and leaves them open.
func (s *stack) idle(ctx context.Context, count int) ([]idleRow, error) {
	var rows []idleRow
	for _, p := range []proxyKind{nginx, sluice} {
		before, err := resident(s.measured[p].PID())
		if err != nil {
			return nil, err
		}
		conns, err := openIdle(ctx, s.clear[p], count)
		if err == nil {
			timer := time.NewTimer(3 * time.Second)
			select {
			case <-timer.C:
			case <-ctx.Done():
			}
			timer.Stop()
			var after int64
			if after, err = resident(s.measured[p].PID()); err == nil {
				rows = append(rows, idleRow{p, count, float64(after-before) / float64(count)})
			}
		}
		for _, c := range conns {
			_ = c.Close()
		}
		if err != nil {
			return nil, fmt.Errorf("idle connections of %s: %w", p, err)
		}
	}
	return rows, nil
}

func openIdle(ctx context.Context, address string, count int) (conns []net.Conn, err error) {
	buf := make([]byte, 4096)
	for range count {
		c, err := new(net.Dialer).DialContext(ctx, "tcp", address)
		if err != nil {
			return conns, err
		}
		conns = append(conns, c)
		_ = c.SetDeadline(time.Now().Add(10 * time.Second))
		if _, err := io.WriteString(c, "GET /r0 HTTP/1.1\r\nHost: bench\r\n\r\n"); err != nil {
			return conns, err
		}
		if n, err := c.Read(buf); err != nil || !strings.HasPrefix(string(buf[:n]), "HTTP/1.1 200 ") {
			return conns, fmt.Errorf("got %.40q, %w", buf[:n], err)
		}
	}
	return conns, nil
}

func printIdle(out io.Writer, rows []idleRow) {
	_, _ = fmt.Fprintf(out, "\nIdle kept-alive connections after a request, resident bytes each:")
	for _, r := range rows {
		_, _ = fmt.Fprintf(out, " %s %.0f (%d connections);", r.Proxy, r.Bytes, r.Count)
	}
	_, _ = fmt.Fprintln(out, " goal: at most 8192")
}

// resident is the resident memory of a process and its children, in bytes.
func resident(pid int) (int64, error) {
	var total int64
	pids := []string{strconv.Itoa(pid)}
	tasks, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/children", pid))
	if err != nil {
		return 0, err
	}
	for _, task := range tasks {
		children, err := os.ReadFile(task)
		if err != nil {
			return 0, err
		}
		pids = append(pids, strings.Fields(string(children))...)
	}
	for _, p := range pids {
		status, err := os.ReadFile("/proc/" + p + "/status")
		if err != nil {
			return 0, err
		}
		for line := range strings.Lines(string(status)) {
			if rest, ok := strings.CutPrefix(line, "VmRSS:"); ok {
				kib, err := strconv.ParseInt(strings.Fields(rest)[0], 10, 64)
				if err != nil {
					return 0, err
				}
				total += kib << 10
			}
		}
	}
	return total, nil
}
